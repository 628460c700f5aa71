"""The comparison of planes and boards finds what differs, and goes on where it was stopped."""

from __future__ import annotations

import io
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import check_planes  # noqa: E402

# White's first move takes a ko at B8, among stones that were set up; both pass once.
GAME = "(;GM[1]FF[4]SZ[9]AB[ba][ab][bc]AW[ca][db][cc];B[cb];W[bb];B[gg];W[hh];B[gf];W[];B[ii];W[hc];B[];W[eh])"
MOVES = 10


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["check_planes.py", *map(str, arguments)])
    return check_planes.main()


@pytest.fixture
def games(tmp_path: Path) -> Path:
    folder = tmp_path / "games"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.sgf").write_text(GAME)
    (folder / "words.sgf").write_text("no game at all")
    return folder


def test_sound_games_have_no_difference(games: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(monkeypatch, games, "--per-game", "4") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{3 * MOVES} boards compared with sgfmill's; 1 games could not be read"
    assert told[-1] == "12 positions, 3 games: 0 differences"
    assert main(monkeypatch, games, "--per-game", "0", "--positions", "15", "--jobs", "1") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{2 * MOVES} positions, 2 games: 0 differences", "every one of a game"
    assert main(monkeypatch, games / "words.sgf") == 2


@pytest.mark.parametrize("plane", [0, 5, 47])
def test_a_wrong_plane_is_found(games: Path, plane: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    encode, planes = check_planes.encode, check_planes.TrackedGame.planes

    def wrong(found: np.ndarray) -> np.ndarray:
        found[plane, 8, 0] ^= 1
        return found

    monkeypatch.setattr(check_planes, "encode", lambda board: wrong(encode(board)))
    assert main(monkeypatch, games) == 1
    assert "before move 1: encode: " in capsys.readouterr().out
    monkeypatch.setattr(check_planes, "encode", encode)
    monkeypatch.setattr(check_planes.TrackedGame, "planes", lambda self, colour, k: wrong(planes(self, colour, k=k)))
    assert main(monkeypatch, games) == 1
    told = capsys.readouterr().out
    assert "before move 1: followed, symmetry " in told
    assert told.splitlines()[-1].endswith("3 games differ")


def test_wrong_boards_are_found(games: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """sgfmill's board sees a ko that is none, another ko, none where there is one, and then not all stones of the setup."""
    play, setup = check_planes.SgfmillBoard.play, check_planes.SgfmillBoard.apply_setup
    for ko, number in ((lambda ko: ko or (8, 7), 2), (lambda ko: ko and (ko[1] + 1, ko[0]), 3), (lambda ko: None, 3)):
        monkeypatch.setattr(check_planes.SgfmillBoard, "play", lambda self, *move, ko=ko: ko(play(self, *move)))
        assert main(monkeypatch, games) == 1
        assert f"before move {number}: sgfmill's board has the ko " in capsys.readouterr().out
    monkeypatch.setattr(check_planes.SgfmillBoard, "play", play)
    monkeypatch.setattr(check_planes.SgfmillBoard, "apply_setup", lambda self, black, white, empty: setup(self, black, [], empty))
    assert main(monkeypatch, games) == 1
    assert "before move 1: sgfmill's board has other stones" in capsys.readouterr().out


def test_a_ladder_whose_reading_met_a_bound_is_named(
    games: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_planes, "LONGEST_READING", 0)
    assert main(monkeypatch, games / "a.sgf", "--per-game", "0") == 0
    assert f"in {MOVES} positions the reading met a bound\n  {games / 'a.sgf'} before move 1\n" in capsys.readouterr().out


def test_a_name_that_the_terminal_cannot_write(games: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "cp1252"))
    monkeypatch.setattr(check_planes, "LONGEST_READING", 0)
    assert main(monkeypatch, (games / "a.sgf").rename(games / "碁.sgf"), "--per-game", "1") == 0
    sys.stdout.flush()
    assert rb"\u7881.sgf before move " in written.getvalue()


def test_a_stopped_check_goes_on_with_its_log(games: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    log = games.parent / "log.jsonl"
    assert main(monkeypatch, games, "--per-game", "3", "--positions", "6", "--log", log) == 0
    first = log.read_text()
    assert [Path(json.loads(line)["game"]).name for line in first.splitlines()] == ["a.sgf", "b.sgf"]
    log.write_text(first + '{"game": "cut of')
    assert main(monkeypatch, games, "--per-game", "3", "--log", log) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "9 positions, 3 games: 0 differences"
    assert log.read_text().startswith(first)
    whole = log.read_text()
    assert [Path(json.loads(line)["game"]).name for line in whole.splitlines()] == ["a.sgf", "b.sgf", "c.sgf", "words.sgf"]
    (games / "d.sgf").write_text(GAME)
    assert main(monkeypatch, games, "--positions", "9", "--log", log) == 0
    assert log.read_text() == whole, "as many as are wanted"
    (games / "d.sgf").unlink()
    assert main(monkeypatch, games, "--log", log) == 0
    assert log.read_text() == whole, "all there are"
    for wrong in (b"words\n", b"\xff\n"):
        log.write_bytes(wrong)
        with pytest.raises(check_planes.GoPolicyError, match="holds lines that are no checked games"):
            main(monkeypatch, games, "--log", log)
        assert log.read_bytes() == wrong


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_leaves_the_log(games: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds is not written anew."""
    log = games.parent / "log.jsonl"
    assert main(monkeypatch, games, "--per-game", "3", "--positions", "6", "--log", log) == 0
    first, opened = log.read_text(), io.open

    def full(path: str | Path, mode: str = "r", *more: object, **named: object) -> object:
        changed = opened(path, mode, *more, **named)  # type: ignore[call-overload]
        if path != log or "r" in mode:
            return changed
        changed.close()
        return opened("/dev/full", mode, *more, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(io, "open", full)
    with pytest.raises(OSError, match="No space left"):
        main(monkeypatch, games, "--per-game", "3", "--log", log)
    assert log.read_text() == first


def test_ctrl_c_leaves_what_has_been_checked(games: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    check = check_planes.check

    def stopped(name: str, data: bytes, per_game: int) -> check_planes.Checked:
        if name.endswith("b.sgf"):
            raise KeyboardInterrupt
        return check(name, data, per_game)

    monkeypatch.setattr(check_planes, "check", stopped)
    log = games.parent / "log.jsonl"
    assert main(monkeypatch, games, "--per-game", "3", "--log", log) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "3 positions, 1 games: 0 differences"
    assert err.splitlines()[-1] == f"stopped; the same command goes on from {log}"
    assert len(log.read_text().splitlines()) == 1


def test_several_processes_find_what_one_finds(games: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """More games than are given out at once; one of them goes on with a move on a stone, and is compared as far as that."""
    for number in range(20):
        (games / f"{number}.sgf").write_text(GAME.replace(";W[hc]", ";W[hc]" + ";B[ba]" * (number == 7)))
    (games / "z.rar").write_text("words")
    told = []
    for jobs in ("1", "2"):
        pools = []
        monkeypatch.setattr(check_planes, "ProcessPoolExecutor", lambda jobs, pools=pools: pools.append(jobs) or ProcessPoolExecutor(jobs))
        log = games.parent / f"{jobs}.jsonl"
        assert main(monkeypatch, games, "--per-game", "2", "--jobs", jobs, "--log", log) == 0
        assert pools == ([2] if jobs == "2" else [])
        told.append([capsys.readouterr().out, sorted(log.read_text().splitlines())])
    assert told[0] == told[1]
    assert told[0][0].startswith(f"{22 * MOVES + 8} boards compared with sgfmill's; 1 games could not be read\n")


def test_one_game_in_so_many_is_the_same_every_time(games: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chosen by the names alone, which are the same in every folder from here."""
    for number in range(40):
        (games / f"{number}.sgf").write_text(GAME)
    monkeypatch.chdir(games.parent)
    folder = [Path("games")]
    parts = [[name for name, _ in check_planes.chosen_games(folder, 4, set())] for _ in range(2)]
    assert parts[0] == parts[1]
    assert 4 <= len(parts[0]) <= 18
    assert [name for name, _ in check_planes.chosen_games(folder, 4, set(parts[0][:3]))] == parts[0][3:]
    assert len(list(check_planes.chosen_games(folder, 1, set()))) == 44
