"""From archives to a network in one command: stopped at odd moments, with odd archives."""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gopolicy import games, training, weights
from gopolicy.batches import Batches
from tests.test_games import record, write

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import train

SMALL = "--planes alphago4 --filters 4 --layers 2 --batch-size 16 --validation-positions 16 --threads 1 --batch-threads 1 --device cpu"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write(tmp_path / "in", [record(seed) for seed in range(5)])


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments), *SMALL.split(), "--processes", "1"])
    return train.main()


def test_stopped_while_the_games_are_written_the_same_command_begins_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", stop)
    assert main(monkeypatch, archive, "--out", run, "--steps", "2") == 1
    assert capsys.readouterr().err.rstrip().endswith("train.py: stopped")
    (run / ".games.gpk.part").write_bytes(b"half")  # of a kill
    monkeypatch.setattr(os, "fsync", fsync)
    assert main(monkeypatch, archive, "--out", run, "--steps", "2") == 0
    assert weights.load(run / "weights.safetensors")[1]["steps"] == 2
    assert not (run / ".games.gpk.part").exists()


def test_stopped_while_it_is_loaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("builtins.__import__", stop)
        status = train.main()
    assert (status, capsys.readouterr().err) == (1, "train.py: stopped\n")


def test_a_kill_right_after_the_packing(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, pack = tmp_path / "run", games.run

    def killed(args: Namespace) -> int:
        pack(args)
        raise SystemExit

    monkeypatch.setattr(games, "run", killed)
    with pytest.raises(SystemExit):
        main(monkeypatch, archive, "--out", run, "--steps", "2")
    monkeypatch.setattr(games, "run", pack)
    assert (run / "games.gpk").is_file()
    assert main(monkeypatch, archive, "--out", run, "--steps", "2") == 0


def test_other_archives_are_not_taken_for_those_that_were_packed(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(monkeypatch, archive, "--out", run, "--steps", "1") == 0
    (archive / "more.sgf").write_text("(;SZ[19];B[aa])", encoding="utf-8")
    assert main(monkeypatch, archive, "--out", run, "--steps", "2", "--resume") == 1
    (archive / "more.sgf").unlink()
    for other in (["--min-moves", "2"], ["--illegal", "cut"]):
        assert main(monkeypatch, archive, "--out", run, "--steps", "2", "--resume", *other) == 1
    assert capsys.readouterr().err.count("was made from other archives or with other filters") == 3
    assert main(monkeypatch, archive, "--out", run, "--steps", "2", "--resume") == 0
    os.utime(archive / "000.sgf", ns=(0, 0))
    assert main(monkeypatch, archive, "--out", run, "--steps", "3", "--resume") == 1, "a file was written again"
    (run / ".games-origin").unlink()
    assert main(monkeypatch, archive, "--out", run, "--steps", "3", "--resume") == 1, "games that something else has packed"


def test_what_is_wrong_with_the_options_is_said_before_the_games_are_packed(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(monkeypatch, archive, "--out", run, "--steps", "-1") == 2
    assert "steps" in capsys.readouterr().err
    assert not run.exists()
    assert main(monkeypatch, "--out", run, "--steps", "1") == 1
    assert f"no archive given, and there is no {run / 'games.gpk'}" in capsys.readouterr().err
    assert main(monkeypatch, archive, "--out", run, "--steps", "1", "--init", tmp_path / "none") == 1, "this is known after the packing"
    assert (run / "games.gpk").exists()
    assert main(monkeypatch, archive, "--out", run, "--steps", "1") == 0
    capsys.readouterr()
    assert main(monkeypatch, archive, "--out", run, "--steps", "1") == 1, "the run is not begun again"
    assert "--resume goes on with the run in it" in capsys.readouterr().err


def test_a_run_folder_among_the_games(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the run writes are no other games."""
    monkeypatch.chdir(archive)
    assert main(monkeypatch, ".", "--out", "run", "--steps", "1") == 0
    assert main(monkeypatch, archive, "--out", archive / "run", "--steps", "2", "--resume") == 0
    assert weights.load(archive / "run" / "weights.safetensors")[1]["steps"] == 2
    (archive / "more").mkdir()
    assert main(monkeypatch, ".", "--out", "more/runs/one", "--steps", "1") == 0
    assert main(monkeypatch, ".", "--out", "more/runs/one", "--steps", "2", "--resume") == 0


def test_a_second_start_leaves_the_first_its_metrics(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    pack = games.run
    with ExitStack() as first:

        def while_the_first_begins(args: Namespace) -> None:
            pack(args)
            first.enter_context(training.alone(run, None))
            (run / "metrics.jsonl").touch()

        monkeypatch.setattr(games, "run", while_the_first_begins)
        assert main(monkeypatch, archive, "--out", run, "--steps", "2") == 1
    assert f"another process trains in {run}" in capsys.readouterr().err
    assert (run / "metrics.jsonl").exists()


def test_metrics_that_another_start_took_away_are_no_error(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What its own run says is told."""
    run = tmp_path / "run"

    def refused(*_: Any) -> int:
        (run / "metrics.jsonl").unlink()
        raise training.OptionError("--init is wrong")

    monkeypatch.setattr(training, "run", refused)
    assert main(monkeypatch, archive, "--out", run, "--steps", "2") == 2
    assert capsys.readouterr().err.endswith("train.py: --init is wrong\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_whoever_stops_it_is_told_how_to_go_on(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    make = Batches.make

    def stopped(self: Batches, step: int) -> Any:
        if step == 3:  # a second signal would end it at once
            os.kill(os.getpid(), signal.SIGINT)
        return make(self, step)

    monkeypatch.setattr(Batches, "make", stopped)
    assert main(monkeypatch, archive, "--out", tmp_path / "run", "--steps", "9") == 128 + signal.SIGINT
    assert f"to go on: python train.py --out {tmp_path / 'run'} --resume" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="links as on POSIX")
def test_a_link_that_leads_nowhere(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an editor leaves beside a game that is open in it; and one that leads to itself."""
    (archive / ".#game.sgf").symlink_to("user@host.1:2")
    (archive / "loop.sgf").symlink_to("loop.sgf")
    assert main(monkeypatch, archive, "--out", tmp_path / "run", "--steps", "1") == 0


def test_an_empty_name_is_not_the_folder_at_hand(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(archive)
    with pytest.raises(SystemExit) as stop:
        main(monkeypatch, "", "--out", tmp_path / "run", "--steps", "1")
    assert stop.value.code == 2
    assert "expected the name of a file or folder" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
