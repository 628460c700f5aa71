"""The README is true: its examples run, in its order and in one folder, on a tiny scale; its links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from gopolicy import cli, sgf
from gopolicy.coords import PASS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GAMES = ROOT / "data" / "gnugo-selfplay.tar.gz"

# What makes an example short. The last of two equal options counts.
TRAIN = "--filters 4 --layers 2 --batch-size 16 --validation-positions 32 --device cpu"
TINY = {
    "gopolicy pack": "--processes 1",
    "gopolicy train": f"{TRAIN} --steps 2",
    "gopolicy train --resume": "--steps 3",
    "gopolicy evaluate": "--max-positions 50",
    "gopolicy top": "",
    "python scripts/train.py": f"{TRAIN} --steps 2 --processes 1",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newcomer's folder: some games in an archive, and one of them beside it."""
    path = tmp_path_factory.mktemp("newcomer")
    with tarfile.open(GAMES) as tar, zipfile.ZipFile(path / "my-games.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            archive.writestr(member.name, file.read())
    with zipfile.ZipFile(path / "my-games.zip") as archive:
        (path / "game.sgf").write_bytes(archive.read(archive.namelist()[0]))
    return path


def test_the_first_thing_are_the_two_commands() -> None:
    assert [words[:2] for words in commands()[:2]] == [["python", "scripts/demo.py"], ["python", "scripts/test.py"]]
    assert README.index("```sh") < 20


def test_commands(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    run = []
    for words in commands():
        if words[1] in ("scripts/demo.py", "scripts/test.py"):
            continue  # they set everything up, and this is a part of the second
        name = " ".join(words[:2]) + (" --resume" if words[:2] == ["gopolicy", "train"] and "--resume" in words else "")
        words += TINY[name].split()
        if words[0] == "gopolicy":
            assert cli.main(words[1:]) == 0, capsys.readouterr().err
        else:
            monkeypatch.setattr(sys, "argv", words[1:])
            script = runpy.run_path(str(ROOT / words[1]))
            assert script["main"]() == 0, capsys.readouterr().err
        run.append(name)
    assert set(run) == set(TINY), "an example that nobody runs, or a way of running that nobody shows"
    assert (folder / "runs" / "mine" / "weights.safetensors").is_file()
    assert (folder / "runs" / "steps" / "weights.safetensors").is_file()


def test_python(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    first, second = blocks("python")
    exec(compile(first, "README.md", "exec"), names)
    *moves, last = capsys.readouterr().out.splitlines()
    assert [bool(re.fullmatch(r"[A-HJ-T]1?\d \d+\.\d%", line)) for line in moves] == [True] * 5
    played = sum(point != PASS for _, point in sgf.read_sgf(folder / "game.sgf").moves)
    assert re.fullmatch(rf"\d+ of {played} moves predicted", last)
    exec(compile(second, "README.md", "exec"), names)
    area, territory = map(float, capsys.readouterr().out.split())
    assert area * territory > 0
    assert (folder / "handicap.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "ARCHITECTURE.md",
        "RESULTS.md",
        "data/README.md",
        "docs/planes.md",
        "docs/rules.md",
        "docs/why-this-network.md",
        "docs/sabaki.md",
        "docs/ogs.md",
        "docs/katrain.md",
    ],
)
def test_links(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_every_dependency_is_explained() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[<>=]", name)[0] for name in project["dependencies"]}
    table = README.split("## What it stands on")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| \[(\w+)\]", table, re.MULTILINE)) == needed


def test_the_page_of_the_games_counts_them() -> None:
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    with tarfile.open(GAMES) as tar:
        games = sum(member.isfile() for member in tar)
    assert f"holds {games} games" in page
    assert f"make_games.py --games {games}` makes the archive again" in page
