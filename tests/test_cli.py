"""The command: exit statuses, one sentence for what cannot be done, and nothing but JSON where JSON is asked for."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gopolicy import cli, policy, weights
from gopolicy.board import Board
from gopolicy.sgf import write_sgf
from tests.test_games import record, write
from tests.test_policy import network
from tests.test_scoring import Uniform

ROOT = Path(__file__).parents[1]
SMALL = "--planes alphago4 --filters 4 --layers 2 --batch-size 16 --validation-positions 16 --device cpu"


@pytest.fixture
def game(tmp_path: Path) -> Path:
    path = tmp_path / "game.sgf"
    path.write_text(write_sgf(record(4)), encoding="utf-8")
    return path


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    weights.save(tmp_path / "w.safetensors", network(), {})
    return tmp_path / "w.safetensors"


def test_top_tells_the_moves_and_the_one_played(game: Path, weights_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["top", str(game), "--move", "57", "-k", "3", "--weights", str(weights_file)]
    assert cli.main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["move_number"] == 57
    assert printed["to_play"] == "black"
    assert len(printed["top"]) == 3
    from gopolicy.coords import point_to_gtp

    assert printed["played"] == point_to_gtp(record(4).moves[56][1], 19)
    assert cli.main(command) == 0
    drawn = capsys.readouterr().out
    assert printed["top"][0]["move"] in drawn
    ranked = policy.load(weights_file).top_k(record(4).position(57), 361)
    place = [candidate.move for candidate in ranked].index(printed["played"])
    assert place >= 3, "the table does not tell where it stands"
    assert drawn.endswith(f"played: {printed['played']}, choice {place + 1} of the network, {100 * ranked[place].prob:.1f} %\n")
    tops = []
    for views in (1, 8):
        assert cli.main([*command, "--json", "--symmetries", str(views)]) == 0
        tops.append([(told["move"], told["prob"]) for told in json.loads(capsys.readouterr().out)["top"]])
        candidates = policy.load(weights_file).top_k(record(4).position(57), 3, views)
        assert tops[-1] == [(candidate.move, round(candidate.prob, 6)) for candidate in candidates]
    assert tops[0] != tops[1]


def test_top_at_the_end_of_a_game_has_no_played_move(game: Path, weights_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", str(game), "--weights", str(weights_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["played"] is None


def test_top_after_a_pass_says_so(tmp_path: Path, weights_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ended.sgf"
    path.write_text("(;SZ[9];B[ee];W[];B[])")
    for move, after in [([], ", after a pass (which the network never chooses)"), (["--move", "2"], "")]:
        assert cli.main(["top", str(path), *move, "--weights", str(weights_file)]) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"ended.sgf: white to play move {move[1] if move else 4}{after}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["top", "nowhere.sgf"], "nowhere.sgf"),
        (["top", "GAME", "--move", "99", "--weights", "WEIGHTS"], "no move 99"),
        (["top", "GAME", "--weights", "none.safetensors"], "none.safetensors"),
        (["top", "GAME", "--weights", "GAME"], "game.sgf"),
        (["evaluate", "WEIGHTS", "nowhere.gpk"], "nowhere.gpk"),
        (["pack", "nowhere.zip", "--out", "OUT/g.gpk"], "nowhere.zip"),
        (["pack", "GAME", "--out", "nowhere/g.gpk"], "nowhere"),
        (["train", "nowhere.gpk", "--out", "OUT/run"], "nowhere.gpk"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_1(
    arguments: list[str], words: str, game: Path, weights_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"GAME": str(game), "WEIGHTS": str(weights_file)}
    arguments = [names.get(argument, argument.replace("OUT", str(tmp_path))) for argument in arguments]
    assert cli.main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.strip().splitlines()[-1]
    assert words in last
    assert last.startswith(f"gopolicy {arguments[0]}: ")
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "arguments",
    [["top"], ["nonsense"], ["pack", "x"], ["train", "a.gpk"], ["pack", "", "--out", "x"], ["evaluate", "a", "b", "--split", "some"]],
)
def test_wrong_use_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "WEIGHTS", "GAME", "--symmetries", "9"], "1 to 8"),
        (["top", "GAME", "-k", "0"], "1 or more"),
        (["top", "GAME", "--move", "0", "--weights", "WEIGHTS"], "--move is 0, expected a whole number, 1 or more"),
        (["top", "GAME", "--weights", "WEIGHTS", "--device", "meta"], "device 'meta' is not to be had here"),
        (["evaluate", "WEIGHTS", "GAME", "--precision", "fp8"], "the precision 'fp8' is not known: take auto, bf16, float32, or int8"),
        (["train", "--out", "OUT/run", "--resume"], "there is no checkpoint in"),
        (["train", "a.gpk", "--out", "OUT/run", "--filters", "0"], "filters"),
        (["train", "a.gpk", "--out", "OUT/run", "--batch-size", "100"], "multiple of 8"),
        (["train", "--out", "OUT/run"], "gopolicy pack"),
    ],
)
def test_an_option_that_cannot_be_is_a_sentence_and_status_2(
    arguments: list[str], words: str, game: Path, weights_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"GAME": str(game), "WEIGHTS": str(weights_file)}
    assert cli.main([names.get(argument, argument.replace("OUT", str(tmp_path))) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith(f"gopolicy {arguments[0]}: ")


def test_ctrl_c_while_a_command_is_loaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def home(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_home", home)
    assert cli.main(["evaluate", "fast", "games.gpk"]) == 1
    assert capsys.readouterr().err == "gopolicy evaluate: stopped\n"


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to …"), RuntimeError("MPS backend out of memory (MPS allocated …")],
)
def test_too_little_memory_is_a_sentence(
    error: Exception, game: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raised = [error, RuntimeError("a fault")]

    def full(*_: object, **__: object) -> None:
        raise raised.pop(0)

    monkeypatch.setattr(policy.Policy, "top_k", full)
    assert cli.main(["top", str(game), "--weights", str(weights_file)]) == 1
    assert capsys.readouterr().err == "gopolicy top: there is not the memory for this: end other programs that take it\n"
    with pytest.raises(RuntimeError, match="a fault"):
        cli.main(["top", str(game), "--weights", str(weights_file)])


def test_a_library_that_is_not_there_is_a_sentence(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert cli.main(["pack", str(archive), "--out", str(tmp_path / "games.gpk")]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("gopolicy pack: ")
    assert "tqdm" in said
    assert said.endswith(f"what gopolicy needs is not installed for this Python ({sys.executable})")


def test_a_fault_after_the_move_asked_for_does_not_matter(tmp_path: Path, weights_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    game = tmp_path / "game.sgf"
    game.write_text("(;SZ[19];B[dd];W[pp];B[dd])")
    assert cli.main(["top", str(game), "--move", "2", "--weights", str(weights_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["played"] == "Q4"
    assert cli.main(["top", str(game), "--weights", str(weights_file)]) == 1
    assert "occupied" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_a_sentence(game: Path, tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["pack", str(archive), "--out", str(tmp_path / "g.gpk"), "--processes", "1"])
    capsys.readouterr()
    assert cli.main(["train", str(tmp_path / "g.gpk"), "--out", str(game / "run"), "--steps", "1", *SMALL.split()]) == 1
    said = capsys.readouterr().err
    assert said.startswith("gopolicy train: ")
    assert said.count("\n") == 1


QUERY = {"id": "q", "moves": [], "boardXSize": 3, "boardYSize": 3}


@pytest.mark.parametrize(("command", "line"), [("gtp", "genmove b"), ("analysis", json.dumps(QUERY))])
def test_the_options_of_an_engine_reach_its_networks(command: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The playouts' network runs where the other does, at the speed that is best there."""
    loaded: dict[str, dict[str, object]] = {}
    asked: list[int] = []

    class Player(Uniform):
        def probabilities(self, board: Board, symmetries: int = 1) -> npt.NDArray[np.float32]:
            asked.append(symmetries)
            return self.probabilities_batch([board])[0]

        def probabilities_batch(self, boards: list[Board]) -> list[npt.NDArray[np.float32]]:
            return [board.legal_mask().astype(np.float32) for board in boards]

    def load(name: str, **options: object) -> Player:
        assert name not in loaded, "once"
        loaded[name] = options
        return Player()

    monkeypatch.setattr(policy, "load", load)
    monkeypatch.setattr(policy, "quickest", lambda device: f"quickest on {device}")
    monkeypatch.setattr(weights, "packaged", lambda: ["playouts"])
    serve_here = lambda serve, _: serve(io.BytesIO(f"{line}\n{line}".encode()), io.BytesIO())  # noqa: E731
    monkeypatch.setattr(import_module(f"gopolicy.{command}"), "run_process", serve_here)
    options = "--weights w.safetensors --device cuda:1 --threads 3 --precision bf16 --symmetries 8"
    cli.main([command, *options.split()])
    both = {"device": "cuda:1", "threads": 3}
    assert loaded == {"w.safetensors": both | {"precision": "bf16"}, "playouts": both | {"precision": "quickest on cuda:1"}}
    assert asked == [8, 8]


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "pack" in capsys.readouterr().err


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "gopolicy", "--version"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.startswith("gopolicy ")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of games, enough for every split."""
    return write(tmp_path_factory.mktemp("cli") / "archive", [record(seed, moves=12) for seed in range(200)])


def start(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONUNBUFFERED", None)  # with it, output meets its reader earlier than users' output does
    command = [sys.executable, "-m", "gopolicy", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **options)  # type: ignore[call-overload, no-any-return]


def test_all_the_way_says_nothing_but_json_on_standard_output(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    games, run = tmp_path / "games.gpk", tmp_path / "run"
    assert cli.main(["pack", str(archive), "--out", str(games), "--processes", "1"]) == 0
    assert cli.main(["train", str(games), "--out", str(run), "--steps", "2", *SMALL.split()]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "200 games read, 200 kept" in err
    command = ["evaluate", str(run / "weights.safetensors"), str(games), "--split", "all", "--max-positions", "30"]
    assert cli.main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["positions"] == 30
    assert 0 <= answer["top1"] <= answer["top5"] <= 1
    assert answer["cross_entropy"] > 0
    assert cli.main(command) == 0
    assert f"{answer['cross_entropy']:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: gopolicy {command}")


@pytest.mark.parametrize(("arguments", "status"), [(["--lr", "-1"], 2), (["--planes", "alphago49"], 2), (["--resume"], 1)])
def test_a_run_that_cannot_start_leaves_nothing_behind(
    arguments: list[str], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", str(tmp_path / "none.gpk"), "--out", str(tmp_path / "run"), *arguments]) == status
    assert capsys.readouterr().err.startswith("gopolicy train: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="pipes that break as on POSIX")
def test_a_reader_that_goes_away(game: Path, weights_file: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with start("top", game, "--weights", weights_file, stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate()
    assert (process.returncode, err) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk as Linux has one")
def test_a_full_disk() -> None:
    with open("/dev/full", "w") as full, start("--version", stdout=full) as process:
        _, err = process.communicate()
    assert (process.returncode, err) == (1, "gopolicy: No space left on device\n")


def test_a_name_that_the_terminal_cannot_write(game: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "cp1252"))
    assert cli.main(["top", str(game.rename(game.with_name("碁.sgf"))), "--weights", str(weights_file)]) == 0
    assert written.getvalue().startswith(rb"\u7881.sgf: ")


def test_without_standard_output(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as after `>&-`
    assert cli.main(["pack", str(archive), "--out", str(tmp_path / "g.gpk"), "--processes", "1"]) == 0


def test_without_standard_error(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as after `2>&-`
    assert cli.main(["pack", str(archive), "--out", str(tmp_path / "g.gpk"), "--processes", "1"]) == 0
    assert cli.main(["pack", str(tmp_path / "nowhere"), "--out", str(tmp_path / "h.gpk")]) == 1
    sys.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_ctrl_c_ends_cleanly_and_keeps_what_was_done(archive: Path, tmp_path: Path) -> None:
    games, run = tmp_path / "games.gpk", tmp_path / "run"
    assert cli.main(["pack", str(archive), "--out", str(games), "--processes", "1"]) == 0
    with start("train", games, "--out", run, "--steps", "1000000", "--log-every", "1", *SMALL.split()) as process:
        metrics = run / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
    assert err.rstrip().endswith(f"to go on: gopolicy train --out {run} --resume")
    _, description = weights.load(run / "weights.safetensors")
    assert description["steps"] >= 1
