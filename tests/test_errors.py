"""What is known of the machine beside its errors: how much of it a process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gopolicy import errors


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "400000 100000\n"}, 4),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "765000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 7),
        ({"cpu/cpu.cfs_quota_us": "150000\n"}, None),
    ],
)
def test_a_container_that_grants_less_than_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int | None
) -> None:
    """``docker run --cpus`` and Kubernetes' limits; the files as the kernel's documentation of cgroups has them."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(errors, "CGROUPS", tmp_path)
    assert errors.quota() == expected
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(6), raising=False)
    assert errors.cores() == min(6, expected or 6)


@pytest.mark.skipif(sys.platform != "linux", reason="as on Linux")
def test_a_process_that_is_bound_to_some_cpus() -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from gopolicy.errors import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(("granted", "before", "after"), [(1, None, "1"), (6, None, "None"), (1, "3", "3"), (None, None, "None")])
def test_torch_starts_no_more_threads_than_a_container_grants(granted: int | None, before: str | None, after: str) -> None:
    """A process that is bound to 4 of 8 CPUs needs no telling of 6."""
    code = "import importlib, os, sys, gopolicy; from gopolicy import errors; os.environ.pop('OMP_NUM_THREADS', None)\n"
    code += "os.cpu_count = lambda: 8; os.sched_getaffinity = lambda _: range(4); sys.platform = 'linux'\n"
    code += f"if {before!r}: os.environ['OMP_NUM_THREADS'] = {before!r}\n"
    code += f"errors.quota = lambda: {granted}; importlib.reload(gopolicy); print(os.environ.get('OMP_NUM_THREADS'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == f"{after}\n"
