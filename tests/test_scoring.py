"""Scoring: what is proven against Benson's definitions and a hostile opponent, counted boards, dead stones, seki, and when to pass."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

import gopolicy
from gopolicy import scoring, symmetry
from gopolicy.board import Board
from gopolicy.coords import BLACK, EMPTY, PASS, WHITE, point_from_gtp
from gopolicy.errors import GoPolicyError, Interrupted, UsageError
from gopolicy.features import encode
from gopolicy.sgf import read_sgf

ARCHIVE = Path(__file__).parents[1] / "data" / "gnugo-selfplay.tar.gz"


class Uniform:
    """A policy that finds all points as likely. ``asked``: how many positions it was shown."""

    planes = "stones1"

    def __init__(self) -> None:
        self.asked = 0

    def log_probabilities(self, planes: torch.Tensor, symmetries: int = 1) -> torch.Tensor:
        self.asked += len(planes)
        points = planes.shape[-1] ** 2
        return torch.full((len(planes), points), -float(np.log(points)))


class Fond(Uniform):
    """A policy that wants to play at one vertex of a 19x19 board, and nowhere else."""

    def __init__(self, vertex: str) -> None:
        super().__init__()
        self.point = point_from_gtp(vertex, 19)

    def log_probabilities(self, planes: torch.Tensor, symmetries: int = 1) -> torch.Tensor:
        logs = super().log_probabilities(planes) - 10
        logs[:, self.point] = -0.01
        return logs


@pytest.fixture(scope="module")
def policy() -> gopolicy.Policy:
    return gopolicy.load(precision="float32")


def board_of(picture: str) -> Board:
    """The board of a picture: ``X`` black, ``O`` white, ``x`` and ``o`` stones that are dead or not proven, all else empty."""
    rows = [line.split() for line in picture.strip().splitlines()]
    size = len(rows)
    assert all(len(row) == size for row in rows), "the picture is not square"
    letters = [letter for row in rows for letter in row]
    board = Board(size, superko=False)
    board.setup(
        black=[point for point, letter in enumerate(letters) if letter in "Xx"],
        white=[point for point, letter in enumerate(letters) if letter in "Oo"],
    )
    return board


def at(picture: str, letters: str) -> npt.NDArray[np.bool_]:
    return np.array([[letter in letters for letter in line.split()] for line in picture.strip().splitlines()])


# ---- what the rules prove --------------------------------------------------------------------------------------------

# X: proven black stones, x: black stones that are not proven; b: proven black points (b: empty, w: white stones there). Same for O, o.
PROVEN = {
    "two eyes": """
        b X b X o .
        X X X X o .
        o o o o o .
        . . . . . .
        . . . . . .
        . . . . . .
    """,
    "one eye": """
        . x o . . .
        x x o . . .
        o o o . . .
        . . . . . .
        . . . . . .
        . . . . . .
    """,
    "a false eye": """
        . x . x o
        x x x o o
        . . . . .
        . . . . .
        . . . . .
    """,
    "chains alive together: an eye each, and one that they share": """
        b X X w b
        X X b X X
        o o X X b
        . o X X X
        . o . . .
    """,
    "a big eye that has a point inside": """
        x x x x .
        x . . . x
        x . . . x
        x . . . x
        x x x x x
    """,
    "an eye of three points in a corner: the corner is no liberty": """
        . . x . .
        x x x x .
        o o o x x
        . . o o o
        . . . . .
    """,
    "but an opponent's stone there is no eye": """
        b b X b w
        X X X X b
        o o o X X
        . . o o o
        . . . . .
    """,
    "stones in the eyes": """
        w b X b X o
        X X X w X o
        o o X b X o
        . o X X X o
        . o o o o o
        . . . . . .
    """,
    "seki": """
        x x x . o X b X b
        x x x . o X X X X
        o o o o o X X X X
        X X X X X X X X X
        O O O O O O O O O
        a O a O a O a O a
        O O O O O O O O O
        O O O O O O O O O
        a a a a a a a a a
    """,
    "room for one eye is proven, room for two is not": """
        b X b X b b b
        X X X X b b b
        X b b b X X X
        X b b X b b X
        X X X X X X X
        . . . . . . .
        . . . . . . .
    """,
}


@pytest.mark.parametrize("name", PROVEN)
def test_proven_diagrams(name: str) -> None:
    picture = PROVEN[name]
    board = board_of(picture.replace("w", "o"))
    owner, alive = scoring.proven(board)
    expected = at(picture, "Xbw").astype(np.int8) - at(picture, "Oa")
    assert np.array_equal(owner, expected), f"{board}\n{owner}"
    assert np.array_equal(alive, at(picture, "XO"))


def neighbours(point: int, size: int) -> list[int]:
    row, column = divmod(point, size)
    near = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    return [r * size + c for r, c in near if 0 <= r < size and 0 <= c < size]


def parts(points: set[int], size: int) -> list[frozenset[int]]:
    """Connected parts of a set of points."""
    found = []
    left = set(points)
    while left:
        part, edge = set(), {left.pop()}
        while edge:
            part |= edge
            edge = {q for p in edge for q in neighbours(p, size) if q in left and q not in part}
        left -= part
        found.append(frozenset(part))
    return found


def plainly_proven(stones: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """``scoring.proven`` word by word as Benson (1976) defines it, and room for two eyes by trying all pairs of points."""
    size = len(stones)
    flat = stones.ravel()
    owner, alive = np.zeros(size * size, np.int8), np.zeros(size * size, np.bool_)
    for colour in (BLACK, WHITE):
        own = {p for p in range(size * size) if flat[p] == colour}
        chains = set(parts(own, size))
        regions = set(parts(set(range(size * size)) - own, size))

        def touching(region: frozenset[int], chains: set[frozenset[int]]) -> set[frozenset[int]]:
            return {chain for chain in chains if any(q in chain for p in region for q in neighbours(p, size))}

        def is_vital(region: frozenset[int], chain: frozenset[int]) -> bool:
            return all(any(q in chain for q in neighbours(p, size)) for p in region if flat[p] == EMPTY)

        all_chains = set(chains)
        while True:
            living = {chain for chain in chains if sum(is_vital(region, chain) for region in regions) >= 2}
            kept = {region for region in regions if touching(region, all_chains) <= living}
            if living == chains and kept == regions:
                break
            chains, regions = living, kept
        for chain in chains:
            owner[list(chain)], alive[list(chain)] = colour, True
        for region in regions:
            inner = [p for p in region if not any(q in own for q in neighbours(p, size))]
            two_eyes = any(q != p and q not in neighbours(p, size) for p in inner for q in inner)
            if touching(region, chains) and not two_eyes:
                owner[list(region)] = colour
    return owner.reshape(size, size), alive.reshape(size, size)


def random_position(size: int, rng: random.Random, turns: int) -> Board:
    """Random moves that fill no own eye: towards the end there are many living chains."""
    board = Board(size, superko=False)
    passes = 0
    while len(board.moves) < turns and passes < 2:
        moves = np.flatnonzero(board.sensible_mask()).tolist()
        board.play(rng.choice(moves) if moves else PASS)
        passes = 0 if moves else passes + 1
    return board


def positions() -> list[Board]:
    rng = random.Random(4)
    sizes = [2, 3, 4, 5, 6, 7, 8, 9, 11, 13] * 12 + [19, 25] * 2
    return [random_position(size, rng, rng.randrange(size * size, 3 * size * size)) for size in sizes]


def test_proven_is_what_the_definition_says() -> None:
    proven = 0
    for board in positions():
        owner, alive = scoring.proven(board)
        plain_owner, plain_alive = plainly_proven(board.stones())
        assert np.array_equal(owner, plain_owner), f"{board}\n{owner}"
        assert np.array_equal(alive, plain_alive), f"{board}"
        proven += int(alive.any())
    assert proven > 60, "the positions show something"


def test_proven_turned_and_with_colours_exchanged() -> None:
    for board in positions()[:40]:
        owner, alive = scoring.proven(board)
        for k in range(symmetry.COUNT):
            turned = symmetry.apply(board.stones(), k)
            other = Board(board.size, superko=False)
            other.setup(black=np.flatnonzero(turned == WHITE).tolist(), white=np.flatnonzero(turned == BLACK).tolist())
            turned_owner, turned_alive = scoring.proven(other)
            assert np.array_equal(turned_owner, -symmetry.apply(owner, k))
            assert np.array_equal(turned_alive, symmetry.apply(alive, k))


def test_nothing_proven_is_ever_lost_to_an_opponent_who_plays_alone() -> None:
    rng = random.Random(5)
    attacked = 0
    for board in positions():
        for colour in (BLACK, WHITE):
            owner, alive = scoring.proven(board)
            alive = alive & (owner == colour)
            if not alive.any():
                continue
            attacked += 1
            enemy = board.copy()
            for _ in range(2 * board.size**2):
                moves = np.flatnonzero(enemy.legal_mask(-colour)).tolist()
                if not moves:
                    break
                inside = [point for point in moves if owner.ravel()[point] == colour]  # these first: they could do harm
                enemy.play(rng.choice(inside if inside and rng.random() < 0.7 else moves), -colour)
                enemy.play(PASS, colour)
                now, _ = scoring.proven(enemy)
                assert (enemy.stones()[alive] == colour).all(), f"{board}\n{enemy}"
                assert (now[owner == colour] == colour).all(), f"{board}\n{enemy}"
    assert attacked > 80


# ---- playouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(2, 26))
def test_playouts_of_all_sizes(size: int) -> None:
    board = random_position(size, random.Random(size), size * size)
    ends = scoring.play_out(Uniform(), board, playouts=3)
    assert ends.shape == (3, size, size)
    assert set(np.unique(ends)) <= {-1, 0, 1}
    owner, _ = scoring.proven(board)
    assert (ends[:, owner != EMPTY] == owner[owner != EMPTY]).all()


def test_ends_of_playouts_are_counted_boards() -> None:
    """A playout of no turn is the position itself, counted as Tromp and Taylor's rules do, but for what is proven."""
    for board in positions()[:60]:
        counted = scoring.play_out(Uniform(), board, playouts=1, limit=0)[0]
        stones, size = board.stones().ravel(), board.size
        expected = stones.copy()
        for region in parts({p for p in range(size * size) if stones[p] == EMPTY}, size):
            colours = {int(stones[q]) for p in region for q in neighbours(p, size)} - {EMPTY}
            expected[list(region)] = colours.pop() if len(colours) == 1 else EMPTY
        owner, _ = scoring.proven(board)
        assert np.array_equal(counted, np.where(owner != EMPTY, owner, expected.reshape(size, size))), board


class Crowded(Uniform):
    """A policy that wants to play where most stones are around, and keeps the ``views`` that it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.views: list[torch.Tensor] = []

    def log_probabilities(self, planes: torch.Tensor, symmetries: int = 1) -> torch.Tensor:
        self.views.append(planes)
        cross = torch.tensor([[[[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]]])
        return 20 * torch.nn.functional.conv2d(planes.abs().float(), cross, padding=1).flatten(1)


def test_playouts_look_at_the_board_from_all_sides_and_play_where_they_looked() -> None:
    """Under one symmetry all playouts would share the network's lopsidedness."""
    board = Board(7)
    board.setup(black=["A4", "C4", "F7"], white=["B3", "B5", "G2"])
    policy = Crowded()
    ends = scoring.play_out(policy, board, playouts=16, limit=1)
    sides = []
    for number, view in enumerate(policy.views[0].numpy()):
        colour = BLACK if number % 2 == 0 else WHITE
        board.to_play = colour
        sides += [k for k in range(8) if np.array_equal(symmetry.apply(encode(board, "stones1"), k), view)]
        assert ends[number].ravel()[point_from_gtp("B4", 7)] == colour, "B4 has four stones around, and empty it would be nobody's"
    assert sorted(sides[:8]) == sorted(sides[8:]) == list(range(8))


class Central(Uniform):
    """A policy of the 3x3 board: the point in the middle 1/2, the sides 1/12 each, the corners 1/24 each."""

    WEIGHTS = np.array([1, 2, 1, 2, 12, 2, 1, 2, 1]) / 24

    def log_probabilities(self, planes: torch.Tensor, symmetries: int = 1) -> torch.Tensor:
        return torch.from_numpy(np.log(self.WEIGHTS)).expand(len(planes), 9)


def test_moves_of_playouts_are_drawn_as_often_as_the_policy_says() -> None:
    """The second move too, whatever the first was. What is left empty lies beside both stones, and is nobody's."""
    count = 2000
    ends = scoring.play_out(Central(), Board(3), playouts=count, limit=2).reshape(count, 9)
    firsts = np.where(np.arange(count) % 2 == 0, BLACK, WHITE)[:, None]  # who begins
    first, second = (ends == firsts).argmax(axis=1), (ends == -firsts).argmax(axis=1)
    assert (np.abs(ends).sum(axis=1) == 2).all()
    weights = Central.WEIGHTS
    pairs = np.outer(weights, weights) / (1 - weights[:, None])
    np.fill_diagonal(pairs, 0)
    assert pairs.sum() == pytest.approx(1)
    seen = np.zeros((9, 9))
    np.add.at(seen, (first, second), 1)
    for drawn, expected in ((seen.sum(axis=1), pairs.sum(axis=1)), (seen[4], pairs[4]), (seen[:, 4], pairs[:, 4])):
        possible = expected > 0
        expected = expected[possible] * count
        # Pearson's statistic, of 8 or fewer degrees of freedom: over 30 one time in 5,000.
        assert ((drawn[possible] - expected) ** 2 / expected).sum() < 30


ALL_PROVEN = """
    . . X O . .
    X X X O O O
    . . X O . .
    X X X O O O
    X X X O O O
    X X X O O O
"""


def test_a_playout_makes_no_move_in_proven_territory() -> None:
    board, policy = board_of(ALL_PROVEN), Uniform()
    for board.to_play in (BLACK, WHITE):
        assert board.sensible_mask().sum() == 8, "no point is a true eye"
    assert (scoring.play_out(policy, board, playouts=3) == np.where(np.arange(6) < 3, BLACK, WHITE)).all()
    assert policy.asked == 2 * 3, "both pass"


def test_the_same_position_has_the_same_playouts() -> None:
    board = random_position(9, random.Random(1), 40)
    first = scoring.play_out(Uniform(), board, playouts=8)
    np.random.seed(3)
    torch.manual_seed(3)
    ends = scoring.play_out(Uniform(), board.copy(), playouts=8)
    assert np.array_equal(first, ends)
    later = scoring.play_out(Uniform(), board, playouts=4, start=4)
    assert np.array_equal(ends[4:], later), "the first and the later playouts do not depend on each other"
    assert not np.array_equal(ends[:4], later)
    board.to_play = -board.to_play
    assert np.array_equal(ends, scoring.play_out(Uniform(), board, playouts=8)), "whose turn it is makes no difference"
    with pytest.raises(gopolicy.GoPolicyError, match="1 or more"):
        scoring.judge(Uniform(), board, playouts=0)


# ---- dead stones, score, seki ----------------------------------------------------------------------------------------

FINISHED = """
    . X . X O . O . .
    X X X X O O O O O
    . . . X O . . . .
    . . . X O . . . .
    . o . X O . x . .
    . . . X O . . . .
    . . . X O . . . .
    . . . X O . . . .
    . . . X O . . . .
"""  # black has 36 points of area, white 45; two prisoners, 23 and 31 points of territory
DAME = """
    . X X . O O .
    X X X . O O O
    . X X . O . O
    X X X . O O O
    . . X . O . .
    . . X . O . .
    . . X . O . .
"""


def test_a_finished_board_is_counted() -> None:
    board = board_of(FINISHED)
    ends = np.where(np.arange(9) < 4, BLACK, WHITE) * np.ones((4, 9, 1), dtype=np.int8)
    judgement = scoring.judge_playouts(board, ends.astype(np.int8))
    assert np.array_equal(judgement.dead, at(FINISHED, "xo"))
    assert not judgement.seki.any()
    assert judgement.lead() == 36 - 45
    assert judgement.lead(6.5) == 36 - 45 - 6.5
    assert type(judgement.lead(np.float32(6.5))) is float, "as packed games tell komi"
    assert judgement.lead(rules="territory") == (23 + 1) - (31 + 1)
    assert judgement.chains("dead") == [[4 * 9 + 1], [4 * 9 + 6]]
    assert len(judgement.chains("alive")) == 2
    assert judgement.chains("seki") == []
    assert not judgement.unsettled.any()
    assert judgement.win_share(-8.5) == 0
    assert judgement.win_share(-9) == 0.5
    assert judgement.win_share(-9.5) == 1


def test_captured_stones_count_as_territory_rules_have_it() -> None:
    board = board_of(FINISHED)
    board.play("C6", BLACK)
    board.play("B6", BLACK)
    board.play("A5", BLACK)
    board.play("C5", BLACK)
    board.play("B4", BLACK)  # takes the dead stone: five moves in the own territory
    ends = np.where(np.arange(9) < 4, BLACK, WHITE) * np.ones((4, 9, 1), dtype=np.int8)
    judgement = scoring.judge_playouts(board, ends.astype(np.int8))
    assert judgement.lead() == -9
    assert judgement.lead(rules="territory") == -8 - 5
    assert judgement.margins(0, rules="territory").tolist() == [-13] * 4, "each playout ended as the board is counted"


def test_a_network_counts_a_finished_board(policy: gopolicy.Policy) -> None:
    judgement = scoring.judge(policy, board_of(FINISHED), playouts=8)
    assert np.array_equal(judgement.dead, at(FINISHED, "xo"))
    assert judgement.lead() == -9


def test_stones_are_dead_only_where_someone_can_take_them() -> None:
    board = board_of(DAME)
    ends = np.full((4, 7, 7), WHITE, dtype=np.int8)  # as if white owned all
    judgement = scoring.judge_playouts(board, ends)
    owner, alive = scoring.proven(board)
    assert not judgement.dead[alive].any(), "what is proven alive is not dead"
    lonely = Board(5)
    lonely.setup(black=["C3"])
    assert not scoring.judge_playouts(lonely, np.full((4, 5, 5), WHITE, dtype=np.int8)).dead.any()
    assert owner.any()


def test_a_chain_is_dead_where_it_does_not_live_in_a_clear_majority() -> None:
    """White's stone B2 in Black's corner, by sixteen playouts."""
    board = Board(7)
    board.setup(black=[f"D{row}" for row in range(1, 8)], white=[f"E{row}" for row in range(1, 8)] + ["B2"])
    for lived, alive in ((8, False), (9, True)):
        ends = np.full((16, 7, 7), WHITE, dtype=np.int8)
        ends[:, :, :4] = BLACK
        ends[:lived, 5, 1] = WHITE
        assert scoring.judge_playouts(board, ends).dead.any() != alive


def test_of_two_stones_that_nobody_could_take_the_surer_one_takes_the_other() -> None:
    """C3 is White's in five playouts of eight, E5 Black's in seven: both seem dead, and then nobody would be there to take them."""
    board = Board(7)
    board.setup(black=["C3"], white=["E5"])
    ends = np.full((8, 7, 7), WHITE, dtype=np.int8)
    ends[:3] = BLACK
    ends[:7, 2, 4] = BLACK
    judgement = scoring.judge_playouts(board, ends)
    assert judgement.chains("dead") == [[point_from_gtp("E5", 7)]]
    assert judgement.chains("alive") == [[point_from_gtp("C3", 7)]]


def test_a_dead_stone_on_an_open_border_is_no_wall_of_it() -> None:
    """White's C4 dies in half of the playouts, which leave C5 empty. It is Black's prisoner; C5 is no dame and no liberty of a seki."""
    board = Board(7)
    board.setup(black=[f"B{row}" for row in range(1, 8)], white=[f"F{row}" for row in range(1, 8)] + ["C4"])
    c4, c5 = point_from_gtp("C4", 7), point_from_gtp("C5", 7)
    ends = np.full((8, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :5] = BLACK
    ends.reshape(8, 49)[::2, c4] = WHITE
    ends.reshape(8, 49)[:, c5] = EMPTY
    judgement = scoring.judge_playouts(board, ends)
    assert judgement.chains("dead") == [[c4]]
    assert judgement.owner.ravel()[[c4, c5]].tolist() == [BLACK, EMPTY]
    assert not judgement.seki.any()
    assert not judgement.dame.any()
    assert np.array_equal(judgement.open.ravel(), (np.arange(49) % 7 > 1) & (np.arange(49) % 7 < 5) & (np.arange(49) != c4))


def test_what_is_asked_about_a_position_is_played_out_once() -> None:
    policy, board = Uniform(), gnugo_game(1).position(188)
    scorer = scoring.PlayoutScorer(policy)
    probs = np.full((19, 19), 1 / 361, dtype=np.float32)
    fresh = scoring.PlayoutScorer(Uniform())
    first = fresh.winrate(board, 7.5, "area"), fresh.worth_playing(board, probs, 7.5, "area")
    scorer.worth_playing(board, probs, 7.5, "area")
    scorer.is_lost(board, 400.5, "area")
    winrate = scorer.winrate(board, 7.5, "area")
    asked = policy.asked
    assert (winrate, scorer.worth_playing(board, probs, 7.5, "area").tolist()) == (first[0], first[1].tolist())
    assert scorer.winrate(board, 7.5, "area", lambda: True) == winrate, "nothing is left to be stopped"
    assert policy.asked == asked
    board.play(PASS)
    scorer.worth_playing(board, probs, 7.5, "area")
    assert policy.asked > asked


def test_positions_are_remembered_until_many_others_have_been_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring.PlayoutScorer, "KEPT", 3)
    policy = Uniform()
    scorer = scoring.PlayoutScorer(policy)
    boards = [random_position(5, random.Random(number), 5) for number in range(4)]
    told: list[bytes] = []

    def asks(number: int) -> bool:
        before = policy.asked
        told.append(scorer.ownership(boards[number]).tobytes())
        return policy.asked > before

    order = [0, 1, 2, 1, 0, 3, 1, 0, 2]  # 2 is the first to be forgotten
    assert [asks(number) for number in order] == [True, True, True, False, False, True, False, False, True]
    assert told == [scoring.PlayoutScorer(Uniform()).ownership(boards[number]).tobytes() for number in order]
    assert len(set(told)) == 4, "there is something to be told apart"


class Follows(Uniform):
    """A policy that wants to play beside the stone laid seven turns ago; in the planes all older stones are alike."""

    planes = "alphago12"

    def log_probabilities(self, planes: torch.Tensor, symmetries: int = 1) -> torch.Tensor:
        return super().log_probabilities(planes) + 9 * torch.roll(planes[:, 4 + 6].float(), 1, dims=-1).flatten(1)


def test_positions_that_look_alike_are_told_apart() -> None:
    """The same stones after other captures, with another ko, after other moves: what is remembered of one is no answer for the other."""

    def position(*first: str, white: str = "", black: str = "") -> Board:
        board = Board(5, superko=False)
        board.setup(black=["B5", "A4", "B3", "A2", *black.split()], white=["C5", "D4", "C3", *white.split()])
        for vertex in [*first, *["pass"] * 7]:
            board.play(vertex)
        return board

    plain, captured, ko = position("pass", black="B1"), position("B1", white="A1"), position("pass", black="B1", white="B4")
    for board in (plain, captured, ko):
        board.play("C4")  # takes B4 where White has a stone there
    older, newer = Board(5), Board(5)
    for board, vertices in ((older, ("B2", "D4")), (newer, ("D4", "B2"))):
        for vertex in vertices:
            board.play(vertex, BLACK)
        for _ in range(6):
            board.play(PASS)
    for policy, one, other in ((Uniform(), captured, ko), (Follows(), older, newer)):
        assert np.array_equal(one.stones(), other.stones())
        assert one.captures == other.captures
        scorer = scoring.PlayoutScorer(policy)
        asked = [scorer.ownership(board) for board in (one, other, one)]
        assert [owners.tolist() for owners in asked] == [scoring.PlayoutScorer(policy).ownership(b).tolist() for b in (one, other, one)]
        assert not np.array_equal(asked[0], asked[1]), "there is something to be told apart"
    assert np.array_equal(plain.stones(), captured.stones())
    scorer = scoring.PlayoutScorer(Uniform())
    none, taken, again = (scorer.final_score(board, 0.5, "territory") for board in (plain, captured, plain))
    assert (taken - none, again) == (1, none), "a prisoner is a point"


def test_playouts_stop_when_they_are_told_to() -> None:
    policy = Uniform()
    scorer = scoring.PlayoutScorer(policy)
    with pytest.raises(Interrupted):
        scorer.winrate(Board(9), 7.5, "area", lambda: policy.asked >= 5 * scoring.ROUND)
    assert policy.asked == 5 * scoring.ROUND
    assert 0 < scorer.winrate(Board(9), 7.5, "area") < 1, "and nothing of it is left"


def test_the_status_of_stones_is_not_waited_for() -> None:
    policy = Uniform()
    with pytest.raises(Interrupted):
        (scorer := scoring.PlayoutScorer(policy)).status(Board(9), lambda: True)
    assert policy.asked == 0
    assert scorer.ownership(Board(9)).shape == (9, 9), "what is asked next is not stopped"


def test_boards_of_two_sizes_are_told_apart() -> None:
    scorer = scoring.PlayoutScorer(Uniform())
    assert [scorer.ownership(Board(size)).shape for size in (5, 7, 5)] == [(5, 5), (7, 7), (5, 5)]


def test_an_end_that_is_not_settled_takes_more_playouts_than_an_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = np.repeat(np.array([BLACK, WHITE] * 16, dtype=np.int8), 49).reshape(32, 7, 7)
    monkeypatch.setattr(scoring, "play_out", lambda *_, playouts, start, **__: ends[start : start + playouts])

    def playouts(board: Board) -> int:
        return len(scoring.PlayoutScorer(Uniform()).judgement(board).ends)

    opening, late = Board(7), Board(7)
    opening.setup(black=["C3"], white=["E5"])
    late.setup(black=[f"C{row}" for row in range(1, 8)] + ["B4"], white=[f"{letter}{row}" for letter in "DE" for row in range(1, 8)])
    assert [playouts(opening), playouts(late)] == [scoring.ROUND, scoring.PLAYOUTS]
    opening.play(PASS)
    assert playouts(opening) == scoring.ROUND
    opening.play(PASS)
    assert playouts(opening) == scoring.PLAYOUTS
    known = list(ends[:16])
    assert len(scoring.judge(Uniform(), opening, playouts=8, known=known).ends) == 8, "those that are known besides count for nothing"


def test_what_was_asked_before_does_not_change_the_answer() -> None:
    board = random_position(9, random.Random(2), 20)
    asked = scoring.PlayoutScorer(Uniform())
    asked.winrate(board, 7.5, "area")
    board.play(PASS)
    board.play(PASS)
    assert np.array_equal(asked.ownership(board), scoring.PlayoutScorer(Uniform()).ownership(board))
    before = scoring.judge(Uniform(), board, playouts=scoring.ROUND).ownership
    assert not np.array_equal(asked.ownership(board), before), "there is something to be told apart"


def test_the_end_of_the_time_ends_the_playouts(policy: gopolicy.Policy) -> None:
    record = gnugo_game(43)
    board = record.position(len(record.moves) + 1)
    asked = scoring.PlayoutScorer(policy)
    probs = policy.probabilities(board)
    assert not asked.worth_playing(board, probs, 7.5, "area").any()
    board.play(PASS)
    worth = asked.worth_playing(board, probs, 7.5, "area", lambda: True)
    assert np.array_equal(worth, board.sensible_mask() & (scoring.proven(board)[0] == EMPTY))
    assert worth.any()
    lost = board_of(PROVEN["seki"])
    for _ in range(22):
        lost.play(PASS)
    lost.to_play = BLACK
    assert not asked.is_lost(lost, 0.5, "area", lambda: True)
    assert asked.is_lost(lost, 0.5, "area")


def test_dame_are_nobodys_territory() -> None:
    """Two columns of them: by area whoever gets them in most playouts, by territory no one. A wide open border is no dame."""
    board = Board(7)
    board.setup(black=[f"B{row}" for row in range(1, 8)] + ["C7"], white=[f"F{row}" for row in range(1, 8)] + ["E7"])
    board.setup(black=["C1", "C2", "D2", "D4", "C4"], white=["E1", "E2", "E4"])
    ends = np.full((8, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :5] = BLACK
    ends[:, board.stones() == WHITE] = WHITE
    judgement = scoring.judge_playouts(board, ends)
    small = [point_from_gtp(vertex, 7) for vertex in ("D1", "C3", "D3", "E3")]
    between, wide = [point_from_gtp("D7", 7)], [point_from_gtp(vertex, 7) for vertex in ("C6", "D6", "E6", "C5", "D5", "E5")]
    assert np.flatnonzero(judgement.dame).tolist() == sorted(small + between)
    wide += between
    assert np.flatnonzero(judgement.open).tolist() == sorted(small + wide)
    black = int((board.stones() == BLACK).sum())
    assert judgement.lead() == (7 + black + len(small) + len(wide)) - (7 + int((board.stones() == WHITE).sum()))
    assert judgement.lead(rules="territory") == (7 + len(wide) - 1) - 7
    ends.reshape(8, 49)[:3, small[:1] + between] = WHITE  # two of the dame, in three playouts of eight
    judgement = scoring.judge_playouts(board, ends)
    assert judgement.near_end
    lead = (7 + len(wide) - 1) - 7
    assert [judgement.expected_win_share(lead + more, rules="territory") for more in (-0.5, 0.5)] == [1, 0]
    assert judgement.expected_win_share(judgement.lead(), rules="area") == 5 / 8, "by area they decide"


def test_an_open_point_is_whose_it_is_in_three_playouts_of_four_and_not_settled_by_seven_of_eight() -> None:
    """D1 to D3 are open, with a wall of each side beside them; A1 is Black's territory."""
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)] + [f"D{row}" for row in range(4, 8)], white=[f"E{row}" for row in range(1, 8)])
    d1, d2, d3, a1 = (point_from_gtp(vertex, 7) for vertex in ("D1", "D2", "D3", "A1"))
    ends = np.full((8, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :4] = BLACK
    for lost, points in ((1, [d1, a1]), (2, [d2]), (3, [d3])):
        ends.reshape(8, 49)[:lost, points] = WHITE
    judgement = scoring.judge_playouts(board, ends)
    assert judgement.owner.ravel()[[d1, d2, d3]].tolist() == [BLACK, BLACK, EMPTY]
    assert np.flatnonzero(judgement.unsettled).tolist() == sorted([d1, d2, d3]), "in territory seven of eight settle a point"


def test_the_points_around_a_chain_that_is_not_settled_are_not_either() -> None:
    """White's B4 lives in every second playout, in which nothing else is hers. Its liberties, and what is beside them."""
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)], white=[f"D{row}" for row in range(1, 8)] + ["B4"])
    ends = np.full((8, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :3] = BLACK
    ends[::2, 3, 1] = WHITE
    around = [point_from_gtp(vertex, 7) for vertex in ("A4", "B5", "B3", "A5", "A3", "B6", "B2")]
    assert np.flatnonzero(scoring.judge_playouts(board, ends).unsettled).tolist() == sorted(around)


@pytest.mark.parametrize("points", [0, 6, 7])
def test_the_end_is_near_while_less_than_a_twelfth_of_the_board_is_unsettled(points: int) -> None:
    board = Board(9)
    board.setup(black=[f"D{row}" for row in range(1, 10)], white=[f"E{row}" for row in range(1, 10)])
    ends = np.full((8, 9, 9), WHITE, dtype=np.int8)
    ends[:, :, :4] = BLACK
    ends[::2, :points, 0] = WHITE
    judgement = scoring.judge_playouts(board, ends)
    assert np.count_nonzero(judgement.unsettled) == points
    assert judgement.near_end == (points < 7)


@pytest.mark.parametrize(("points", "dame"), [(5, 5), (6, 1)])
def test_five_open_points_are_dame_and_of_six_those_between_both_sides(points: int, dame: int) -> None:
    """The last line is open from A on; White's wall begins behind it."""
    board = Board(7)
    board.setup(black=[f"{letter}2" for letter in "ABCDEFG"], white=[f"{letter}1" for letter in "ABCDEFG"[points:]])
    ends = np.full((8, 7, 7), BLACK, dtype=np.int8)
    ends[:, board.stones() == WHITE] = WHITE
    judgement = scoring.judge_playouts(board, ends)
    assert not judgement.dead.any()
    assert np.count_nonzero(judgement.open) == points
    assert np.count_nonzero(judgement.dame) == dame


def test_a_stone_that_is_not_settled_turns_the_game() -> None:
    """Black leads by 3; in every second playout White's stone at A1 lives, and A1 and B1 are hers: 4 points less."""
    board = Board(9)
    board.setup(black=[f"D{row}" for row in range(1, 10)] + ["A2", "B2", "C1"], white=[f"E{row}" for row in range(1, 10)] + ["A1"])
    ends = np.full((8, 9, 9), WHITE, dtype=np.int8)
    ends[:, :, :4] = BLACK
    ends[::2, 8, :2] = WHITE
    judgement = scoring.judge_playouts(board, ends)
    assert judgement.near_end
    assert judgement.lead(-12) == 3
    assert [judgement.expected_win_share(komi) for komi in (-14, -12, -8)] == [1, 0.5, 0]


# Where the recorded counts of games on KGS and the playouts' own mistakes had disagreed: the winrate follows the lead.
@pytest.mark.parametrize("rules", ["area", "territory"])
def test_winrate_and_lead_of_an_end_agree(rules: scoring.Rules) -> None:
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)], white=[f"D{row}" for row in range(1, 8)])
    right = np.full((7, 7), WHITE, dtype=np.int8)
    right[:, :3] = BLACK
    ends = np.repeat(right[None], 8, axis=0)
    for k in range(5):  # in each of five playouts White loses two other points, and with them, by the playouts, the game
        ends[k, k, 5:] = BLACK
    judgement = scoring.judge_playouts(board, ends)
    assert judgement.near_end
    komi = judgement.lead(rules=rules) + 0.5
    assert judgement.win_share(komi, rules=rules) == 5 / 8
    assert judgement.expected_win_share(komi, rules=rules) == 0
    assert judgement.expected_win_share(komi - 1, rules=rules) == 1
    assert judgement.expected_win_share(komi - 0.5, rules=rules) == 0.5
    ends[:4, 6, 5:] = BLACK  # what is unsettled goes on to decide
    assert scoring.judge_playouts(board, ends).expected_win_share(komi, rules=rules) == 0.5


# The inner stones of both sides at C1 and C2: whoever plays there is captured. Seven stones in seki, as GNU Go has it.
SHARED = """
    . X . X O . O . O
    X X X X O O O O O
    X X X X O O O O O
    X X X X O O O O O
    X X X O O O O O O
    X X X O O O O O O
    X o o x O O . O .
    X o . x O O O O O
    X o . x O . O O O
"""
# Bent four in the corner, Black has no move to lose and White no ko threat: White is dead, as GNU Go has it too.
BENT_FOUR = """
    . O . O . O . O .
    O O O O O O O O O
    O O O O O O O O O
    O O O O O O O O O
    X X X X X X X X X
    o o X X X X X X X
    . o X X X . X . X
    X o o o X X X X X
    X X . o X . X . X
"""


# Black's four stones between two chains of White, which have an eye each; C9 and G9 are the liberties in common. Who plays there is
# captured first: White's chain then has its eye as the only liberty, Black's the other common one. Black has no eye. He has four points
# of territory elsewhere, White five.
ONE_SIDED = """
    . o . x x x . o .
    o o o o x o o o o
    X X X X O X X X X
    . X . X O X . X .
    X X X X O X X X X
    O O O O O O O O O
    . O . O . O . O .
    O O O O O O O O O
    O O O O O O O O O
"""
# The same with two stones, and both liberties beside them. Whoever plays there
# is captured: Black loses three stones, White a chain. By area 26 to 53; Black has four points of territory elsewhere, White five.
# GNU Go 3.8: seki, W+1 by Japanese rules.
TWO_STONES = ONE_SIDED.replace(". o . x x x . o .", ". o o . x . o o .")


@pytest.mark.parametrize("weights", [None, "playouts", "default"])
@pytest.mark.parametrize(("picture", "area", "territory"), [(SHARED, -23, -3), (TWO_STONES, 26 - 53, 4 - 5)])
def test_a_seki_that_a_side_would_end_to_its_loss(picture: str, area: int, territory: int, weights: str | None) -> None:
    policy = Uniform() if weights is None else gopolicy.load(weights, precision="float32")
    board = board_of(picture)
    judgement = scoring.judge(policy, board, playouts=8)
    assert not judgement.dead.any()
    assert np.array_equal(judgement.seki, at(picture, "xo"))
    assert (judgement.lead(), judgement.lead(rules="territory")) == (area, territory)
    for board.to_play in (BLACK, WHITE):
        assert not scoring.worth_playing(policy, board).any()


# Black's move at ``*`` leaves his chain one liberty, and takes nothing.
SELF_ATARI = {
    "the middle of three points, before White plays there": (
        """
            x * . O . . .
            O O O O . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        True,
    ),
    "the third of four points, before White plays there": (
        """
            x x * . O . .
            O O O O O . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        True,
    ),
    "a throw-in": (
        """
            . * O . . . .
            O O . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        True,
    ),
    "two stones in White's last three points": (
        """
            . x * O X . .
            O O O O X . .
            X X X X X . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        True,
    ),
    "the same while White has a liberty that Black can take": (
        """
            . x * O . X .
            O O O O X X .
            X X X X X . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        True,
    ),
    "the same beside what looks like an eye": (
        """
            . x * O . O X
            O O O O O X X
            X X X X X X .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        False,
    ),
    "before White plays at E9, which takes the last liberty in common: a large eye against a small one": (
        """
            . x * O . X . X O
            O O O O X X X X O
            X X X X O O O O O
            . . . . . . . . .
            . . . . . . . . .
            . . . . . . . . .
            . . . . . . . . .
            . . . . . . . . .
            . . . . . . . . .
        """,
        True,
    ),
    "three stones in White's last four points": (
        """
            . x x * O X .
            O O O O O X .
            X X X X X X .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        True,
    ),
    "the same three beside what looks like an eye": (
        """
            . x x * O . O
            O O O O O O X
            X X X X X X X
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        False,
    ),
    "the middle of three points beside what looks like an eye": (
        """
            x * . O . O X
            O O O O O X X
            X X X X X X .
            . . . . . . .
            . . . . . . .
            . . . . . . .
            . . . . . . .
        """,
        True,
    ),
}


@pytest.mark.parametrize("name", SELF_ATARI)
def test_playouts_put_themselves_into_atari_where_it_may_be_good(name: str) -> None:
    picture, played = SELF_ATARI[name]
    board, point = board_of(picture), int(np.flatnonzero(at(picture, "*"))[0])
    then = board.copy()
    then.play(point, BLACK)
    stones = then.stones().ravel()
    (chain,) = (part for part in parts(set(np.flatnonzero(stones == BLACK).tolist()), then.size) if point in part)
    liberties = {q for p in chain for q in neighbours(p, then.size) if stones[q] == EMPTY}
    assert (len(liberties), then.captures) == (1, board.captures), "the picture is of what it says"
    assert not scoring.proven(board)[0].any()

    class Certain(Uniform):
        def log_probabilities(self, planes: torch.Tensor, symmetries: int = 1) -> torch.Tensor:
            logs = super().log_probabilities(planes)
            logs[:, point] += 100
            return logs

    ends = scoring.play_out(Certain(), board, playouts=1, limit=1)[0]
    assert (ends.ravel()[point] == BLACK) == played


@pytest.mark.parametrize("weights", [None, "playouts", "default"])
def test_bent_four_in_the_corner(weights: str | None) -> None:
    policy = Uniform() if weights is None else gopolicy.load(weights, precision="float32")
    judgement = scoring.judge(policy, board_of(BENT_FOUR), playouts=8)
    assert np.array_equal(judgement.dead, at(BENT_FOUR, "o"))
    assert not judgement.seki.any()
    assert (judgement.lead(), judgement.lead(rules="territory")) == (9, 15)


@pytest.mark.parametrize("size", [2, 7, 19, 25])
def test_an_empty_board_is_nobodys(size: int) -> None:
    assert scoring.PlayoutScorer(Uniform()).final_score(Board(size), 7.5, "area") == -7.5


def test_other_words_for_rules_are_refused() -> None:
    """Neither Chinese nor Japanese rules are taken for the others."""
    board = Board(5)
    judgement = scoring.judge_playouts(board, np.full((8, 5, 5), BLACK, dtype=np.int8))
    scorer = scoring.PlayoutScorer(Uniform())
    for ask in (
        lambda: judgement.lead(7.5, rules="chinese"),  # type: ignore[arg-type]
        lambda: judgement.win_share(7.5, rules="chinese"),  # type: ignore[arg-type]
        lambda: scorer.final_score(board, 7.5, "japanese"),
        lambda: scorer.winrate(board, 7.5, "Territory"),
        lambda: scoring.worth_playing(Uniform(), board, rules="chinese"),  # type: ignore[arg-type]
        lambda: scoring.is_lost(Uniform(), board, 7.5, rules="chinese"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match=r"expected area .* or territory"):
            ask()


def test_an_opening_does_not_give_the_board_away():
    # Playouts of which five are all Black's and three all White's.
    board = Board(9)
    board.setup(black=["E5", "C3"], white=["G7"])
    ends = np.repeat(np.array([BLACK] * 5 + [WHITE] * 3, dtype=np.int8), 81).reshape(8, 9, 9)
    judgement = scoring.judge_playouts(board, ends)
    assert judgement.lead(6.5) == 74.5
    assert judgement.expected_lead(6.5) == 81 * 2 / 8 - 6.5
    assert judgement.expected_lead(6.5, rules="territory") == 81 * 2 / 8 - 6.5 - 1  # Black has laid a stone more


def test_the_expected_lead_of_an_end_is_the_lead():
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)], white=[f"D{row}" for row in range(1, 8)])
    ends = np.full((8, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :3] = BLACK
    ends[0, 0, 0] = WHITE  # one playout of eight went wrong
    judgement = scoring.judge_playouts(board, ends)
    assert judgement.expected_lead(0.5) == judgement.lead(0.5) == -7.5


def test_seki_is_seen() -> None:
    picture = PROVEN["seki"]
    judgement = scoring.judge(Uniform(), board_of(picture))
    assert np.array_equal(judgement.seki, at(picture, "xo"))
    assert not judgement.dead.any()
    assert judgement.lead() == 27 - 52
    assert judgement.lead(rules="territory") == 2 - 14, "the liberties of a seki are no territory"
    assert [len(chain) for chain in judgement.chains("seki")] == [6, 7]
    assert not judgement.unsettled.any()
    assert len(judgement.ends) == scoring.ROUND, "what is settled takes no more playouts"
    board = board_of(picture)
    for board.to_play in (BLACK, WHITE):
        assert not scoring.worth_playing(Uniform(), board).any()


def gnugo_game(number: int) -> gopolicy.GameRecord:
    with tarfile.open(ARCHIVE) as archive:
        file = archive.extractfile(f"gnugo-selfplay/{number:04d}.sgf")
        assert file is not None
        return read_sgf(file.read())


def test_the_score_of_a_game_as_gnugo_has_it(policy: gopolicy.Policy) -> None:
    record = gnugo_game(43)
    board = record.position(len(record.moves) + 1)
    judgement = scoring.judge(policy, board, playouts=8)
    assert record.result == "W+2.5"
    assert judgement.lead(record.komi) == -2.5
    dead = {point for chain in judgement.chains("dead") for point in chain}
    assert dead == {point_from_gtp("N19", 19), point_from_gtp("L10", 19)}, "as GNU Go's final_status_list has them"


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_dame_are_filled_before_passing() -> None:
    board = board_of(DAME)
    middle = at(DAME.replace(". O", "d O").replace("X d", "X d"), "d")
    for colour in (BLACK, WHITE):
        board.to_play = colour
        worth = scoring.worth_playing(Uniform(), board)
        assert worth.any()
        assert middle[worth].any()
    for row in range(7):
        board.play((row, 3))
    assert not scoring.worth_playing(Uniform(), board).any()


def test_no_playouts_before_the_end() -> None:
    policy = Uniform()
    board = Board(19)
    assert scoring.worth_playing(policy, board).sum() == 361
    board.play("D4")
    assert scoring.worth_playing(policy, board).any()
    assert not scoring.is_lost(policy, board, 7.5)
    assert policy.asked == 0


def test_no_playouts_where_the_policy_is_certain() -> None:
    record = gnugo_game(1)
    board = record.position(len(record.moves) - 20)
    wanted = next(point for _, point in record.moves[-21:] if board.is_legal(point))
    policy = Fond(gopolicy.coords.point_to_gtp(wanted, 19))
    assert scoring.worth_playing(policy, board).ravel()[wanted]
    assert policy.asked == 1
    # The player may know better than the policy of the playouts.
    player = np.zeros((19, 19), dtype=np.float32)
    player.ravel()[wanted] = 1
    flat = Uniform()
    assert scoring.worth_playing(flat, board, probs=player).ravel()[wanted]
    assert flat.asked == 0


def test_two_playouts_show_that_the_end_is_not_near() -> None:
    board = gnugo_game(1).position(165)
    assert np.count_nonzero(board.stones()) >= scoring.LATE * 361
    policy = Uniform()
    worth = scoring.worth_playing(policy, board)
    assert np.array_equal(worth, board.sensible_mask() & (scoring.proven(board)[0] == EMPTY))
    assert 1 < policy.asked <= 1 + 2 * 2 * 361


def test_a_last_move_is_answered_where_playouts_are_not_quite_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """White has just played into Black's corner, and dies there in seven playouts of eight."""
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)], white=[f"{letter}{row}" for letter in "DE" for row in range(1, 8)])
    board.play("B4", WHITE)
    ends = np.full((8, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :3] = BLACK
    unanimous = ends.copy()
    ends[0, :, :2] = WHITE
    answer, elsewhere = np.zeros((7, 7), dtype=np.float32), np.zeros((7, 7), dtype=np.float32)
    answer[2:5, 1] = 0.3, 0, 0.3  # B5 and B3
    answer[0, 6] = 0.4
    elsewhere[0, 6] = 1.0

    def worth(owners: np.ndarray, probs: np.ndarray) -> list[str]:
        monkeypatch.setattr(scoring, "play_out", lambda *_, **__: owners)
        found = scoring.worth_playing(Uniform(), board, probs=probs, playouts=8)
        return [gopolicy.coords.point_to_gtp(int(point), 7) for point in np.flatnonzero(found)]

    assert not scoring.judge_playouts(board, ends).unsettled.any()
    assert {"B5", "B3", "A4"} <= set(worth(ends, answer))
    assert not {"G7", "G1"} & set(worth(ends, answer)), "an answer is near the move that it answers"
    assert not worth(unanimous, answer)
    assert not worth(ends, elsewhere)
    far, filled = np.zeros((7, 7), dtype=np.float32), np.zeros((7, 7), dtype=np.float32)
    far[6, 0] = 1.0  # A1, four lines away
    filled[3, 2] = 1.0  # C4, where a stone is
    assert "A1" in worth(ends, far)
    assert not worth(ends, filled)
    board.to_play = WHITE
    assert not worth(ends, answer), "nobody answers themselves"
    board.to_play = BLACK
    board.play(PASS)
    board.play(PASS)
    assert not worth(ends, answer), "a pass needs none"
    ends[0, :2, 5:] = BLACK
    assert not worth(ends, elsewhere), "nor is it anywhere"


def test_after_a_pass_likely_moves_in_settled_places_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """B4 is White's in half of the playouts; G7 is White's in all of them, and yet the likeliest move."""
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)], white=[f"{letter}{row}" for letter in "DE" for row in range(1, 8)])
    ends = np.full((8, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :3] = BLACK
    ends[::2, 3, 1] = WHITE
    monkeypatch.setattr(scoring, "play_out", lambda *_, **__: ends)
    probs = np.zeros((7, 7), dtype=np.float32)
    probs[3, 1], probs[0, 6] = 0.4, 0.6

    def worth() -> list[str]:
        found = scoring.worth_playing(Uniform(), board, probs=probs, playouts=8)
        return [gopolicy.coords.point_to_gtp(int(point), 7) for point in np.flatnonzero(found)]

    board.play("G4", WHITE)
    assert {"B4", "G7"} <= set(worth())
    probs[3, 2] = 0.5
    assert "C4" not in worth(), "a stone is there"
    board.play(PASS)
    board.play(PASS, WHITE)
    assert worth() == ["B4"]


def test_after_a_pass_the_board_may_be_settled_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two walls, and all playouts agree; there are less stones than an end has elsewhere, and the player wants to play on."""
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)], white=[f"D{row}" for row in range(1, 8)])
    assert np.count_nonzero(board.stones()) < scoring.LATE * 49
    ends = np.full((16, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :3] = BLACK
    monkeypatch.setattr(scoring, "play_out", lambda *_, playouts, start, **__: ends[start : start + playouts])
    probs = np.zeros((7, 7), dtype=np.float32)
    probs[0, 6] = 1
    assert np.array_equal(scoring.worth_playing(Uniform(), board, probs=probs), board.stones() == EMPTY)
    board.play(PASS)
    assert not scoring.worth_playing(Uniform(), board, probs=probs).any()


def test_after_a_pass_on_a_full_board_only_what_is_unsettled_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns A to C and H are the other side's in every second playout: 36 points, more than ``MANY``; J is White's."""
    for letters, late in (("DEFG", True), ("DG", False)):
        board = Board(9)
        for row in range(1, 10):
            black, white = ([f"{letter}{row}" for letter in letters if (letter in "DE") == mine] for mine in (True, False))
            board.setup(black=black, white=white)
        assert (np.count_nonzero(board.stones()) >= scoring.LATE * 81) == late
        ends = np.full((16, 9, 9), WHITE, dtype=np.int8)
        ends[:, :, :5] = BLACK
        ends[::2, :, :3], ends[::2, :, 7] = WHITE, BLACK
        ends[:, board.stones() != EMPTY] = board.stones()[board.stones() != EMPTY]
        monkeypatch.setattr(scoring, "play_out", lambda *_, playouts, start, ends=ends, **__: ends[start : start + playouts])
        board.play(PASS)
        worth = scoring.worth_playing(Uniform(), board)
        open_points = np.broadcast_to(np.isin(np.arange(9), [0, 1, 2, 7]), (9, 9))
        assert np.array_equal(worth, open_points if late else board.stones() == EMPTY)


def test_a_first_choice_that_two_playouts_leave_open_takes_no_more_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1 is Black's in the second of sixteen playouts; all else is whose it looks."""
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)], white=[f"{letter}{row}" for letter in "DE" for row in range(1, 8)])
    f1 = gopolicy.coords.point_from_gtp("F1", 7)
    ends = np.full((16, 49), WHITE, dtype=np.int8)
    ends.reshape(16, 7, 7)[:, :, :3] = BLACK
    ends[1, f1] = BLACK
    asked: list[int] = []

    def play_out(*_: object, playouts: int, start: int, **__: object) -> np.ndarray:
        asked.append(playouts)
        return ends[start : start + playouts].reshape(-1, 7, 7)

    def worth(choice: str) -> list[int]:
        asked.clear()
        probs = np.full(49, 0.01, dtype=np.float32)
        probs[gopolicy.coords.point_from_gtp(choice, 7)] = 0.2
        return np.flatnonzero(scoring.worth_playing(Uniform(), board, probs=probs.reshape(7, 7))).tolist()

    monkeypatch.setattr(scoring, "play_out", play_out)
    monkeypatch.setattr(scoring, "MANY", 10)  # of 28 moves
    assert worth("F1") == [f1]
    assert asked == [2]
    assert worth("A1") == [], "more playouts show that F1 is White's"
    assert asked == [2, 6, 8], "a pass takes all of them"
    monkeypatch.setattr(scoring, "FEW", 3)
    open_points = [gopolicy.coords.point_from_gtp(vertex, 7) for vertex in ("F7", "G7", "F1", "G1")]
    for point in open_points:
        ends[1::2, point] = BLACK
    assert worth("A1") == open_points
    assert asked == [2, 6], "a round of playouts tells enough where more than a few points are open, and two do not"


def test_who_is_behind_plays_on_while_a_tenth_of_the_playouts_are_won(monkeypatch: pytest.MonkeyPatch) -> None:
    """White's stone in Black's corner lives in some playouts of sixteen. Counted as it stands, White leads by 7 points before komi."""
    board = Board(7)
    board.setup(black=[f"C{row}" for row in range(1, 8)], white=[f"{letter}{row}" for letter in "DE" for row in range(1, 8)])
    board.play("B4", WHITE)
    board.play(PASS)
    ends = np.full((16, 7, 7), WHITE, dtype=np.int8)
    ends[:, :, :3] = BLACK
    monkeypatch.setattr(scoring, "play_out", lambda *_, playouts, start, **__: ends[start : start + playouts])

    def worth(komi: float | None, rules: scoring.Rules = "area") -> list[str]:
        found = scoring.worth_playing(Uniform(), board, komi=komi, rules=rules)
        return [gopolicy.coords.point_to_gtp(int(point), 7) for point in np.flatnonzero(found)]

    assert not worth(-10), "no playout is won"
    ends[0, :, :2] = WHITE
    assert not worth(-10), "one is luck"
    ends[9, :, :2] = WHITE
    assert scoring.judge_playouts(board, ends).lead(-10) == 3
    assert not scoring.judge_playouts(board, ends).unsettled.any()
    assert {"B5", "B3", "A4"} <= set(worth(-10))
    assert not {"G7", "G1"} & set(worth(-10)), "White's own territory is sure"
    assert not worth(7.5), "White is ahead"
    assert not worth(-7), "a draw"
    assert not worth(-40), "those two playouts win nothing"
    # Of White's lead seven points are the stones that she has laid more, and Black's prisoner is one.
    assert scoring.judge_playouts(board, ends).lead(-3, rules="territory") == 4
    assert not worth(-3), "White is ahead"
    assert worth(-3, "territory") == worth(-10)
    flat = np.full((7, 7), 1 / 49, dtype=np.float32)
    scorer = scoring.PlayoutScorer(Uniform())
    assert [bool(scorer.worth_playing(board, flat, -3, rules).any()) for rules in ("area", "territory")] == [False, True]
    assert not worth(-32, "territory"), "those two playouts win nothing"
    assert worth(-32)
    assert not worth(None)


SEKI = """
    x o . o . x . x O
    x o o o x x x x O
    x x x x O O O O O
    . x . x O . O . O
    x x x x O O O O O
    x . x x O O . O O
    x x x x O O O O O
    . x . x O . O . O
    x x x x O O O O O
"""


def test_a_seki_is_left_alone_by_a_network_certain_of_its_liberty(policy: gopolicy.Policy) -> None:
    """White's five stones and Black's six have an eye each and one liberty in common. GNU Go 3.8: seki, W+6."""
    board = board_of(SEKI)
    judgement = scoring.judge(policy, board)
    assert sorted(len(chain) for chain in judgement.chains("seki")) == [5, 6]
    assert judgement.lead() == -6
    for board.to_play in (BLACK, WHITE):
        assert not scoring.worth_playing(policy, board).any()


def test_eyes_of_a_seki_are_no_territory() -> None:
    """White's five stones have the eye C9, Black's six G9; E9 is left empty by all playouts. All else is five points for each."""
    board = board_of(SEKI)
    stones = board.stones()
    ends = np.where(np.arange(9) < 4, BLACK, WHITE) * np.ones((4, 9, 1), dtype=np.int8)
    ends[:, stones != EMPTY] = stones[stones != EMPTY]
    ends[:, 0, 2], ends[:, 0, 4], ends[:, 0, 6] = WHITE, EMPTY, BLACK
    judgement = scoring.judge_playouts(board, ends.astype(np.int8))
    assert np.flatnonzero(judgement.no_territory).tolist() == [point_from_gtp(vertex, 9) for vertex in ("C9", "E9", "G9")]
    assert judgement.lead() == int(stones.sum()), "by area the eyes count"
    assert judgement.lead(rules="territory") == 0
    assert not judgement.open.any()
    assert sorted(len(chain) for chain in judgement.chains("seki")) == [5, 6]
    whole = sorted(point for status in ("alive", "seki") for chain in judgement.chains(status) for point in chain)
    assert whole == np.flatnonzero(stones).tolist(), "a stone has one status"
    with pytest.raises(UsageError, match="the status is 'lost', expected alive, dead or seki"):
        judgement.chains("lost")  # type: ignore[arg-type]
    # Half of the playouts fill E9, and White's chain is Black's in three of them. It lives, and a seki is settled.
    eight = np.repeat(ends.astype(np.int8), 2, axis=0)
    eight[:4, 0, 4] = BLACK
    eight[:3, at(SEKI, "o")] = BLACK
    judgement = scoring.judge_playouts(board, eight)
    assert sorted(len(chain) for chain in judgement.chains("seki")) == [5, 6]
    assert judgement.owner[0, 4] == EMPTY
    assert [judgement.expected_win_share(judgement.lead() + more) for more in (-0.5, 0.5)] == [1, 0]


def test_eyes_that_one_side_alone_has_in_a_seki_are_no_territory() -> None:
    board = board_of(ONE_SIDED)
    for scorer in (scoring.PlayoutScorer(Uniform()), scoring.PlayoutScorer(gopolicy.load("playouts", precision="float32"))):
        status = scorer.status(board)
        assert status == {
            "alive": np.flatnonzero(at(ONE_SIDED, "XO")).tolist(),
            "dead": [],
            "seki": np.flatnonzero(at(ONE_SIDED, "xo")).tolist(),
            "black_territory": [point_from_gtp(f"{column}6", 9) for column in "ACGJ"],
            "white_territory": [point_from_gtp(f"{column}3", 9) for column in "ACEGJ"],
            "dame": [point_from_gtp(f"{column}9", 9) for column in "ACGJ"],
        }
        assert scorer.final_score(board, 0.5, "area") == int(board.stones().sum()) + 4 - (5 + 2) - 0.5
        assert scorer.final_score(board, 0.5, "territory") == 4 - 5 - 0.5
    for board.to_play in (BLACK, WHITE):
        assert not scoring.worth_playing(Uniform(), board).any()


def test_dame_that_no_playout_fills_make_no_seki_of_proven_chains() -> None:
    board = board_of(DAME)
    judgement = scoring.judge_playouts(board, scoring.play_out(Uniform(), board, playouts=8, limit=0))
    assert scoring.proven(board)[1].any()
    assert (judgement.ends[:, :, 3] == EMPTY).all()
    assert not judgement.seki.any()
    assert not judgement.no_territory.any()


def test_own_eyes_and_territory_are_never_worth_a_move() -> None:
    for board in positions()[:40]:
        owner, _ = scoring.proven(board)
        for board.to_play in (BLACK, WHITE):
            worth = scoring.worth_playing(Uniform(), board, playouts=2)
            assert not (worth & (owner != EMPTY)).any()
            assert not (worth & ~board.sensible_mask()).any()


def test_a_game_is_lost_beyond_doubt_or_not() -> None:
    picture = PROVEN["seki"]  # white is 25 points ahead
    board = board_of(picture)
    for _ in range(11):
        board.play(PASS)
        board.play(PASS)
    assert scoring.is_lost(Uniform(), board, 0.5)
    assert not scoring.is_lost(Uniform(), board, -22.5), "lost, but not by much"
    board.to_play = WHITE
    assert not scoring.is_lost(Uniform(), board, 0.5)
    assert scoring.is_lost(Uniform(), board, -80)
    board.to_play = 2
    with pytest.raises(GoPolicyError, match="2 is no colour"):
        scoring.is_lost(Uniform(), board, 0.5)
    assert scoring.is_lost(Uniform(), board_of(picture), 0.5), "the stones may have been set up"
    few = Board(9)
    few.setup(white=["C3", "C7", "G3", "G7"])
    assert not scoring.is_lost(Uniform(), few, 200.5), "an opening"
    for _ in range(20):
        few.play(PASS)
    assert scoring.is_lost(Uniform(), few, 200.5), "the stones of many moves may have been captured"


def test_how_far_behind_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Black loses by 9 points and komi: by a twentieth of 81 points or more, in every playout, and when a quarter of the board is laid."""
    board = Board(9)
    board.setup(black=[f"D{row}" for row in range(1, 10)], white=[*(f"E{row}" for row in range(1, 10)), "J1"])
    ends = np.full((16, 9, 9), WHITE, dtype=np.int8)
    ends[:, :, :4] = BLACK
    monkeypatch.setattr(scoring, "play_out", lambda *_, playouts, start=0, **__: ends[start : start + playouts])

    def is_lost(komi: float) -> list[bool]:
        """For Black, and for White where she is behind by as much."""
        answers = []
        for board.to_play, told in ((BLACK, komi), (WHITE, -18 - komi)):
            answers.append(scoring.is_lost(Uniform(), board, told))
        return answers

    assert is_lost(20) == [False, False], "there are 19 stones"
    board.setup(white=["J9"])
    assert is_lost(20) == [True, True]
    assert is_lost(-4.9) == [True, True]
    assert is_lost(-5) == [False, False], "by 4 points"
    ends[15, 0] = (BLACK,) * 4 + (EMPTY,) * 5  # 4 points of 9
    board.to_play = BLACK
    assert scoring.is_lost(Uniform(), board, -3.5)
    assert not scoring.is_lost(Uniform(), board, -4), "the last playout is a draw"


def test_by_territory_stones_laid_in_the_own_area_win_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Black's five stones behind his wall are points by area, and none by territory."""
    board = Board(9)
    board.setup(black=[*(f"D{row}" for row in range(1, 10)), "B2", "B4", "B6", "B8", "A5"], white=[f"E{row}" for row in range(1, 10)])
    ends = np.full((16, 9, 9), WHITE, dtype=np.int8)
    ends[:, :, :4] = BLACK
    monkeypatch.setattr(scoring, "play_out", lambda *_, playouts, start=0, **__: ends[start : start + playouts])
    scorer = scoring.PlayoutScorer(Uniform())
    assert [scorer.final_score(board, -11.5, rules) for rules in ("area", "territory")] == [2.5, -2.5]
    # All of the eight playouts of an opening, and none: by Laplace's rule of succession 9 and 1 of 10.
    assert [scorer.winrate(board, -11.5, rules) for rules in ("area", "territory")] == [0.9, 0.1]
    assert [scorer.expected_lead(board, -11.5, rules) for rules in ("area", "territory")] == [2.5, -2.5]
    behind = 0.05 * 81 - 9  # komi by which Black's loss of 9 points on the board is just what is taken for hopeless
    assert [scorer.is_lost(board, behind - 2, rules) for rules in ("area", "territory")] == [False, True]


def test_two_networks_end_a_small_game(policy: gopolicy.Policy) -> None:
    """They fill no own territory to the bitter end, and what they leave is counted the same by both."""
    board = Board(7)
    while board.move_number < 150 and [point for _, point in board.moves[-2:]] != [PASS, PASS]:
        worth = scoring.worth_playing(policy, board, playouts=8)
        probs = np.where(worth, policy.probabilities(board), -1)
        board.play(int(probs.argmax()) if worth.any() else PASS)
    assert board.move_number < 100, f"{board}"
    assert (board.stones() == EMPTY).sum() >= 6, f"{board}"
