"""ARCHITECTURE.md is true: the rooms import what its table says, downwards only, and importing the package is light."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gopolicy
from gopolicy import cli

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \|([^|]*)\|([^|]*)\|$", re.MULTILINE)

# room → (rooms it imports, libraries it imports), in the order of the page
TABLE = {room: tuple(set(re.findall(r"\w+", cell)) for cell in cells) for room, *cells in ROW.findall(PAGE)}

PUBLIC = [
    "BLACK",
    "EMPTY",
    "PASS",
    "PLANE_SETS",
    "WHITE",
    "Board",
    "Candidate",
    "GameRecord",
    "GamesError",
    "GoPolicyError",
    "IllegalMoveError",
    "PackedGames",
    "Policy",
    "SgfError",
    "WeightsError",
    "__version__",
    "encode",
    "load",
    "read_sgf",
]


def imported(path: Path) -> tuple[set[str], set[str]]:
    """(rooms, libraries) that a file imports anywhere, also inside functions and for types alone; Python's own library is left out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written out, from gopolicy …"
            assert node.module is not None
            names |= {f"gopolicy.{alias.name}" for alias in node.names} if node.module == "gopolicy" else {node.module}
    parts = [name.split(".") for name in names]
    rooms = {part[1] for part in parts if part[0] == "gopolicy" and len(part) > 1 and part[1] != "__version__"}
    if path.name == "cli.py":
        rooms |= {module for module, _ in cli.COMMANDS.values()} - {"cli"}  # brought in by name
    return rooms, {part[0] for part in parts} - sys.stdlib_module_names - {"gopolicy"}


def rooms_of_the_package() -> list[str]:
    return sorted(path.stem for path in (ROOT / "gopolicy").glob("*.py") if not path.stem.startswith("__"))


def test_the_page_has_every_room_once() -> None:
    assert sorted(room for room, *_ in ROW.findall(PAGE)) == rooms_of_the_package()


def test_the_picture_shows_every_room() -> None:
    picture = (ROOT / "docs" / "rooms.svg").read_text(encoding="utf-8")
    assert sorted(re.findall(r'class="room"[^>]*>(\w+)<', picture)) == rooms_of_the_package()


@pytest.mark.parametrize("room", TABLE)
def test_a_room_imports_what_the_page_says(room: str) -> None:
    rooms, libraries = TABLE[room]
    assert imported(ROOT / "gopolicy" / f"{room}.py") == (rooms, libraries)
    order = list(TABLE)
    upwards = {other for other in rooms if order.index(other) >= order.index(room)}
    assert not upwards, f"{room} imports {upwards}, which the page has below it"


def test_rules_and_games_do_without_torch() -> None:
    def all_below(room: str) -> set[str]:
        return {room}.union(*(all_below(other) for other in TABLE[room][0]))

    with_torch = {room for room in TABLE if any("torch" in TABLE[other][1] for other in all_below(room))}
    assert not with_torch & {"features", "games", "archives", "draw"}
    assert "network" in with_torch
    assert TABLE["network"][0] <= {"errors"}, "the network knows nothing of Go"


def test_scripts_do_not_import_each_other() -> None:
    files = sorted((ROOT / "scripts").glob("*.py"))
    scripts = {path.stem for path in files} - {"environment"}
    for path in [*files, ROOT / "gtp_engine.py"]:
        _, libraries = imported(path)
        assert not libraries & scripts, path.name
    assert imported(ROOT / "scripts" / "environment.py") == (set(), set()), "the set-up runs before anything is installed"


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after ``code``."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import gopolicy; gopolicy.BLACK, gopolicy.GoPolicyError, gopolicy.__version__, dir(gopolicy)",
        "import gopolicy.gtp, gopolicy.analysis",
        "from gopolicy import cli; cli.parser_for(None); cli.parser_for('gtp')",
    ],
)
def test_importing_is_light(code: str) -> None:
    assert not loaded_by(code) & {"torch", "numba", "numpy", "matplotlib", "sgfmill", "py7zr", "safetensors", "tqdm"}


def test_a_game_that_is_not_there_is_said_before_torch_is_loaded() -> None:
    assert "torch" not in loaded_by("from gopolicy import cli; assert cli.main(['top', 'no-such-game.sgf']) == 1")


@pytest.mark.parametrize(("call", "ends"), [("main()", True), ("main(['--version'])", False)])
def test_a_command_ends_without_a_search_for_garbage(call: str, ends: bool) -> None:
    """But not a program that calls it: what the search finds may be a file with lines to write."""
    code = f"import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count())); from gopolicy import cli; cli.{call}"
    done = subprocess.run([sys.executable, "-c", code, "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (int(done.stdout.split()[-1]) > 1000) == ends, "objects that Python does not look at any more"


def spins_of(*command: str, said: str = "", **environment: str) -> set[str]:
    """How often a waiting thread looks before it sleeps, as GNU's OpenMP itself tells when torch brings it; empty with another OpenMP."""
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment |= kept | {"OMP_DISPLAY_ENV": "verbose"}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, input=said, capture_output=True, text=True, check=True)
    return set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr))


@pytest.mark.skipif(not spins_of("-c", "import torch"), reason="torch has another OpenMP here than GNU's")
def test_threads_sleep_soon_in_every_program() -> None:
    assert spins_of("-c", "import gopolicy.policy") == {"1000"}
    assert spins_of("gtp_engine.py", "--weights", "playouts", said="genmove b\n") == {"1000"}
    assert spins_of("scripts/ablate.py", "--help") == {"1000"}, "it imports torch before gopolicy"
    assert spins_of("-c", "import gopolicy.policy", OMP_WAIT_POLICY="active") == spins_of("-c", "import torch", OMP_WAIT_POLICY="active")
    assert spins_of("-c", "import gopolicy.policy", GOMP_SPINCOUNT="7") == {"7"}


def test_packing_and_encoding_do_without_torch() -> None:
    code = "import gopolicy as go; from gopolicy import archives, draw, games; go.encode(go.Board(9)); go.read_sgf('(;SZ[9];B[aa])')"
    loaded = loaded_by(code)
    assert "numba" in loaded
    assert not loaded & {"torch", "matplotlib"}


def test_public_names() -> None:
    assert sorted(gopolicy.__all__) == sorted(PUBLIC)
    assert dir(gopolicy) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(gopolicy, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'board_size'"):
        gopolicy.board_size  # noqa: B018
    for error in ("GamesError", "IllegalMoveError", "SgfError", "WeightsError"):
        assert issubclass(getattr(gopolicy, error), gopolicy.GoPolicyError)
    assert issubclass(gopolicy.GoPolicyError, ValueError)
