"""The demo's commands one after the other, on a tiny scale and in the environment of the tests."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from gopolicy import cli

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import environment  # noqa: E402

TINY = {
    "pack": "--processes 1",
    "train": "--filters 4 --layers 2 --batch-size 16 --validation-positions 16 --device cpu --steps 2",
    "top": "",
}


def demo(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.py", *arguments])
    runpy.run_path(str(ROOT / "scripts" / "demo.py"))


@pytest.mark.skipif(sys.platform == "win32", reason="a link to the games")
def test_from_games_to_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the position that the README shows, and leaves what it names; a second time it begins anew."""
    told: list[tuple[str, ...]] = []

    def gopolicy(*words: str) -> None:
        told.append(words)
        assert cli.main([*words, *TINY[words[0]].split()]) == 0

    monkeypatch.setattr(environment, "prepare", lambda: told.append(("prepare",)))
    monkeypatch.setattr(environment, "gopolicy", gopolicy)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    demo(monkeypatch)
    out, err = capsys.readouterr()
    readme = re.sub(r"(?<=[ (])[a-e](?=[ )(])", ".", (ROOT / "README.md").read_text(encoding="utf-8"))
    board = [line.partition("  ")[0] for line in out.splitlines() if re.match(r"\d+ ", line.lstrip())]
    assert len(board) == 19
    assert [row for row in board if re.sub("[a-e]", ".", row) not in readme] == []
    assert out.splitlines()[-1].startswith("played: N12")
    named = re.findall(r"runs/demo/\S+", err.partition("What to try next")[2])
    assert len(named) == 3
    assert [name for name in named if not (tmp_path / name).is_file()] == []

    monkeypatch.setattr(environment, "gopolicy", lambda *words: told.append(words))
    demo(monkeypatch, "--minutes", "0.5")
    assert [words[0] for words in told] == ["prepare", "pack", "train", "top"] * 2
    assert [words[words.index("--max-minutes") + 1] for words in told if words[0] == "train"] == ["1.0", "0.5"]
    assert [path.name for path in (tmp_path / "runs" / "demo").iterdir()] == ["game.sgf"], "what was there has gone"


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_a_time_that_cannot_be(minutes: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(environment, "prepare", lambda: pytest.fail("it is said before the set-up"))
    with pytest.raises(SystemExit) as ended:
        demo(monkeypatch, f"--minutes={minutes}")
    assert ended.value.code == 2
    assert f"--minutes is {float(minutes)}, expected a number above 0" in capsys.readouterr().err
