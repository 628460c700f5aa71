"""``Policy``: a trained network that answers for boards.

>>> import gopolicy
>>> policy = gopolicy.load()
>>> board = gopolicy.Board(19)
>>> board.play("Q16")
>>> [candidate.move for candidate in policy.top_k(board, k=3)]  # doctest: +SKIP
['D4', 'D16', 'Q4']
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, SupportsIndex

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gopolicy import inference, symmetry, weights
from gopolicy.board import Board, check_board
from gopolicy.coords import point_to_gtp
from gopolicy.errors import MAX_THREADS, DeviceError, GoPolicyError, UsageError, whole_number
from gopolicy.features import PLANE_SETS, encode
from gopolicy.network import PRECISIONS, PolicyNetwork, resolve_precision

TURN = 0.001  # enough to tell apart what is alike, and nothing beside it
# A game of GNU Go against itself, of those in data/, up to its passes: positions from an opening to a full board.
GAME = (
    "qdcpddqokccffddjpjpqqmepgqocpeiqgolqndqbenfqgrbdccdhncnbmboarcrbmacmhnhgbcjgiplgjqngphicjdfrirhljnjllnnpelfkcldldmcndkcjblffaoljbqdqcr"
    "dohedrairnogsknhmhninfodsbbebipcpbajobjerjkrrhnsorbhmrdfdgceefdeosbocqbrchbgcgdncorfqcrdbfafbjakleifigimilkfjfkerglfmelllkkpbpaqapsfpd"
    "ofklldnemlmknkqkomkmlmmioofopkrmqlmorlslmnopnolofnpopnqgfleklpmplrmskgkhqigfrisirkgphpbnhfmdmckojogshsfsqfglpgsjqjshgmgehdgdhcfcecgcib"
    "fbebhbhaeadafadbgbiafeedjbjclsnjsckssdsefppcgaidpdmfmgpcjaicpdmqnqpconnnpdkqmqpchqhrpdckpcknoeqnhmjmromjbklilhkijhkkjikjjkjjijqhsmbma"
    "malaneoeesgna"
)
EVERY = 8  # of its positions are examples of what a network is asked

if hasattr(os, "register_at_fork"):
    # Threads stay behind in a fork, as ``multiprocessing`` makes them on Linux up to Python 3.13: a child would wait for torch's forever.
    os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))


def examples(planes: str) -> Tensor:
    """The planes of some positions of one game: (B, P, 19, 19) uint8 (int8 for ``stones1``)."""
    board, found = Board(19), []
    for i in range(0, len(GAME), 2):
        if i // 2 % EVERY == 0:
            found.append(encode(board, planes))
        column, row = (ord(letter) - ord("a") for letter in GAME[i : i + 2])
        board.play(19 * row + column)
    return torch.from_numpy(np.stack(found))


@dataclass(frozen=True)
class Candidate:
    """A move a policy thinks of: its vertex and its probability among the legal moves."""

    move: str
    prob: float


def check_symmetries(symmetries: SupportsIndex) -> int:
    """Returns the number of views of the board to average, 1 to 8; raises GoPolicyError for another."""
    return whole_number(symmetries, "the number of symmetries", 1, symmetry.COUNT)


class Policy:
    """A network ready to answer. Made by ``load``.

    Batch normalisation is folded away. With ``precision`` ``"auto"`` the layers but the last compute in bf16 where the machine has
    instructions for it, twice as fast as ``"float32"``; probabilities differ by some thousandths. ``"int8"``, on CPUs alone, computes
    in 8-bit integers, twice as fast as bf16; probabilities differ by about a hundredth, and one first choice in thirty to sixty.
    """

    def __init__(self, network: PolicyNetwork, description: dict[str, Any], device: torch.device, precision: str = "auto") -> None:
        self.description = description
        self.device = device
        self.planes: str = network.config.planes
        if precision == "int8":
            self.number = torch.uint8
            if PLANE_SETS[self.planes].dtype != np.uint8:
                raise DeviceError(f"the precision int8 reads zeros and ones, and the plane set {self.planes} has more: take auto")
            self.logits = inference.quantised(network.folded(), device, examples(self.planes))
        else:
            self.number = resolve_precision(precision, device)
            self.logits = inference.prepare(network.folded(), device, self.number)
            precision = next(name for name, number in PRECISIONS.items() if number == self.number)
        self.precision = precision

    def __reduce__(self) -> NoReturn:
        raise UsageError("a Policy cannot be copied or pickled, as torch's prepared layers cannot: call load() in each process")

    @torch.inference_mode()
    def log_probabilities(self, planes: Tensor, symmetries: int = 1) -> Tensor:
        """The logarithms of the probabilities of all points, legal or not: planes (B, P, N, N) → (B, N*N) float32 on the device.

        With more symmetries, the probabilities of the first so many views of the board are averaged; all views make one batch. The view
        as the board lies has ``TURN`` more than its share: where the board is its own mirror image, it tells the corners apart.
        Raises GoPolicyError for planes of another shape.
        """
        check_symmetries(symmetries)
        if not (planes.ndim == 4 and planes.shape[1] == PLANE_SETS[self.planes].planes and planes.shape[2] == planes.shape[3]):
            wanted = f"(boards, {PLANE_SETS[self.planes].planes}, lines, lines)"
            raise GoPolicyError(f"planes of the shape {tuple(planes.shape)} are no {self.planes}, which are {wanted}")
        x = planes.to(self.device).to(self.number, memory_format=torch.channels_last)
        if symmetries == 1:
            return self.logits(x).log_softmax(dim=1)
        count, points = len(x), x.shape[-1] ** 2
        views = torch.arange(symmetries, device=x.device).repeat(count)
        probs = self.probabilities_by_view(x.repeat_interleave(symmetries, dim=0), views).view(count, symmetries, points)  # (B, S, N*N)
        averaged: Tensor = (probs.mean(dim=1) + TURN * probs[:, 0]) / (1 + TURN)
        return averaged.clamp_min(1e-30).log()

    @torch.inference_mode()
    def probabilities_by_view(self, planes: Tensor, views: Tensor) -> Tensor:
        """The probabilities of all points, legal or not, when each board is shown under a symmetry of its own, ``views`` (B,) int64:
        planes (B, P, N, N) → (B, N*N) float32, for the board as it lies."""
        x = planes.to(self.device).to(self.number)
        tables = torch.from_numpy(symmetry.tables(x.shape[-1]).astype(np.int64)).to(self.device)[views]  # (B, N*N)
        turned = x.flatten(2).gather(2, tables[:, None].expand(-1, x.shape[1], -1)).view(x.shape)
        probs: Tensor = self.logits(turned.contiguous(memory_format=torch.channels_last)).softmax(dim=1)
        return probs.gather(1, torch.argsort(tables, dim=1))  # where each point of the board went

    def probabilities_batch(self, boards: Iterable[Board], symmetries: SupportsIndex = 1) -> list[npt.NDArray[np.float32]]:
        """``probabilities`` for many boards of one size at once."""
        try:
            boards = list(boards)
        except TypeError:
            raise UsageError(f"Boards are wanted, not a {type(boards).__name__}") from None
        if not boards:
            return []
        for board in boards:
            check_board(board)
        sizes = {board.size for board in boards}
        if len(sizes) > 1:
            raise GoPolicyError(f"boards of one size are wanted, not of {', '.join(map(str, sorted(sizes)))}")
        planes = torch.from_numpy(np.stack([encode(board, self.planes) for board in boards]))
        logs = self.log_probabilities(planes, check_symmetries(symmetries)).cpu().numpy()  # (B, N*N)
        result = []
        for board, log in zip(boards, logs, strict=True):
            legal = board.legal_mask()
            probs = np.zeros(legal.shape, dtype=np.float32)
            if legal.any():
                mine = log.reshape(legal.shape)[legal].astype(np.float64)
                # Among the legal points; from logarithms, so that no position is too lopsided to be divided.
                mine = np.exp(mine - mine.max())
                probs[legal] = mine / mine.sum()
            result.append(probs)
        return result

    def probabilities(self, board: Board, symmetries: SupportsIndex = 1) -> npt.NDArray[np.float32]:
        """(N, N) float32: how likely each point is the next move, 1 in sum over the legal points, 0 elsewhere.

        All zeros where no point is legal. A network trained for 19×19 answers for other sizes as far as it goes.
        ``symmetries`` views of the board, 1 to 8, are averaged.
        """
        return self.probabilities_batch([board], symmetries)[0]

    def top_k(self, board: Board, k: SupportsIndex = 5, symmetries: SupportsIndex = 1) -> list[Candidate]:
        """The ``k`` likeliest moves, best first; fewer where fewer are legal."""
        return self.top_k_batch([board], k, symmetries)[0]

    def top_k_batch(self, boards: Iterable[Board], k: SupportsIndex = 5, symmetries: SupportsIndex = 1) -> list[list[Candidate]]:
        """``top_k`` for many boards of one size at once."""
        count = whole_number(k, "k, how many moves are wanted,", 1)
        return [_best(probs, count) for probs in self.probabilities_batch(boards, symmetries)]


def _best(probs: npt.NDArray[np.float32], k: int) -> list[Candidate]:
    flat = probs.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:k]
    return [Candidate(point_to_gtp(int(point), probs.shape[0]), float(flat[point])) for point in order if flat[point] > 0]


def choose_device(device: str | torch.device) -> torch.device:
    """``auto``: a GPU where there is one that torch can use, else the CPU. Raises DeviceError for what this machine does not have."""
    if device == "auto":
        if torch.cuda.is_available():
            try:
                return choose_device("cuda")
            except DeviceError as error:
                warnings.warn(f"{str(error).rpartition(':')[0]}: the CPU is used", stacklevel=2)
        return torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.ones(1, device=chosen).cpu()  # "meta" holds nothing that could be asked for, a GPU may be too old for this torch
    except (RuntimeError, AssertionError, TypeError) as error:
        why = str(error).splitlines()[0].partition(", ")[0]  # torch goes on with a list of all it was ever built for
        if why.startswith("Expected one of"):
            why = "torch knows none of that kind"
        raise DeviceError(f"device {device!r} is not to be had here ({why}): try cpu or auto") from None
    return chosen


def quickest(device: str = "auto", planes: str = "alphago48") -> str:
    """The precision that answers first on a device, for ``load``: ``"int8"`` where machine and plane set allow it, else ``"auto"``."""
    return "int8" if PLANE_SETS[planes].dtype == np.uint8 and inference.has_int8(choose_device(device)) else "auto"


def load(
    weights_name: str | os.PathLike[str] = "default",
    *,
    device: str | torch.device = "auto",
    threads: int | None = None,
    precision: str = "auto",
) -> Policy:
    """The policy of a weights file, or of weights that come with the package: ``default``, ``fast`` for slow machines, ``playouts``.

    ``threads`` sets how many threads torch uses in this process; one that is forked from it has one. ``precision`` is ``"auto"``,
    ``"bf16"``, ``"float32"`` or ``"int8"`` (see ``Policy``). Raises WeightsError for weights that cannot be used, DeviceError for a
    device or a precision.
    """
    network, description = weights.load(weights_name)
    if threads is not None:
        torch.set_num_threads(whole_number(threads, "the number of threads", 1, MAX_THREADS))
    return Policy(network, description, choose_device(device), precision)
