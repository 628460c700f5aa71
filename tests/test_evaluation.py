"""Evaluation: figures against a plain count over the same positions."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gopolicy import __version__, batches, cli, draw, evaluation, policy, training, weights
from gopolicy.board import Board
from gopolicy.coords import BLACK, PASS, WHITE, point_to_gtp
from gopolicy.errors import GamesError, GoPolicyError, UsageError
from gopolicy.evaluation import Answers, figures, half_interval
from gopolicy.games import Filter, PackedGames, pack
from gopolicy.policy import Policy
from tests import test_games
from tests.test_policy import network

ARCHIVE = Path(__file__).parents[1] / "data" / "gnugo-selfplay.tar.gz"


@pytest.fixture(scope="module")
def player() -> Policy:
    return Policy(network(), {}, torch.device("cpu"), "float32")


def test_figures_are_those_of_a_plain_count(packed_file: Path, player: Policy) -> None:
    packed = PackedGames.open(packed_file)
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
def test_the_first_choice_is_that_of_top_k(packed_file: Path, player: Policy, symmetries: int) -> None:
    """Also where the mean of eight views makes all corners nearly alike."""
    packed = PackedGames.open(packed_file)
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


def test_a_tie_is_no_right_answer(packed_file: Path, player: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """All points alike, as rounded or averaged probabilities may be: the choice is the first, as ``top_k`` has it."""
    monkeypatch.setattr(player, "log_probabilities", lambda planes, symmetries: torch.full((len(planes), 361), -math.log(361)))
    packed = PackedGames.open(packed_file)
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
    # Three of four right, and none of two: 1 more and 1 less than half of the positions of each game; Student's 12.706 for two games.
    assert half_interval(np.array([1, 1, 1, 0, 0, 0]), np.array([7, 7, 7, 7, 2, 2])) == pytest.approx(12.706 * 2 / 6)


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_the_interval_of_few_games_covers_it_too(count: int) -> None:
    """What the variance between few games says is itself uncertain: with 1.96 only 70 in 100 intervals of two games held the true mean."""
    rng = np.random.default_rng(count)
    game = np.repeat(np.arange(count), 100)
    held = 0
    for _ in range(600):
        right = rng.random(len(game)) < rng.normal(0.5, 0.08, size=count)[game]
        held += abs(right.mean() - 0.5) <= half_interval(right, game)
    assert 0.92 < held / 600 < 0.98


def test_the_factor_of_an_interval_is_student_s() -> None:
    """Against tables of the t distribution, two-sided, 95 %."""
    for games, factor in [(10, 2.262), (11, 2.228), (12, 2.201), (21, 2.086), (31, 2.042), (61, 2.000), (10**6, 1.960)]:
        sums = np.where(np.arange(games) % 2, 1.0, -1.0)
        spread = math.sqrt(games / (games - 1) * np.sum((sums - sums.mean()) ** 2)) / games
        assert half_interval(sums, np.arange(games)) == pytest.approx(factor * spread, rel=2e-3)


def test_parts_add_up_to_the_whole(packed_file: Path, player: Policy) -> None:
    packed = PackedGames.open(packed_file)
    result = evaluation.evaluate(player, packed, "test")
    for rows in result["by"].values():
        assert sum(row["positions"] for row in rows.values()) == result["positions"]
        right = sum(row["positions"] * row["top1"] for row in rows.values())
        assert right / result["positions"] == pytest.approx(result["top1"], abs=1e-4)
    assert sum(row["positions"] for row in result["calibration"]) == result["positions"]
    assert set(result["by"]["phase"]) >= {"1-50", "51-100", "101-150"}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, player: Policy) -> tuple[PackedGames, Answers]:
    """Ten games, and the answers of a network that gives every move of a player the same probability.

    Five even games of 60 moves on KGS: Black, 9d, plays what it gives 95 %, White, 1d, what it gives 30 % where it gives another point
    45 %. Then five handicap games of 52 moves on Fox: White, of no rank, plays what it gives 10 % where it gives five others 15 % each,
    Black, 5k, what it gives 25 %; two of these have the stones of the handicap, but do not tell it.
    """
    answers = {"9d": (0, 0.0, 0.95), "1d": (1, 0.45, 0.3), "": (5, 0.15, 0.1), "5k": (0, 0.0, 0.25)}
    games, rows = [], []
    for seed in range(10):
        game = test_games.record(seed, 60, ranks=("9d", "1d"), server="KGS")
        if seed >= 5:
            moves = tuple((-colour, point) for colour, point in game.moves[:52])
            setup = ((BLACK, 60), (BLACK, 300))
            game = replace(game, ranks=("5k", ""), server="Fox", handicap=2 * (seed % 2), setup=setup, to_play=WHITE, moves=moves)
        games.append(game)
        rows.append([])
        for colour, point in game.moves:
            others, theirs, own = answers[game.ranks[colour == WHITE]]
            probs = np.full(361, (1 - others * theirs - own) / (360 - others))
            probs[[(point + 1 + i) % 361 for i in range(others)]] = theirs
            probs[point] = own
            rows[-1].append(torch.from_numpy(probs).float().log())
    folder = tmp_path_factory.mktemp("known")
    pack([test_games.write(folder / "in", games)], folder / "g.gpk")
    packed = PackedGames.open(folder / "g.gpk")
    drawn = dict.fromkeys(int(game) for *_, info in batches.fixed(packed, "all") for game in info["game"])
    told = (row for game in drawn for row in rows[game])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(player, "log_probabilities", lambda planes, symmetries: torch.stack([next(told) for _ in planes]))
        return packed, evaluation.answer(player, packed, "all")


def test_figures_by_kind_and_calibration_of_known_answers(known: tuple[PackedGames, Answers]) -> None:
    packed, answers = known
    black, white, weak, unknown = (-math.log(prob) for prob in (0.95, 0.3, 0.25, 0.1))
    even, handicap = (0.5, 0.0, 1.0, (black + white) / 2, 300, 5), (0.5, 0.0, 0.5, (weak + unknown) / 2, 260, 5)
    opening = (0.5, 0.0, 0.75, (black + white + weak + unknown) / 4, 500, 10)
    rest = (0.5, 0.0, 11 / 12, (5 * black + 5 * white + weak + unknown) / 12, 60, 10)
    expected = {
        "phase": {"1-50": opening, "51-100": rest},
        "handicap": {"even": even, "handicap": handicap},
        "rank": {
            "5k": (1.0, 0.0, 1.0, weak, 130, 5),
            "1d": (0.0, 0.0, 1.0, white, 150, 5),
            "9d": (1.0, 0.0, 1.0, black, 150, 5),
            "unknown": (0.0, 0.0, 0.0, unknown, 130, 5),
        },
        "server": {"KGS": even, "Fox": handicap},
    }
    columns = ("top1", "top1_interval", "top5", "cross_entropy", "positions", "games")
    found = evaluation.summary(answers, packed, "all", 1)
    assert {kind: list(rows) for kind, rows in found["by"].items()} == {kind: list(rows) for kind, rows in expected.items()}
    for kind, rows in expected.items():
        for label, values in rows.items():
            assert found["by"][kind][label] == pytest.approx(dict(zip(columns, values, strict=True)), abs=2e-5), (kind, label)
    assert [(row["prob"], row["played"], row["positions"]) for row in found["calibration"]] == [
        (0.15, 0.0, 130),
        (0.25, 1.0, 130),
        (0.45, 0.0, 150),
        (0.95, 1.0, 150),
    ]


def test_the_edges_of_kinds_and_of_calibration(tmp_path: Path) -> None:
    """Handicap stones may be told and not set up, as those that Black places with moves; and one stone is none."""
    told = ((2, "KGS"), (1, ""), (0, ""))
    free, *rest = (test_games.record(seed, handicap=stones, server=server) for seed, (stones, server) in enumerate(told))
    free = replace(free, moves=free.moves[:1] + free.moves[2:])
    pack([test_games.write(tmp_path / "in", [free, *rest])], tmp_path / "g.gpk")
    game, number, prob = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([1, 50, 51, 100, 101, 200, 201]), [0.0, 0.11, 0.13, 0.5, 0.58, 0.92, 1.0]
    answers = Answers(game, number, np.zeros(7, int), np.zeros(7), np.array(prob), np.full(7, BLACK, np.int8))
    found = evaluation.breakdown(answers, PackedGames.open(tmp_path / "g.gpk"))
    assert {kind: {label: row["positions"] for label, row in rows.items()} for kind, rows in found.items() if kind != "rank"} == {
        "phase": {"1-50": 2, "51-100": 2, "101-150": 1, "151-200": 1, "201+": 1},
        "handicap": {"even": 4, "handicap": 3},
        "server": {"KGS": 3, "unknown": 4},
    }
    assert [(row["prob"], row["positions"]) for row in evaluation.calibration(answers)] == [(0.0, 1), (0.12, 2), (0.54, 2), (0.96, 2)]


def test_the_table_shows_each_figure_in_its_column() -> None:
    figures_ = {"top1": 0.5125, "top1_interval": 0.0123, "top5": 0.875, "cross_entropy": 1.75, "positions": 12345, "games": 67}
    by = {"phase": {"1-50": figures_ | {"top1_interval": None}, "51-100": figures_ | {"top1_interval": 1.9271}}}
    rows = evaluation.report({**figures_, "by": by, "calibration": [{"prob": 0.95, "played": 0.9, "positions": 1234}]}).split("\n")
    assert [" ".join(row.split()) for row in rows if row] == [
        "top-1 top-5 x-entropy positions games",
        "all 51.25 % ±1.23 87.50 % 1.7500 12,345 67",
        "phase 1-50 51.25 % 87.50 % 1.7500 12,345 67",
        "phase 51-100 51.25 % 87.50 % 1.7500 12,345 67",
        "calibration of the first choice: given probability, and share played",
        "95.0 %: 90.0 % (1,234 positions)",
    ]


def test_pictures_of_known_answers(
    known: tuple[PackedGames, Answers], player: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rank is that of the player to move, and the move that is shown as played that of the position. One game goes wrong as a whole."""
    packed, answers = known
    answers = replace(answers, rank=np.where(answers.game == 0, 9, answers.rank))
    at = int(np.flatnonzero((answers.game == 7) & (answers.move_number == 32))[0])
    answers = replace(answers, cross_entropy=np.where(np.arange(len(answers.game)) == at, -math.log(0.02), answers.cross_entropy))
    figures_drawn: list[Any] = []
    boards_drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures_drawn.append(figure))
    monkeypatch.setattr(draw, "board_picture", lambda *drawn: boards_drawn.append(drawn))
    evaluation.write_pictures(answers, packed, player, tmp_path, 1, 1)
    left, middle, right = figures_drawn[0].axes
    np.testing.assert_allclose(left.lines[1].get_xydata(), [(15, 0), (25, 100), (45, 0), (95, 80)])
    assert left.lines[0].get_xydata().tolist() == [[0, 0], [100, 100]]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["perfectly calibrated", "first choice"]
    assert (left.get_xlabel(), left.get_ylabel()[:13]) == ("probability given to the first choice (%)", "share of them")
    for axis, labels, shares in ((middle, "1 21 41", [45, 45, 43.75]), (right, "5k 1d 9d none", [100, 0, 80, 0])):
        assert [label.get_text() for label in axis.get_xticklabels()] == labels.split()
        assert axis.containers[0].lines[0].get_ydata() == pytest.approx(shares, abs=1e-3)
        assert axis.containers[0].lines[0].get_linestyle() == "None"
        (line,) = (line for line in axis.lines if line.get_linestyle() == "-" and line.get_marker() == "None")
        np.testing.assert_allclose(line.get_xydata(), [*enumerate(shares[:3])], atol=1e-3)  # without those of no rank
    assert right.get_xticks().tolist() == [0, 1, 2, 4]
    (top,) = (max(end for _, end in bar) for place, bar in enumerate(right.containers[0].lines[2][0].get_segments()) if place == 2)
    assert top == pytest.approx(80 + 277.6 * math.sqrt(5 / 4 * (24**2 + 4 * 6**2)) / 150, abs=1e-2)  # 24 less than 80 %, and 6 more in four

    board, path, probs, title, played = boards_drawn[0]
    game = packed.record(7)
    assert path == tmp_path / "wrong-01.png"
    assert (BLACK, played) == game.moves[31]
    best = int(probs.argmax())
    assert best != played
    assert title == (
        f"Black to play move 32: {point_to_gtp(played, 19)} was played (2 %)\n"
        f"first choice {point_to_gtp(best, 19)} ({100 * probs.flat[best]:.0f} %); a – b, 2017-03-04"
    )
    assert board.to_play == BLACK
    stones = np.zeros(361, dtype=int)
    for colour, point in (*game.setup, *game.moves[:31]):
        stones[point] = colour
    assert np.array_equal(np.asarray(board.stones()).reshape(361), stones)


def test_a_picture_of_a_game_of_which_nothing_is_known(player: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack([test_games.write(tmp_path / "in", [test_games.record(1, players=("", ""), date="")])], tmp_path / "g.gpk")
    titles: list[str] = []
    monkeypatch.setattr(draw, "board_picture", lambda *drawn: titles.append(drawn[3]))
    one = np.ones(1, int)
    evaluation.write_pictures(
        Answers(0 * one, one, one, one * 3.0, one * 0.5, one), PackedGames.open(tmp_path / "g.gpk"), player, tmp_path, 1, 1
    )
    assert titles[0].endswith("; Black – White, no date")


def test_names_below_a_picture_do_not_run_into_one_another(
    known: tuple[PackedGames, Answers], player: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of 18 groups of move numbers, as long games have, and of 16 ranks beside none."""
    number = np.arange(3_400)
    answers = Answers(number % 10, 1 + number // 10, number % 2, number, number / 3_400, np.full(3_400, BLACK))
    monkeypatch.setattr(evaluation, "mover_ranks", lambda *_: number // 10 % 18 - 8 * (number // 10 % 18 > 0))
    figures_drawn: list[Any] = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures_drawn.append(figure))
    evaluation.write_pictures(answers, known[0], player, tmp_path, 0, 1)
    figures_drawn[0].draw_without_rendering()
    for axis in figures_drawn[0].axes[1:]:
        boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
        assert len(boxes) >= 6
        assert all(box.x1 < after.x0 for box, after in pairwise(boxes))


def test_groups_that_say_too_little_are_not_drawn(
    known: tuple[PackedGames, Answers], player: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of 99 positions, or of four games; and the last group has a single move number."""
    number, games_ = np.repeat([1, 21, 41], [99, 100, 100]), np.concatenate([np.arange(99) % 5, np.arange(100) % 4, np.arange(100) % 5])
    answers = Answers(games_, number, np.zeros(299, int), np.zeros(299), np.ones(299), np.full(299, BLACK))
    figures_drawn: list[Any] = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures_drawn.append(figure))
    evaluation.write_pictures(answers, known[0], player, tmp_path, 0, 1)
    assert [label.get_text() for label in figures_drawn[0].axes[1].get_xticklabels()] == ["41"]


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
    packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights.save(tmp_path / "w.safetensors", network(), {})
    options = ["--symmetries", "8", "--max-positions", "50", "--device", "cpu", "--json"]
    asked, packed = policy.load(tmp_path / "w.safetensors", device="cpu"), PackedGames.open(packed_file)
    printed = []
    for seed in (1, 3):
        assert cli.main(["evaluate", str(tmp_path / "w.safetensors"), str(packed_file), *options, "--seed", str(seed)]) == 0
        printed.append(json.loads(capsys.readouterr().out))
        of_it = evaluation.evaluate(asked, packed, "test", symmetries=8, max_positions=50, seed=seed)
        assert {name: printed[-1][name] for name in of_it} == of_it
        assert {name: value for name, value in printed[-1].items() if name not in of_it} == {
            "gopolicy": __version__,
            "weights": str(tmp_path / "w.safetensors"),
            "saved": asked.description["saved"],
            "precision": "bf16" if asked.number == torch.bfloat16 else "float32",
            "sources": packed.sources,
            "digest": training.data_facts(packed_file, packed, 0)["digest"],  # as weights have it that were trained on these games
            "seed": seed,
        }
        assert (printed[-1]["split"], printed[-1]["positions"]) == ("test", 50)
    assert printed[0]["cross_entropy"] != printed[1]["cross_entropy"]
    assert {"top1", "top5", "cross_entropy", "by", "calibration"} <= set(printed[0])
    assert cli.main(["evaluate", str(tmp_path / "w.safetensors"), str(ARCHIVE), "--max-positions", "60", "--json"]) == 0
    said = capsys.readouterr()
    of_archives = json.loads(said.out)
    assert re.search(r"packing: \d+ games .* \d+ kept", said.err)  # half a minute of silence, for a large archive
    assert (of_archives["split"], of_archives["positions"]) == ("all", 60)
    (tmp_path / "half.zip").write_bytes(b"PK\3\4, and then the download broke off")
    assert cli.main(["evaluate", str(tmp_path / "w.safetensors"), str(ARCHIVE), str(tmp_path / "half.zip"), "--max-positions", "60"]) == 0
    said = capsys.readouterr()
    assert f"\n{tmp_path / 'half.zip'}: it cannot be read to its end" in said.err, "of what the figures are not is named"
    told = r"saved 20.*, one view, (bf16|float32), gopolicy .*; about the split all of the games [0-9a-f]{16}, seed 1"
    assert re.fullmatch(f"asked: {re.escape(str(tmp_path))}/w.safetensors, {told}", said.out.splitlines()[-1])


def test_weights_that_do_not_tell_their_date(packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As those whose description another program wrote: what was measured is not lost for it."""
    weights.save(tmp_path / "w.safetensors", network(), {})
    with safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        ((key, text),) = file.metadata().items()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    told = {name: value for name, value in json.loads(text).items() if name != "saved"}
    save_file(tensors, tmp_path / "w.safetensors", {key: json.dumps(told)})
    assert cli.main(["evaluate", str(tmp_path / "w.safetensors"), str(packed_file), "--max-positions", "20"]) == 0
    assert "w.safetensors, one view, " in capsys.readouterr().out.splitlines()[-1]


def test_games_on_other_boards_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a packed set of several sizes; of one that has 19×19 alone nothing is said."""
    folder = test_games.write(tmp_path / "in", [test_games.record(1), test_games.record(2)])
    for i in range(3):
        (folder / f"small{i}.sgf").write_text(f"(;SZ[9];B[aa];W[b{'abc'[i]}])")
    for sizes, said in (((9, 19), "3 of 5 games are not on 19x19 boards, and are left out\n"), ((19,), "")):
        pack([folder], tmp_path / "g.gpk", chosen=Filter(sizes=sizes))
        assert cli.main(["evaluate", "playouts", str(tmp_path / "g.gpk"), "--split", "all", "--max-positions", "9", "--device", "cpu"]) == 0
        assert "".join(re.findall(".*left out\n", capsys.readouterr().err)) == said
        command = ["train", str(tmp_path / "g.gpk"), "--out", str(tmp_path / f"run{len(sizes)}"), "--steps", "1", "--device", "cpu"]
        assert cli.main([*command, "--filters", "2", "--layers", "2", "--planes", "stones1", "--batch-size", "8"]) == 0
        assert "".join(re.findall(".*left out\n", capsys.readouterr().err)) == said


def test_what_was_measured_before_a_stop_is_told(
    packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the 256 positions of the first batch; and a stop before them has nothing to tell."""
    answer_batches, batches_done = evaluation.answer_batches, 1

    def stopped(*arguments: Any, **options: Any) -> Iterator[Answers]:
        yield from islice(answer_batches(*arguments, **options), batches_done)
        raise KeyboardInterrupt

    def stopped_at_once(*_: Any) -> None:
        raise KeyboardInterrupt

    command = ["evaluate", "playouts", str(packed_file), "--split", "all", "--json", "--seed", "5"]
    assert cli.main([*command, "--max-positions", "256"]) == 0
    whole = capsys.readouterr()
    assert "stopped" not in whole.err
    monkeypatch.setattr(evaluation, "answer_batches", stopped)
    assert cli.main([*command, "--pictures", str(tmp_path), "--wrong", "1"]) == 1
    told = capsys.readouterr()
    assert told.out == whole.out
    _, counts = batches.playable(PackedGames.open(packed_file), "all")
    assert told.err.endswith(f"stopped: the figures are of 256 of {counts.sum():,} positions, of games drawn at random\n")
    assert len(list(tmp_path.glob("*.png"))) == 2
    with monkeypatch.context() as pressed:  # the bar has not counted the batch yet
        pressed.setattr("tqdm.tqdm.update", stopped_at_once)
        assert cli.main(command) == 1
    assert "stopped: the figures are of 256 of " in capsys.readouterr().err
    batches_done = 0
    assert cli.main(command) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.endswith("gopolicy evaluate: stopped\n")


@pytest.mark.skipif(policy.quickest() != "int8", reason="no convolutions of 8-bit integers here")
def test_the_command_computes_in_the_number_format_it_is_told(packed_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for precision in ("float32", "int8"):
        command = ["evaluate", "playouts", str(packed_file), *f"--max-positions 200 --device cpu --precision {precision} --json".split()]
        assert cli.main(command) == 0
        told.append(json.loads(capsys.readouterr().out)["cross_entropy"])
    assert 0 < abs(told[0] - told[1]) < 0.03


def test_pictures_show_the_moves_it_found_least_likely(packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights_file = tmp_path / "w.safetensors"
    weights.save(weights_file, network(), {})
    folder = tmp_path / "new" / "pictures"
    folder.mkdir(parents=True)
    (folder / "wrong-07.png").write_bytes(b"of an earlier network")
    (folder / "wrong-joseki.png").write_bytes(b"\x89PNG\r\n\x1a\n of the user")
    arguments = ["evaluate", str(weights_file), str(packed_file), "--split", "validation", "--max-positions", "900", "--json"]
    assert cli.main([*arguments, "--pictures", str(folder), "--wrong", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["split"], told["positions"]) == ("validation", 900)
    assert sorted(path.name for path in folder.iterdir()) == ["accuracy.png", "wrong-01.png", "wrong-02.png", "wrong-joseki.png"]
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in folder.iterdir())


def test_pictures_show_what_was_measured(
    packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    arguments = ["evaluate", str(weights_file), str(packed_file), "--symmetries", "8", "--max-positions", "64", "--device", "cpu", "--json"]
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
def test_a_number_that_means_nothing_is_refused(packed_file: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "fast", str(packed_file), option]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("gopolicy evaluate: ")
    assert said.count("\n") == 0
    assert "expected" in said


@pytest.mark.parametrize("positions", [0, -5, 2.5])
def test_a_number_of_positions_that_means_nothing_is_refused(packed_file: Path, player: Policy, positions: Any) -> None:
    with pytest.raises(UsageError, match="expected a whole number, 1 or more"):
        evaluation.evaluate(player, PackedGames.open(packed_file), "test", max_positions=positions)
    with pytest.raises(UsageError, match="the seed"):
        evaluation.evaluate(player, PackedGames.open(packed_file), "test", seed=-1)


def test_what_cannot_be_asked_is_said_before_anything_is_measured(
    packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.gpk").mkdir()
    for words, status, said in (
        ([packed_file, "--symmetries", "9"], 2, "9"),
        ([tmp_path / "nowhere.gpk"], 1, f"there is no {tmp_path / 'nowhere.gpk'}: name a packed set of games, or archives"),
        ([tmp_path / "folder.gpk"], 1, "folder.gpk cannot be read: "),
    ):
        assert cli.main(["evaluate", "fast", *map(str, words)]) == status
        printed = capsys.readouterr().err
        assert said in printed
        assert printed.count("\n") == 1


def test_what_the_command_does_where_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And its progress, to as many positions as there are; no picture of a position where none is wanted."""
    parser = argparse.ArgumentParser()
    evaluation.add_arguments(parser)
    args = parser.parse_args(["fast", "g.gpk"])
    assert (args.symmetries, args.seed, args.wrong, args.max_positions, args.split, args.device) == (1, 1, None, None, None, "auto")
    weights.save(tmp_path / "w.safetensors", network(), {})
    folder = test_games.write(tmp_path / "in", [test_games.record(1), test_games.record(2)])
    command = [
        "evaluate",
        str(tmp_path / "w.safetensors"),
        str(folder),
        "--device",
        "cpu",
        "--pictures",
        str(tmp_path / "p"),
        "--wrong",
        "0",
    ]
    for most, total in (("1000", 120), ("50", 50)):
        assert cli.main([*command, "--max-positions", most]) == 0
        assert f" {total}/{total} " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["accuracy.png"]


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_measured(
    packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["evaluate", "fast", str(packed_file), "--pictures", str(tmp_path / "file" / "new")]) == 1
    said = capsys.readouterr().err
    assert "evaluating" not in said
    assert said.count("\n") == 1
    assert str(tmp_path / "file") in said
    for options, sentence in (
        (["--pictures", str(tmp_path / "file")], "file is a file; the pictures need a folder"),
        (["--wrong", "3"], "--wrong 3 says how many positions are drawn, but without --pictures DIR none are"),
    ):
        assert cli.main(["evaluate", "fast", str(packed_file), *options]) == 2
        said = capsys.readouterr().err
        assert said.rstrip().endswith(sentence)
        assert said.count("\n") == 1


def test_a_set_without_a_position_says_what_it_lacks(tmp_path: Path, player: Policy) -> None:
    """More games, unless no split of it has a board of 19 lines."""
    for size, lacks in ((19, r': more games are needed, or the split "all"'), (13, "")):
        folder = test_games.write(tmp_path / str(size), [replace(test_games.record(1), size=size, moves=((BLACK, 20),))])
        pack([folder], tmp_path / "g.gpk", chosen=Filter(sizes=(13, 19)))
        with pytest.raises(GamesError, match=f"the test split .* {size}x{size}, has no position on a 19x19 board{lacks}$"):
            evaluation.answer(player, PackedGames.open(tmp_path / "g.gpk"), "test")


def test_the_options_of_the_command_reach_the_network(packed_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def load(name: str, **options: Any) -> Policy:
        asked.append((name, options))
        raise GoPolicyError("enough")

    monkeypatch.setattr(policy, "load", load)
    assert cli.main(["evaluate", "fast", str(packed_file), "--device", "cuda:1", "--threads", "3", "--precision", "bf16"]) == 1
    assert asked == [("fast", {"device": "cuda:1", "threads": 3, "precision": "bf16"})]


def test_a_split_is_of_a_packed_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "fast", str(ARCHIVE), "--split", "test"]) == 2
    assert "--split test is for a packed set" in capsys.readouterr().err
