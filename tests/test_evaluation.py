"""Evaluation: figures against a plain count over the same positions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gopolicy import cli, draw, evaluation, policy, weights
from gopolicy.board import Board
from gopolicy.coords import BLACK, PASS, point_to_gtp
from gopolicy.errors import GoPolicyError, UsageError
from gopolicy.evaluation import Answers, figures, half_interval
from gopolicy.games import PackedGames, pack
from gopolicy.policy import Policy
from tests.test_policy import network

ARCHIVE = Path(__file__).parents[1] / "data" / "gnugo-selfplay.tar.gz"


@pytest.fixture(scope="module")
def games_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("games") / "g.gpk"
    pack([ARCHIVE], path)
    return path


@pytest.fixture(scope="module")
def player() -> Policy:
    return Policy(network(), {}, torch.device("cpu"), "float32")


def test_figures_are_those_of_a_plain_count(games_file: Path, player: Policy) -> None:
    packed = PackedGames.open(games_file)
    answers = evaluation.answer(player, packed, "validation", max_positions=300)
    top1 = top5 = cross_entropy = 0.0
    for game, number, mover in zip(answers.game, answers.move_number, answers.mover, strict=True):
        record = packed.record(int(game))
        colour, point = record.moves[number - 1]
        assert point != PASS
        assert colour == mover
        from gopolicy.features import encode

        with torch.inference_mode():
            logs = player.logits(torch.from_numpy(encode(record.position(int(number)))[None]).float())[0].log_softmax(0).numpy()
        order = np.argsort(-logs)
        top1 += order[0] == point
        top5 += point in order[:5]
        cross_entropy -= float(logs[point])
    found = figures(answers)
    assert found["positions"] == len(answers.game) == 300
    assert found["top1"] == pytest.approx(top1 / 300, abs=1e-4)
    assert found["top5"] == pytest.approx(top5 / 300, abs=1e-4)
    assert found["cross_entropy"] == pytest.approx(cross_entropy / 300, abs=1e-4)


@pytest.mark.parametrize("symmetries", [1, 8])
def test_the_first_choice_is_that_of_top_k(games_file: Path, player: Policy, symmetries: int) -> None:
    """Also where the mean of eight views makes all corners nearly alike."""
    packed = PackedGames.open(games_file)
    answers = evaluation.answer(player, packed, "train", symmetries=symmetries, max_positions=2000)
    checked = 0
    for game, number, rank in zip(answers.game, answers.move_number, answers.rank, strict=True):
        if number == 1:  # all points are legal, as evaluation takes them
            board = packed.record(int(game)).position(int(number))
            point = packed.record(int(game)).moves[number - 1][1]
            found = [candidate.move for candidate in player.top_k(board, k=361, symmetries=symmetries)]
            assert found.index(point_to_gtp(point, 19)) == rank
            checked += 1
    assert checked >= 3


def test_a_tie_is_no_right_answer(games_file: Path, player: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """All points alike, as rounded or averaged probabilities may be: the choice is the first, as ``top_k`` has it."""
    monkeypatch.setattr(player, "log_probabilities", lambda planes, symmetries: torch.full((len(planes), 361), -math.log(361)))
    packed = PackedGames.open(games_file)
    answers = evaluation.answer(player, packed, "test", max_positions=100)
    played = [packed.record(int(game)).moves[number - 1][1] for game, number in zip(answers.game, answers.move_number, strict=True)]
    assert answers.rank.tolist() == played


def test_the_interval_covers_what_it_should() -> None:
    """Games of differing strength: of 400 samples of 60 games, about 95 in 100 intervals hold the true mean."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        chances = rng.choice([0.3, 0.6], size=60)  # a game is easy or hard as a whole
        lengths = rng.integers(50, 150, size=60)
        game = np.repeat(np.arange(60), lengths)
        right = rng.random(len(game)) < chances[game]
        held += abs(right.mean() - 0.45) < half_interval(right, game)
    assert 0.91 < held / 400 < 0.98
    assert math.isnan(half_interval(np.array([True, False]), np.array([4, 4])))


def test_parts_add_up_to_the_whole(games_file: Path, player: Policy) -> None:
    packed = PackedGames.open(games_file)
    result = evaluation.evaluate(player, packed, "test")
    for rows in result["by"].values():
        assert sum(row["positions"] for row in rows.values()) == result["positions"]
        right = sum(row["positions"] * row["top1"] for row in rows.values())
        assert right / result["positions"] == pytest.approx(result["top1"], abs=1e-4)
    assert sum(row["positions"] for row in result["calibration"]) == result["positions"]
    assert set(result["by"]["phase"]) >= {"1-50", "51-100", "101-150"}


def test_calibration_of_a_forecaster_that_is_right() -> None:
    rng = np.random.default_rng(1)
    prob = rng.random(50_000)
    answers = Answers(
        game=np.arange(50_000),
        move_number=np.ones(50_000, dtype=np.int64),
        rank=(rng.random(50_000) > prob).astype(np.int64),
        cross_entropy=np.zeros(50_000),
        best_prob=prob,
        mover=np.full(50_000, BLACK, dtype=np.int8),
    )
    for row in evaluation.calibration(answers):
        assert abs(row["prob"] - row["played"]) < 0.03


def test_the_command_prints_one_json_object_and_takes_archives_too(
    games_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights.save(tmp_path / "w.safetensors", network(), {})
    command = ["evaluate", str(tmp_path / "w.safetensors"), str(games_file), "--split", "test", "--symmetries", "8"]
    assert cli.main([*command, "--max-positions", "50", "--device", "cpu", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["positions"] == 50
    assert {"top1", "top5", "cross_entropy", "by", "calibration"} <= set(printed)
    assert cli.main(["evaluate", str(tmp_path / "w.safetensors"), str(ARCHIVE), "--max-positions", "60"]) == 0
    assert "all" in capsys.readouterr().out


@pytest.mark.skipif(policy.quickest() != "int8", reason="no convolutions of 8-bit integers here")
def test_the_command_computes_in_the_number_format_it_is_told(games_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for precision in ("float32", "int8"):
        command = ["evaluate", "playouts", str(games_file), "--max-positions", "200", "--device", "cpu", "--precision", precision, "--json"]
        assert cli.main(command) == 0
        told.append(json.loads(capsys.readouterr().out)["cross_entropy"])
    assert 0 < abs(told[0] - told[1]) < 0.03


def test_pictures_show_the_moves_it_found_least_likely(games_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights_file = tmp_path / "w.safetensors"
    weights.save(weights_file, network(), {})
    folder = tmp_path / "new" / "pictures"
    folder.mkdir(parents=True)
    (folder / "wrong-07.png").write_bytes(b"of an earlier network")
    arguments = ["evaluate", str(weights_file), str(games_file), "--split", "validation", "--max-positions", "900", "--json"]
    assert cli.main([*arguments, "--pictures", str(folder), "--wrong", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["positions"] == 900
    assert sorted(path.name for path in folder.iterdir()) == ["accuracy.png", "wrong-01.png", "wrong-02.png"]
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in folder.iterdir())


def test_pictures_show_what_was_measured(
    games_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All the views of the board that were asked; and the figures are told even if no picture can be drawn."""

    def picture(board: Board, path: Path, probs: np.ndarray, title: str, played: int) -> None:
        asked = policy.load(weights_file, device="cpu")
        np.testing.assert_allclose(probs, asked.probabilities(board, 8), atol=1e-6)
        assert abs(probs - asked.probabilities(board)).max() > 1e-3
        raise GoPolicyError("no picture")

    weights_file = tmp_path / "w.safetensors"
    weights.save(weights_file, network(), {})
    monkeypatch.setattr(draw, "board_picture", picture)
    arguments = ["evaluate", str(weights_file), str(games_file), "--symmetries", "8", "--max-positions", "64", "--device", "cpu", "--json"]
    assert cli.main([*arguments, "--pictures", str(tmp_path / "pictures")]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["symmetries"] == 8
    assert printed.err.rstrip().endswith("no picture")


def test_the_most_wrong_are_the_least_likely_of_different_games() -> None:
    rng = np.random.default_rng(3)
    game = rng.integers(0, 6, 200)
    cross_entropy = rng.random(200)
    answers = Answers(game, np.ones(200, int), np.zeros(200, int), cross_entropy, np.ones(200), np.ones(200, np.int8))
    chosen = evaluation.most_wrong(answers, 4)
    best_of_game = sorted((cross_entropy[game == g].max() for g in range(6)), reverse=True)
    assert [cross_entropy[i] for i in chosen] == best_of_game[:4]
    assert len(evaluation.most_wrong(answers, 100)) == 6


@pytest.mark.parametrize("option", ["--max-positions=0", "--max-positions=-200", "--threads=-1", "--seed=-1", "--wrong=-1"])
def test_a_number_that_means_nothing_is_refused(games_file: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "fast", str(games_file), option]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("gopolicy evaluate: ")
    assert said.count("\n") == 0
    assert "expected" in said


@pytest.mark.parametrize("positions", [0, -5, 2.5])
def test_a_number_of_positions_that_means_nothing_is_refused(games_file: Path, player: Policy, positions: Any) -> None:
    with pytest.raises(UsageError, match="expected a whole number, 1 or more"):
        evaluation.evaluate(player, PackedGames.open(games_file), "test", max_positions=positions)
    with pytest.raises(UsageError, match="the seed"):
        evaluation.evaluate(player, PackedGames.open(games_file), "test", seed=-1)


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_measured(
    games_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["evaluate", "fast", str(games_file), "--pictures", str(tmp_path / "file" / "new")]) == 1
    said = capsys.readouterr().err
    assert "evaluating" not in said
    assert said.count("\n") == 1
    assert str(tmp_path / "file") in said


def test_a_split_is_of_a_packed_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "fast", str(ARCHIVE), "--split", "test"]) == 2
    assert "--split test is for a packed set" in capsys.readouterr().err
