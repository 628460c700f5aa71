"""Kernels that call one another, in a process that compiles them, in one that finds them in the cache, and in one without a cache."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gopolicy import compiled
from gopolicy.compiled import cache_folder

KERNELS = """
from numba import int64
from gopolicy.compiled import compiled

@compiled(int64(int64), inner=True)
def double(x): return 2 * x

@compiled(int64(int64, int64[::1]), apart=True)
def fill(x, out):
    for i in range(len(out)):
        out[i] = double(x) + i
    return len(out)

@compiled(int64(int64, int64[::1]))
def fill_and_sum(x, out):
    fill(x, out)
    total = 0
    for value in out:
        total += value
    return total
"""
USE = """
import numpy as np
import kernels
out = np.zeros(4, dtype=np.int64)
print(kernels.fill_and_sum(10, out), out.tolist(), kernels.fill(1, out))
"""


def run(folder: Path, cache: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(folder)])}
    environment |= more
    return subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kernels.py").write_text(KERNELS, encoding="utf-8")
    return tmp_path


def test_compiled_once_and_then_found(folder: Path) -> None:
    cache = folder / "cache"
    first, second = run(folder, cache), run(folder, cache)
    assert first.stdout == second.stdout == f"{20 + 21 + 22 + 23} [20, 21, 22, 23] 4\n"
    assert first.stderr.startswith("gopolicy: compiling ")
    assert second.stderr == ""


def test_a_caller_holds_the_name_of_a_kernel_that_is_apart(folder: Path) -> None:
    run(folder, folder / "cache")
    (code,) = (folder / "cache").rglob("kernels.fill_and_sum-*.nbc")
    assert b"kernels.fill\0" in code.read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="limits as on POSIX")
def test_on_a_full_disk(folder: Path) -> None:
    (folder / "kernels.py").write_text("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n" + KERNELS)
    done = run(folder, folder / "cache")
    assert done.stdout == "86 [20, 21, 22, 23] 4\n"
    assert "every start does this" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX")
def test_where_the_systems_encoding_lacks_the_letters_of_the_folder(folder: Path) -> None:
    strange = folder.rename(folder.with_name("囲碁"))
    done = run(strange, strange / "cache", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.stdout == "86 [20, 21, 22, 23] 4\n"


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 40])
def test_files_that_a_power_cut_left_half_written(folder: Path, kind: str, left: int) -> None:
    """numba's own answer is to fail at every start from then on."""
    run(folder, folder / "cache")
    (path,) = (folder / "cache").rglob(f"kernels.fill_and_sum-*.{kind}")
    path.write_bytes(path.read_bytes()[:left])
    done = run(folder, folder / "cache")
    assert done.stdout == "86 [20, 21, 22, 23] 4\n"
    assert "once after an installation" in done.stderr
    run(folder, folder / "cache")
    assert run(folder, folder / "cache").stderr == "", "the cache is whole again"


def test_kernels_are_compiled_where_others_are_not(folder: Path) -> None:
    """A setting of whoever looks for faults in kernels of his own."""
    assert run(folder, folder / "cache", NUMBA_DISABLE_JIT="1").stdout == "86 [20, 21, 22, 23] 4\n"


def test_an_account_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``expanduser`` leaves "~" as it is then, which would be a folder of that name in the one at hand."""
    monkeypatch.chdir(tmp_path)
    for name in ("NUMBA_CACHE_DIR", "LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    makedirs = os.makedirs
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(os, "makedirs", lambda folder, **more: makedirs(folder if not os.path.isabs(folder) else "/dev/null/x", **more))
    assert cache_folder() is None
    assert not list(tmp_path.iterdir())


def test_without_a_cache(folder: Path) -> None:
    (folder / "cache").write_text("a file where the folder should be", encoding="utf-8")
    done = run(folder, folder / "cache")
    assert done.stdout == "86 [20, 21, 22, 23] 4\n"
    assert "every start does this" in done.stderr


def test_where_nobody_reads_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(compiled, "announced", False)
    monkeypatch.setattr(sys, "stderr", Gone())
    compiled.announce("now")
