"""Batches: every position once an epoch, planes and target of one position, the same batch for the same (seed, step)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gopolicy import batches, symmetry
from gopolicy.batches import LONGEST_GAME, PER_GAME, Batches, draw_samples, encode_samples, fixed, playable, shuffled_index
from gopolicy.board import Board
from gopolicy.coords import PASS
from gopolicy.errors import GamesError, UsageError
from gopolicy.features import PLANE_SETS, encode
from gopolicy.games import WHITE_BIT, Filter, PackedGames, pack
from gopolicy.sgf import GameRecord, write_sgf


@pytest.fixture(scope="module")
def packed(packed_file: Path) -> PackedGames:
    return PackedGames.open(packed_file)


def epoch(source: Batches, number: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    groups = int(source._group_start[-1])
    games, plies, symmetries = np.empty((3, groups * PER_GAME), dtype=np.int64)
    moves, start = source.packed.moves, source.packed.move_start
    draw_samples(
        moves,
        start,
        source.games,
        source.counts,
        source._group_start,
        np.uint64(7),
        number * groups,
        np.empty(1024, dtype=np.int16),
        games,
        plies,
        symmetries,
    )
    return games, plies, symmetries


def test_the_permutation_is_one() -> None:
    for count in (1, 2, 3, 17, 1000):
        assert sorted(shuffled_index(i, count, np.uint64(5)) for i in range(count)) == list(range(count))
    assert [shuffled_index(i, 1000, np.uint64(5)) for i in range(9)] != [shuffled_index(i, 1000, np.uint64(6)) for i in range(9)]


def test_an_epoch_takes_each_position_at_most_once_and_all_but_a_few(packed: PackedGames) -> None:
    games, plies, symmetries = epoch(Batches(packed, batch_size=8))
    pairs = set(zip(games.tolist(), plies.tolist(), strict=True))
    assert len(pairs) == len(games)
    _, counts = playable(packed, "train")
    # What is left over of a game is other positions in each epoch.
    assert len(games) == int(np.sum(counts // PER_GAME)) * PER_GAME
    share = np.bincount(symmetries, minlength=8) / len(symmetries)
    assert np.all(np.abs(share - 1 / 8) < 0.02)


def test_every_epoch_has_its_own_groups_order_and_symmetries(packed: PackedGames) -> None:
    """Nothing of the one before comes again: of the symmetries one in eight, by chance."""
    source = Batches(packed, batch_size=8)
    symmetry_of, groups_of, order_of = [], [], []
    for number in (0, 1):
        games, plies, symmetries = epoch(source, number)
        pairs = list(zip(games.tolist(), plies.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)
        symmetry_of.append(dict(zip(pairs, symmetries.tolist(), strict=True)))
        groups_of.append({tuple(pairs[i : i + PER_GAME]) for i in range(0, len(pairs), PER_GAME)})
        order_of.append(games[::PER_GAME])
    assert not groups_of[0] & groups_of[1]
    assert np.mean(order_of[0] == order_of[1]) < 0.03
    both = symmetry_of[0].keys() & symmetry_of[1].keys()
    assert len(both) > 30_000
    assert abs(sum(symmetry_of[0][pair] == symmetry_of[1][pair] for pair in both) / len(both) - 1 / 8) < 0.02


def test_planes_and_target_belong_to_the_sample(packed: PackedGames) -> None:
    """Against the plain way: replay the record, encode the board, turn both."""
    source = Batches(packed, batch_size=64, seed=3)
    games, plies, symmetries = (column[:64].copy() for column in epoch(source))
    games[0], plies[:2] = games[PER_GAME], (3, 4)  # another game goes on where one stopped
    planes, targets = encode_samples(packed, games, plies, symmetries, "alphago48")
    for b in range(64):
        record, k = packed.record(int(games[b])), int(symmetries[b])
        board = record.position(int(plies[b]) + 1)
        _, point = record.moves[int(plies[b])]
        assert np.array_equal(planes[b].numpy(), symmetry.apply(encode(board), k))
        assert int(targets[b]) == symmetry.point(point, k, 19)


@pytest.mark.parametrize("name", PLANE_SETS)
def test_every_plane_set_is_made(packed: PackedGames, name: str) -> None:
    planes, _ = Batches(packed, batch_size=8, planes=name, augment=False).make(2)
    whole, _ = Batches(packed, batch_size=8, augment=False).make(2)
    if name == "stones1":
        assert torch.equal(planes[:, 0], (whole[:, 0].to(torch.int8) - whole[:, 1].to(torch.int8)))
    else:
        assert torch.equal(planes, whole[:, : PLANE_SETS[name].planes])


def test_a_batch_follows_from_seed_and_step_alone(packed: PackedGames) -> None:
    a, b = Batches(packed, batch_size=32, threads=2), Batches(packed, batch_size=32, threads=1)
    steps = (5, 6, 7, 5, 9)  # more than are made ahead
    for step, (planes, targets) in zip(steps, a.stream(steps), strict=True):
        again, same = b.make(step)
        assert torch.equal(planes, again)
        assert torch.equal(targets, same)
    assert a.waited_seconds > 0
    endless = a.stream(itertools.count(8))
    assert torch.equal(next(endless)[0], b.make(8)[0])
    assert torch.equal(next(endless)[0], b.make(9)[0])
    assert not torch.equal(b.make(5)[0], b.make(6)[0])
    assert not torch.equal(b.make(5)[0], Batches(packed, batch_size=32, seed=2).make(5)[0])


def test_processes_share_a_batch_without_changing_it(packed: PackedGames) -> None:
    whole = Batches(packed, batch_size=48).make(4)
    parts = [Batches(packed, batch_size=48, rank=rank, world=3).make(4) for rank in range(3)]
    assert torch.equal(torch.cat([planes for planes, _ in parts]), whole[0])
    assert torch.equal(torch.cat([targets for _, targets in parts]), whole[1])


def test_one_batch_after_another_goes_through_the_epoch(packed: PackedGames) -> None:
    source = Batches(packed, batch_size=48, seed=7)
    drawn = np.concatenate([source.draw(step) for step in range(3)], axis=1)
    assert np.array_equal(drawn, np.stack(epoch(source))[:, :144])
    as_they_lie = np.stack(Batches(packed, batch_size=48, seed=7, augment=False).draw(2))
    assert np.array_equal(as_they_lie[:2], drawn[:2, 96:])
    assert not as_they_lie[2].any()


def test_batches_are_made_ahead() -> None:
    class Pool:
        def submit(self, make: Callable[[int], int], number: int) -> Future[int]:
            begun.append(number)
            future: Future[int] = Future()
            future.set_result(make(number))
            return future

    begun: list[int] = []
    made = batches._made_ahead(Pool(), lambda number: -number, itertools.count(), 3)  # type: ignore[arg-type]
    assert (next(made), begun) == (0, [0, 1, 2, 3])
    assert (next(made), begun) == (-1, [0, 1, 2, 3, 4])


def test_sizes_that_cannot_be_divided_are_refused(packed: PackedGames) -> None:
    with pytest.raises(GamesError, match="multiple of 24"):
        Batches(packed, batch_size=32, world=3)


@pytest.mark.parametrize(
    "options",
    [
        {"rank": 2},  # counted from 1
        {"rank": -1},
        {"world": 0},
        {"threads": 0},
        {"batch_size": 16.0},
        {"batch_size": "16"},
        {"batch_size": 0},
        {"seed": -1},
        {"seed": 1.5},
    ],
)
def test_numbers_that_mean_nothing_are_refused(packed: PackedGames, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected a whole number"):
        Batches(packed, **{"batch_size": 32, "world": 2} | options)
    with pytest.raises(UsageError, match="the number of a step"):
        Batches(packed, batch_size=32).make(-1)


def test_setup_passes_and_short_games(tmp_path: Path) -> None:
    moves = ((-1, 40), (1, PASS), (-1, 41), (1, 42))
    record = GameRecord(handicap=2, setup=((1, 60), (-1, 100), (1, 300)), to_play=-1, moves=moves)
    (tmp_path / "a.sgf").write_text(write_sgf(record))
    (tmp_path / "b.sgf").write_text(write_sgf(GameRecord(moves=((1, PASS), (-1, PASS)))))
    pack([tmp_path / "a.sgf", tmp_path / "b.sgf"], tmp_path / "g.gpk", chosen=Filter(min_moves=0))
    small = PackedGames.open(tmp_path / "g.gpk")
    assert len(small) == 2
    everything = list(fixed(small, "all"))
    assert len(everything) == 1
    planes, targets, info = everything[0]
    assert targets.tolist() == [40, 41, 42]
    assert info["move_number"].tolist() == [1, 3, 4]
    for planes_of_one, number in zip(planes, info["move_number"], strict=True):
        assert np.array_equal(planes_of_one.numpy(), encode(record.position(int(number))))
    (first,) = fixed(small, "all", max_positions=2)
    assert first[1].tolist() == [40, 41]
    (all_there_are,) = fixed(small, "all", max_positions=100)
    assert all_there_are[1].tolist() == [40, 41, 42]
    games, counts = playable(small, "all")
    assert (games.tolist(), counts.tolist()) == ([0], [3])
    for group in Batches(small, "all", batch_size=16, augment=False).make(0)[1].split(PER_GAME):  # of one game, which begins anew
        assert set(group.tolist()) == {40, 41, 42}


def test_fixed_gives_each_position_once_and_whole_games(packed: PackedGames) -> None:
    parts = list(fixed(packed, "test", batch_size=100))
    pairs = [pair for _, _, info in parts for pair in zip(info["game"].tolist(), info["move_number"].tolist(), strict=True)]
    _, counts = playable(packed, "test")
    assert len(pairs) == len(set(pairs)) == int(counts.sum())
    assert all(len(targets) == 100 for _, targets, _ in parts[:-1])


def test_some_positions_are_those_of_whole_games_drawn_by_the_seed(packed: PackedGames) -> None:
    def drawn(seed: int) -> list[int]:
        return [int(game) for *_, info in fixed(packed, "all", max_positions=500, seed=seed, batch_size=64) for game in info["game"]]

    some, (_, counts) = drawn(1), playable(packed, "all")
    assert len(some) == 500
    assert some == drawn(1)
    assert not set(some) & set(drawn(2))
    *whole, _ = dict.fromkeys(some)
    assert whole
    assert all(some.count(game) == counts[game] for game in whole)


def test_moves_that_break_the_rules_are_refused(packed: PackedGames) -> None:
    broken = PackedGames.__new__(PackedGames)
    vars(broken).update(vars(packed))
    broken.moves = packed.moves.copy()
    broken.moves[packed.move_start[0] + 1] = broken.moves[packed.move_start[0]] ^ 0x8000  # the same point again
    zero = np.zeros(1, dtype=np.int64)
    with pytest.raises(GamesError, match="game 0"):
        encode_samples(broken, zero, zero + 5, zero, "alphago48")


def by_hand(*games: tuple[list[int], list[int]]) -> Any:
    """As much of a packed set as planes are made from: the codes of each game's setup and moves."""

    def in_a_row(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        return np.array(list(itertools.chain(*lists)), dtype=np.uint16), np.cumsum([0, *map(len, lists)], dtype=np.int64)

    setup, setup_start = in_a_row([setup for setup, _ in games])
    moves, move_start = in_a_row([moves for _, moves in games])
    return SimpleNamespace(moves=moves, move_start=move_start, setup=setup, setup_start=setup_start)


def test_stones_set_up_where_the_game_before_had_played() -> None:
    """They are as old as any that are set up, whatever the game before left there."""
    two = by_hand(([], [60, 100 | WHITE_BIT, 200, 300 | WHITE_BIT, 1]), ([60, 300 | WHITE_BIT], [100, 5 | WHITE_BIT]))
    zeros = np.zeros(2, dtype=np.int64)
    planes, targets = encode_samples(two, np.array([0, 1]), np.array([4, 1]), zeros, "alphago48")
    board = Board(19)
    board.setup(black=[60], white=[300])
    board.play(100)
    assert np.array_equal(planes[1].numpy(), encode(board))
    assert targets.tolist() == [1, 5]


@pytest.mark.parametrize(
    ("setup", "moves"),
    [
        ([40, 40], []),  # set up twice
        ([40, 40 | WHITE_BIT], []),
        ([1022], []),  # no point of the board
        ([], [1022]),
        ([], [1 | WHITE_BIT, 19 | WHITE_BIT, 0]),  # a suicide
        ([1, 19], [0 | WHITE_BIT]),
    ],
)
def test_stones_that_cannot_lie_there_are_refused(setup: list[int], moves: list[int]) -> None:
    broken = by_hand((setup, [*moves, 200]))  # the last move is asked for
    game = np.zeros(1, dtype=np.int64)
    with pytest.raises(GamesError, match="game 0"):
        encode_samples(broken, game, game + len(moves), game, "alphago12")


def test_of_long_games_some_positions_are_drawn(packed: PackedGames) -> None:
    """With less room than a game has positions: nothing is written beyond it, and only so many are drawn."""
    source = Batches(packed, batch_size=8)
    memory = np.full(LONGEST_GAME, -1, dtype=np.int16)
    games, plies, symmetries = np.empty((3, 100 * PER_GAME), dtype=np.int64)
    draw_samples(
        packed.moves, packed.move_start, source.games, source.counts, source._group_start, np.uint64(7), 0, memory[:20],
        games, plies, symmetries,
    )  # fmt: skip
    assert (memory[:20] >= 0).all()
    assert (memory[20:] == -1).all()
    assert plies.max() < 25  # the first 20 stones, and passes between them


def test_no_games_of_the_split(tmp_path: Path) -> None:
    record = GameRecord(size=9, moves=((1, 40),))
    (tmp_path / "a.sgf").write_text(write_sgf(record))
    pack([tmp_path / "a.sgf"], tmp_path / "g.gpk", chosen=Filter(sizes=(9,)))
    with pytest.raises(GamesError, match="no game of 19x19"):
        batches.Batches(PackedGames.open(tmp_path / "g.gpk"), "all", batch_size=8)
