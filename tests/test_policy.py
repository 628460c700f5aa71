"""Policy: what it answers is the network's softmax over the legal points, in any batch and under any symmetry."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import gopolicy
from gopolicy import draw, policy, scoring, weights
from gopolicy.board import Board
from gopolicy.coords import point_from_gtp
from gopolicy.errors import DeviceError, GoPolicyError, WeightsError
from gopolicy.features import encode
from gopolicy.network import PolicyConfig, PolicyNetwork
from gopolicy.policy import Policy
from tests.reference import own_games


def network(kind: str = "residual", planes: str = "alphago48", in_planes: int = 48, seed: int = 0) -> PolicyNetwork:
    """A small network with weights of some size, so that its answers differ from point to point."""
    torch.manual_seed(seed)
    net = PolicyNetwork(PolicyConfig(planes=planes, in_planes=in_planes, filters=8, layers=4, kind=kind))
    with torch.no_grad():
        for name, value in net.named_parameters():
            if "norm" in name or name.startswith("point_bias"):
                value.add_(0.3 * torch.randn_like(value))
        net.output.weight.mul_(20)
    return net.eval()


@pytest.fixture(scope="module")
def player() -> Policy:
    return Policy(network(), {}, torch.device("cpu"), "float32")


def boards(size: int = 19, count: int = 6) -> list[Board]:
    """Positions after random sensible moves."""
    rng = np.random.default_rng(size)
    result = []
    for turns in range(10, 10 + 30 * count, 30):
        board = Board(size)
        for _ in range(turns):
            points = np.flatnonzero(board.sensible_mask())
            board.play(int(rng.choice(points)) if len(points) else "pass")
        result.append(board)
    return result


def test_probabilities_are_the_softmax_over_the_legal_points(player: Policy) -> None:
    for board in boards():
        legal = board.legal_mask()
        with torch.inference_mode():
            logits = network()(torch.from_numpy(encode(board)[None]).float())[0].numpy().reshape(19, 19)
        expected = np.where(legal, np.exp(logits - logits[legal].max()), 0)
        expected /= expected.sum()
        probs = player.probabilities(board)
        assert probs.shape == (19, 19)
        assert probs.dtype == np.float32
        assert np.allclose(probs, expected, atol=1e-5)
        assert np.all(probs[~legal] == 0)
        assert abs(float(probs.sum()) - 1) < 1e-5


def test_top_k_is_sorted_legal_and_names_the_points(player: Policy) -> None:
    board = boards()[3]
    probs = player.probabilities(board)
    best = player.top_k(board, k=7)
    assert [round(candidate.prob, 6) for candidate in best] == [round(float(prob), 6) for prob in np.sort(probs.ravel())[::-1][:7]]
    for candidate in best:
        assert probs.ravel()[point_from_gtp(candidate.move, 19)] == np.float32(candidate.prob)
        assert board.is_legal(candidate.move)


def test_a_batch_answers_as_one_by_one(player: Policy) -> None:
    many = boards()
    for together, board in zip(player.top_k_batch(many, k=4), many, strict=True):
        alone = player.top_k(board, k=4)
        assert [candidate.move for candidate in together] == [candidate.move for candidate in alone]
        assert np.allclose([candidate.prob for candidate in together], [candidate.prob for candidate in alone], atol=1e-5)
    assert player.top_k_batch([]) == []
    for probs, board in zip(player.probabilities_batch(many), many, strict=True):
        np.testing.assert_allclose(probs, player.probabilities(board), atol=1e-6)


@pytest.mark.parametrize("count", [3, 8])
def test_symmetries_are_the_mean_of_the_first_turned_boards(player: Policy, count: int) -> None:
    """Each view is a board of its own here, built by turning every move."""
    from gopolicy import symmetry

    board = boards()[2]
    total = np.zeros((19, 19))
    for k in range(count):
        turned = Board(19, superko=False)
        for colour, point in board.moves:
            turned.play(symmetry.point(point, k, 19), colour)
        turned.to_play = board.to_play
        with torch.inference_mode():
            probs = network()(torch.from_numpy(encode(turned)[None]).float()).softmax(1).numpy().reshape(19, 19)
        total += symmetry.apply(probs, int(symmetry.INVERSE[k]))
    legal = board.legal_mask()
    expected = np.where(legal, total, 0) / total[legal].sum()
    assert np.allclose(player.probabilities(board, symmetries=count), expected, atol=1e-5)
    assert player.log_probabilities(torch.zeros(0, 48, 19, 19), count).shape == (0, 361), "no board, no answer"
    logs = player.log_probabilities(torch.from_numpy(encode(board)[None]), count)
    assert abs(float(logs.exp().sum()) - 1) < 1e-5, "of all points, legal or not"


def test_the_view_as_the_board_lies_tells_the_corners_of_an_average_apart(player: Policy) -> None:
    """The mean alone makes these eight points of an empty board equally likely; strong players begin in a corner of their own."""
    alike = [player.probabilities(Board(19)).ravel(), player.probabilities(Board(19), symmetries=8).ravel()]
    points = [point_from_gtp(vertex, 19) for vertex in ("C4", "D3", "Q3", "R4", "R16", "Q17", "D17", "C16")]
    plain, mean = (probs[points] for probs in alike)
    assert np.ptp(mean) < 0.01 * mean.max()
    assert mean.argsort().tolist() == plain.argsort().tolist()


def test_the_average_does_not_care_how_the_board_is_turned(player: Policy) -> None:
    board, mirrored = Board(19), Board(19)
    for vertex, mirror in (("D4", "Q4"), ("C6", "R6"), ("R14", "C14")):
        board.play(vertex)
        mirrored.play(mirror)
    assert np.allclose(player.probabilities(board, 8), player.probabilities(mirrored, 8)[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("size", [5, 9, 13, 25])
def test_other_sizes_are_answered(player: Policy, size: int) -> None:
    for board in boards(size, 2):
        probs = player.probabilities(board, symmetries=8)
        assert probs.shape == (size, size)
        assert abs(float(probs.sum()) - bool(board.legal_mask().any())) < 1e-5


def test_no_legal_point() -> None:
    board = Board(3)
    board.setup(black=["A2", "A3", "B1", "B2", "B3", "C1", "C2"])  # two eyes, and nothing else
    board.to_play = gopolicy.WHITE
    player = Policy(network(), {}, torch.device("cpu"), "float32")
    assert board.legal_mask().sum() == player.probabilities(board).sum() == 0
    assert player.top_k(board) == []


@pytest.mark.parametrize("symmetries", [1, 8])
def test_a_position_however_lopsided_is_divided_among_the_legal_points(symmetries: int) -> None:
    """The network is all but certain of points that are occupied: what it thinks of the others is below what a float can hold."""
    corners = ("D4", "Q16", "D16", "Q4")
    board, sure = Board(19), network()
    for vertex in corners:
        board.play(vertex)
        with torch.no_grad():
            sure.point_bias.view(-1)[point_from_gtp(vertex, 19)] = 1000
    probs = Policy(sure, {}, torch.device("cpu"), "float32").probabilities(board, symmetries)
    assert np.array_equal(probs > 0, board.legal_mask())
    assert abs(float(probs.sum()) - 1) < 1e-5
    if symmetries == 1:
        plain = Policy(network(), {}, torch.device("cpu"), "float32").probabilities(board)
        assert np.allclose(probs, plain, rtol=0.001)


def test_bf16_answers_nearly_as_float32(player: Policy) -> None:
    half = Policy(network(), {}, torch.device("cpu"), "bf16")
    assert half.number == torch.bfloat16
    for board in boards():
        exact, near = player.probabilities(board), half.probabilities(board)
        assert abs(float(near.sum()) - 1) < 1e-5
        assert np.abs(exact - near).max() < 0.03
        assert np.abs(exact - near).max() > 0, "computed in bf16, or not?"


def test_superko_is_part_of_legal(player: Policy) -> None:
    board = Board(5)
    board.setup(black=["B1", "A2", "C3", "D2"], white=["C1", "B3", "A4", "D1"])
    probs = player.probabilities(board)
    assert np.array_equal(probs > 0, board.legal_mask())


def test_every_plane_set_is_encoded_for_its_network(tmp_path: Path) -> None:
    for name, chosen in gopolicy.PLANE_SETS.items():
        weights.save(tmp_path / "w.safetensors", network("alphago", name, chosen.planes), {})
        loaded = gopolicy.load(tmp_path / "w.safetensors", device="cpu")
        assert abs(float(loaded.probabilities(Board(19)).sum()) - 1) < 1e-5


def test_what_cannot_be_done_is_said(player: Policy) -> None:
    with pytest.raises(GoPolicyError, match=r"k.* is 0, expected a whole number, 1 or more"):
        player.top_k(Board(9), k=0)
    with pytest.raises(GoPolicyError, match="1 to 8"):
        player.top_k(Board(9), symmetries=9)
    with pytest.raises(GoPolicyError, match="one size"):
        player.top_k_batch([Board(9), Board(13)])
    with pytest.raises(WeightsError, match="does not exist"):
        gopolicy.load("no-such-file.safetensors")
    with pytest.raises(WeightsError, match="device"):
        policy.choose_device("quantum")


@pytest.mark.parametrize("shape", [(48, 9, 9), (1, 47, 9, 9), (1, 48, 9, 13), (1, 1, 48, 9, 9)])
def test_planes_of_another_shape_are_refused(player: Policy, shape: tuple[int, ...]) -> None:
    assert player.log_probabilities(torch.zeros(2, 48, 9, 9)).shape == (2, 81)
    said = f"planes of the shape {shape} are no alphago48, which are (boards, 48, lines, lines)"
    with pytest.raises(GoPolicyError, match=re.escape(said)):
        player.log_probabilities(torch.zeros(shape))


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(1))  # as if it were there
    for there, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert policy.choose_device("auto").type == device
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert policy.quickest() == "auto", "integers are for CPUs alone"


def test_a_gpu_that_torch_cannot_use_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is too old for this torch, or too full, is there all the same."""

    def fails(*_: object, **__: object) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device\nSearch for …")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", fails)
    with pytest.warns(UserWarning, match=r"^device 'cuda' .* \(CUDA error: no kernel image [^\n]* the device\): the CPU is used$"):
        assert policy.choose_device("auto").type == "cpu"
    with pytest.raises(DeviceError, match="no kernel image"):
        policy.choose_device("cuda")


def test_threads_are_as_many_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    gopolicy.load("fast", device="cpu", threads=3)
    gopolicy.load("fast", device="cpu")
    assert asked == [3]


def test_a_precision_that_is_not_known_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"'fp16' is not known: take auto, bf16, float32, or int8"):
        gopolicy.load("fast", precision="fp16")


with_int8 = pytest.mark.skipif(policy.quickest() != "int8", reason="no convolutions of 8-bit integers here")


@with_int8
@pytest.mark.parametrize("name", weights.PACKAGED)
def test_in_integers_a_network_of_the_package_thinks_nearly_the_same(name: str) -> None:
    """On positions of another game than the one that the ranges are taken from, and on a small board."""
    exact, integers = gopolicy.load(name, precision="float32"), gopolicy.load(name, precision="int8")
    board, asked = Board(19), boards(9, 2)
    for number, (colour, point) in enumerate(next(own_games())):
        if number % 8 == 0:
            asked.append(board.copy())
        board.play(point, colour)
    same, divergence = [], []
    for board in asked:
        p, q = (player.probabilities(board).astype(np.float64) for player in (exact, integers))
        assert np.array_equal(p > 0, q > 0)
        same.append(p.argmax() == q.argmax())
        divergence.append(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))
    assert len(asked) > 20
    assert np.mean(same) > 0.85
    assert np.mean(divergence) < 0.005  # in nats
    views = integers.probabilities(asked[3], symmetries=8)
    assert np.abs(views - exact.probabilities(asked[3], symmetries=8)).max() < 0.05


@with_int8
def test_integers_are_refused_for_planes_that_are_not_zeros_and_ones() -> None:
    with pytest.raises(DeviceError, match="the plane set stones1 has more: take auto"):
        Policy(network(planes="stones1", in_planes=1), {}, torch.device("cpu"), "int8")
    assert policy.quickest("cpu", "stones1") == "auto"


def test_the_examples_are_positions_of_a_whole_game() -> None:
    planes = policy.examples("alphago48").numpy()
    stones = planes[:, :2].sum((1, 2, 3))
    assert planes.shape == (35, 48, 19, 19)
    assert stones[0] == 0
    assert stones[-1] > 220


@pytest.mark.parametrize(
    "ask",
    [
        lambda player, board: player.top_k(board, k=2.5),
        lambda player, board: player.top_k(board, k=0),
        lambda player, board: player.top_k(board, k="3"),
        lambda player, board: player.top_k(None),
        lambda player, board: player.top_k("D4"),
        lambda player, board: player.probabilities(board, symmetries=None),
        lambda player, board: player.probabilities(board, symmetries=9),
        lambda player, board: player.probabilities(board.stones()),
        lambda player, board: player.top_k_batch(board),
        lambda player, board: player.top_k_batch(None),
        lambda player, board: encode(None),
        lambda player, board: Board("19"),
        lambda player, board: Board(True),
        lambda player, board: board.play(3.0),
        lambda player, board: board.play(True),
        lambda player, board: board.play(None),
        lambda player, board: board.play((1, 2, 3)),
        lambda player, board: board.play((1.5, 2)),
        lambda player, board: gopolicy.load(None),
        lambda player, board: gopolicy.load(""),
        lambda player, board: gopolicy.load("fast", threads=-1),
        lambda player, board: gopolicy.load("fast", threads=100_000),
        lambda player, board: gopolicy.load("fast", device=None),
        lambda player, board: gopolicy.read_sgf(None),
        lambda player, board: gopolicy.read_sgf(""),
        lambda player, board: gopolicy.PackedGames.open(None),
        lambda player, board: gopolicy.PackedGames.open(3),
        lambda player, board: scoring.judge(player, "x"),
        lambda player, board: draw.board_text("x"),
        lambda player, board: draw.board_picture(None, "nowhere.png"),
        lambda player, board: PolicyConfig(filters=0),
        lambda player, board: pickle.dumps(player),
        lambda player, board: copy.deepcopy(player),
    ],
)
def test_what_is_of_another_type_is_said_in_a_sentence(ask: Callable[[Policy, Board], object]) -> None:
    board = Board(9)
    with pytest.raises(GoPolicyError) as error:
        ask(gopolicy.load("fast"), board)
    assert len(str(error.value)) > 20
    assert board.move_number == 0


def test_what_yields_boards_can_be_asked_about() -> None:
    player = gopolicy.load("fast")
    assert len(player.top_k_batch(Board(9) for _ in range(3))) == 3


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing forks here")
def test_a_forked_process_gets_answers() -> None:
    """``multiprocessing`` forks on Linux up to Python 3.13: torch's threads do not come along, and a child had waited for them forever."""
    program = (
        "import multiprocessing, gopolicy\n"
        "policy, board = gopolicy.load('playouts', device='cpu', threads=2), gopolicy.Board(19)\n"
        "board.play('Q16')\n"
        "def ask(name):\n"
        "    mine = gopolicy.load(name, device='cpu') if name else policy\n"
        "    return [moves[0].move for moves in mine.top_k_batch([board] * 8)]\n"
        "before = ask('')\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    print([moves == before for moves in pool.map_async(ask, ['', 'playouts']).get(45)])\n"
        "print(ask('') == before, gopolicy.policy.torch.get_num_threads())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[True, True]\nTrue 2\n", done.stderr
