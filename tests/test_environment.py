"""The set-up that the scripts share: made once, made again when something changed, and what is said when it cannot be made."""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import environment  # noqa: E402

SET_UP = environment.set_up


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A checkout with nothing in it, and how often its environment was made."""
    made: list[str] = []

    def set_up() -> None:
        environment.VENV.mkdir(exist_ok=True)
        environment.PYTHON.touch()
        (environment.VENV / "pyvenv.cfg").write_text(f"version = {environment.VERSION}.0\n")
        made.append("made")

    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "requirements.txt").write_text("six==1.0\n")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / "venv")
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "venv" / "python")
    monkeypatch.setattr(environment, "READY", tmp_path / "venv" / "ready")
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr(environment, "set_up", set_up)
    return SimpleNamespace(path=tmp_path, made=made)


def test_made_once(house: SimpleNamespace) -> None:
    for _ in range(3):
        environment.prepare()
    assert len(house.made) == 1


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_made_again_when_what_it_is_made_from_changes(house: SimpleNamespace, name: str) -> None:
    environment.prepare()
    with (house.path / name).open("a") as file:
        file.write("# changed\n")
    environment.prepare()
    environment.prepare()
    assert len(house.made) == 2


def test_made_again_when_the_checkout_was_moved(house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment names its own place in many files."""
    environment.prepare()
    (house.path / "moved").mkdir()
    (house.path / "moved" / "pyproject.toml").write_bytes((house.path / "pyproject.toml").read_bytes())
    monkeypatch.setattr(environment, "ROOT", house.path / "moved")
    environment.prepare()
    assert len(house.made) == 2


def test_how_it_is_made(house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anew where there is none of this Python; with the pip that is there where Python has none to give; and no half of it counts."""
    venv, pip, lacks = [], [], []

    def run(command: list[str], env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        assert env == environment.surroundings()
        venv.append(command[3:-1])
        return subprocess.CompletedProcess(command, 0, "", "")

    def install(own: list[str], *what: str) -> None:
        assert not environment.READY.exists()
        pip.append((own[0] == str(environment.PYTHON), *what))

    monkeypatch.setattr(environment.subprocess, "run", run)
    monkeypatch.setattr(environment, "install", install)
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None if name in lacks else name)
    SET_UP()
    assert venv == [["--clear"]]
    assert pip == [(True, "--requirement", str(house.path / "requirements.txt")), (True, *pip[1][1:-2], "--editable", str(house.path))]
    environment.prepare()  # of which one is left
    lacks.append("ensurepip")
    SET_UP()
    assert venv[1:] == [["--without-pip"]]
    assert not pip[2][0]
    monkeypatch.setattr(environment, "VERSION", "3.99")
    lacks.clear()
    SET_UP()
    assert venv[2:] == [["--clear"]]
    lacks.extend(["ensurepip", "pip"])
    with pytest.raises(environment.SetUpError, match="apt install python3-venv"):
        SET_UP()


def test_nothing_leads_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    astray = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_REQUIRE_VIRTUALENV", "PIP_USER")
    for name in (*astray, "HTTPS_PROXY"):
        monkeypatch.setenv(name, "1")
    found = environment.surroundings()
    assert [name for name in astray if name in found] == ["PIP_USER"]
    assert (found["PIP_USER"], found["HTTPS_PROXY"]) == ("0", "1")


def test_a_command_that_fails_ends_the_script(house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in the checkout, wherever the script was started."""
    monkeypatch.setattr(environment, "PYTHON", sys.executable)
    (house.path / "gopolicy.py").write_text(
        "import sys; open('said', 'a').write(' '.join(sys.argv[1:])); sys.exit(3 * ('bad' in sys.argv))"
    )
    environment.gopolicy("pack", "games")
    with pytest.raises(SystemExit) as ended:
        environment.gopolicy("bad")
    assert ended.value.code == 3
    assert (house.path / "said").read_text() == "pack gamesbad"


def test_ctrl_c_waits_for_the_command_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs end with other statuses then, or with 0 where the work was done."""

    def run(*ends: int | type[KeyboardInterrupt]) -> int:
        process = Mock(wait=Mock(side_effect=ends))
        monkeypatch.setattr(environment.subprocess, "Popen", lambda *_, **__: process)
        return environment.run("module")

    assert [run(0), run(7), run(-9)] == [0, 7, -9]
    assert [run(KeyboardInterrupt, end) for end in (0, 2, -2)] == [0, 130, 130]
    assert run(KeyboardInterrupt, KeyboardInterrupt, 1) == 130


@pytest.mark.parametrize(
    ("arguments", "statuses", "status"),
    [
        ([], [0, 0, 0], 0),
        ([], [1, 0, 0], 1),
        ([], [0, 0, 1], 1),
        ([], [0, -9, 2], 1),
        ([], [0, 130], 130),
        ([], [1, 130], 130),
        (["-x"], [0], 0),
        (["-x"], [1], 1),
        (["-x"], [130], 130),
    ],
)
def test_one_check_that_fails_is_enough(arguments: list[str], statuses: list[int], status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the rest is run all the same; not after Ctrl-C."""
    left = statuses.copy()
    monkeypatch.setattr(environment, "prepare", lambda: None)
    monkeypatch.setattr(environment, "run", lambda *_: left.pop(0))
    monkeypatch.setattr(sys, "argv", ["test.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "test.py"))
    assert (ended.value.code, left) == (status, [])


@pytest.mark.skipif(sys.platform == "win32", reason="another way on Windows")
def test_a_script_goes_on_in_it_where_something_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(environment, "prepare", lambda: done.append("prepared"))
    monkeypatch.setattr(environment.os, "execve", lambda path, command, env: done.append((path, command)) or sys.exit(0))
    monkeypatch.setattr(sys, "argv", ["train.py", "games", "--resume"])
    monkeypatch.setattr(sys, "prefix", str(environment.ROOT))  # the tests may run in the environment
    environment.enter("scripts/train.py", "sys", "json")
    assert done == []
    with pytest.raises(SystemExit):
        environment.enter("scripts/train.py", "sys", "no_such_module")
    assert done == ["prepared", (environment.PYTHON, [str(environment.PYTHON), "scripts/train.py", "games", "--resume"])]
    monkeypatch.setattr(sys, "prefix", str(environment.VENV))
    with pytest.raises(SystemExit, match="lacks no_such_module, nor_this: delete it"):
        environment.enter("scripts/train.py", "sys", "no_such_module", "nor_this")


def test_made_again_after_a_stop(house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped() -> None:
        environment.VENV.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "set_up", stopped)
        with pytest.raises(SystemExit, match="the same command goes on"):
            environment.prepare()
    environment.prepare()
    assert len(house.made) == 1


def test_made_again_when_its_python_has_gone(house: SimpleNamespace) -> None:
    environment.prepare()
    environment.PYTHON.unlink()
    environment.prepare()
    assert len(house.made) == 2


def test_a_finished_environment_stays_until_there_is_another(house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another Python, for which nothing can be installed; and a patch of the same one makes nothing anew."""
    environment.prepare()
    (environment.VENV / "pyvenv.cfg").write_text(f"version = {environment.VERSION}.99\n")
    environment.prepare()
    assert len(house.made) == 1
    (environment.VENV / "torch").touch()
    ready = environment.READY.read_text()
    (house.path / "venv.old" / "left by a kill").mkdir(parents=True)

    def fails() -> None:
        assert not environment.VENV.exists()
        environment.VENV.mkdir()
        raise environment.SetUpError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(environment, "VERSION", "3.99")
        made = environment.set_up
        patch.setattr(environment, "set_up", fails)
        with pytest.raises(SystemExit, match="no network"):
            environment.prepare()
        patch.setattr(environment, "set_up", made)
        assert (environment.VENV / "torch").exists()
        assert environment.READY.read_text() == ready
        environment.prepare()  # now it can be made
        assert len(house.made) == 2
        assert not (environment.VENV / "torch").exists()
    assert [path.name for path in house.path.glob("venv*") if path.is_dir()] == ["venv"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such lock on Windows")
def test_a_second_set_up_waits_for_the_first(house: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    with environment.alone():
        second = threading.Thread(target=environment.prepare)
        second.start()
        said, end = "", time.monotonic() + 30
        while "waiting for it" not in said and time.monotonic() < end:
            time.sleep(0.01)
            said += capsys.readouterr().err
        assert "waiting for it" in said
        assert not house.made
        environment.set_up()
        environment.READY.write_text(environment.digest(), encoding="ascii")
    second.join()
    assert len(house.made) == 1


def test_its_own_python_does_not_replace_itself(house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(environment.VENV))
    with pytest.raises(SystemExit, match="is not finished"):
        environment.prepare()
    environment.VENV.mkdir()
    environment.PYTHON.touch()
    environment.READY.write_text("whatever it was made from")
    environment.prepare()
    assert not house.made


@pytest.mark.skipif(os.name != "posix", reason="a link may need rights there")
def test_its_own_python_is_known_where_its_folder_is_a_link(house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    (house.path / "elsewhere").mkdir()
    environment.VENV.symlink_to(house.path / "elsewhere")
    assert not environment.inside()
    monkeypatch.setattr(sys, "prefix", str(house.path / "elsewhere"))
    assert environment.inside()


def installer(tmp_path: Path, *lines: str, status: int) -> list[str]:
    """A pip that says these lines."""
    script = tmp_path / "pip.py"
    script.write_text(f"import sys\nprint({chr(10).join(lines)!r})\nsys.exit({status})\n")
    return [sys.executable, str(script)]


def test_no_network_is_said(tmp_path: Path) -> None:
    # What pip 23 says without a network, shortened.
    pip = installer(
        tmp_path,
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(': Failed to establish a connection')'",
        "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)",
        status=1,
    )
    with pytest.raises(environment.SetUpError, match="needs the network"):
        environment.install(pip, "torch")


def test_what_pip_said_is_passed_on(tmp_path: Path) -> None:
    pip = installer(tmp_path, "Collecting torch==2.13.0", "ERROR: No space left on device", status=1)
    with pytest.raises(environment.SetUpError, match="No space left on device") as caught:
        environment.install(pip, "torch")
    assert "network" not in str(caught.value)


@pytest.mark.parametrize("name", ["PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "PIP_REQUIRE_HASHES", "PIP_DRY_RUN", "PIP_PYTHON"])
def test_settings_of_pip_that_the_pins_contradict(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """NVIDIA's containers set the first."""
    monkeypatch.setenv(name, "1")
    assert name not in environment.surroundings()


def test_a_python_that_a_package_is_not_there_for_is_told(tmp_path: Path) -> None:
    # What pip 23 says, shortened.
    pip = installer(
        tmp_path,
        "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: 2.2.0, 2.2.1, 2.2.2)",
        "ERROR: No matching distribution found for torch==2.13.0",
        status=1,
    )
    with pytest.raises(environment.SetUpError, match=r"from versions: 2\.2\.0") as caught:
        environment.install(pip, "torch")
    assert f"pip has no torch==2.13.0 for Python {environment.VERSION} on this machine" in str(caught.value)
    assert "an older Python" in str(caught.value)


def test_progress_of_pip(
    house: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.REQUIREMENTS.write_text("# two\nsix==1.0\ntorch==2.13.0\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(environment.time, "monotonic", iter(range(10**6)).__next__)
    lines = ("Collecting torch==2.13.0 (from -r requirements.txt (line 3))", "  Downloading torch-2.13.0.whl (190.0 MB)")
    environment.install(installer(tmp_path, *lines, "Installing collected packages: a, b, c", status=0), "torch")
    shown = capsys.readouterr().err
    assert re.search(r"getting 1 of 2: torch==2\.13\.0 \(190\.0 MB\)", shown)
    assert "unpacking 3 packages" in shown
    assert shown.endswith(" \r"), "the line is taken away"


def test_the_pins_are_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = environment.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pins = {pin.name: pin for line in lines if line.partition("#")[0].strip() for pin in [Requirement(line)]}
    for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(line)
        (specifier,) = pins[wanted.name].specifier
        assert specifier.operator == "=="
        assert wanted.specifier.contains(specifier.version), line


def test_one_version_everywhere_that_lizzie_takes(tmp_path: Path) -> None:
    """That of the code, whatever is installed beside it; Lizzie's code asks the second number."""
    (tmp_path / "gopolicy-0.1.0.dist-info").mkdir()
    (tmp_path / "gopolicy-0.1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: gopolicy\nVersion: 0.1.0\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = f"import sys; sys.path[:0] = {[str(tmp_path), str(ROOT)]}; import gopolicy; print(gopolicy.__version__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == project["version"]
    assert int(project["version"].split(".")[1]) >= 15


@pytest.mark.parametrize("name", ["demo", "test", "train"])
def test_an_old_python_is_told(name: str) -> None:
    """An old Python has to be able to read the whole file before it runs the first line."""
    source = (ROOT / "scripts" / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    (first_if,) = [node for node in tree.body if isinstance(node, ast.If) and "version_info" in ast.unparse(node)]
    assert tree.body.index(first_if) == 2, "before it: the docstring and sys"
    old = "import sys; sys.version_info = (3, 10, 4); sys.version = '3.10.4 (main)'; exec(open(sys.argv[1], encoding='utf-8').read())"
    done = subprocess.run([sys.executable, "-c", old, str(ROOT / "scripts" / f"{name}.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == f"gopolicy needs Python 3.11 or newer, and this is Python 3.10.4: try `python3.11 scripts/{name}.py`."
