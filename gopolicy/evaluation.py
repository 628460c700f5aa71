"""How often a network is right: accuracy, cross-entropy and calibration, over all and by kind of position.

A position counts as published figures count it: the network's first choice among all points against the move that was
played, passes left out. Positions of one game are not independent, so every interval is made from whole games: the variance of
the ratio (right answers / positions) between games (Cochran, Sampling Techniques, 3rd ed., section 2.11), by Student's distribution, as
two games tell little of how games differ.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gopolicy import __version__, batches, draw, games, policy
from gopolicy.coords import BLACK, WHITE, colour_name, point_to_gtp
from gopolicy.errors import MAX_THREADS, GamesError, UsageError, cores, flag, whole_number

PHASES = ((1, 50), (51, 100), (101, 150), (151, 200), (201, 10_000))
CALIBRATION_BINS = 10
NONE = "none"  # of ranks that are not known
WRONG = 6  # pictures of positions, by default
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # 95 % of the t distribution lie so near, by degrees of freedom


@dataclass
class Answers:
    """What a network said of many positions; every array is (positions,)."""

    game: npt.NDArray[np.int64]  # index in the packed set
    move_number: npt.NDArray[np.int64]  # 1 for the first move
    rank: npt.NDArray[np.int64]  # of the played move among all points, in top_k's order: 0 is the first choice
    cross_entropy: npt.NDArray[np.float64]  # -ln of the probability of the played move
    best_prob: npt.NDArray[np.float64]  # probability of the first choice
    mover: npt.NDArray[np.int8]  # colour of the played move


def answer(player: policy.Policy, packed: games.PackedGames, split: str = "test", **options: Any) -> Answers:
    """Asks the policy about the positions of whole games of a split (see ``batches.fixed``); options as in ``answer_batches``."""
    return joined(list(answer_batches(player, packed, split, **options)))


def joined(parts: Sequence[Answers]) -> Answers:
    """Several answers, one at least, as one."""
    return Answers(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Answers)))


def answer_batches(
    player: policy.Policy,
    packed: games.PackedGames,
    split: str = "test",
    *,
    symmetries: int = 1,
    max_positions: int | None = None,
    seed: int = 1,
) -> Iterator[Answers]:
    """What ``answer`` gives, batch by batch. As games come in an order drawn by the seed, the first of them are a fair sample of all."""
    if max_positions is not None:
        max_positions = whole_number(max_positions, "the number of positions", 1)
    seed = whole_number(seed, "the seed", 0)
    if not len(batches.playable(packed, split)[0]):
        sizes = ", ".join(f"{size}x{size}" for size in np.unique(packed.facts["size"]))
        needed = "" if split == "all" or not len(batches.playable(packed, "all")[0]) else ': more games are needed, or the split "all"'
        raise GamesError(f"the {split} split of the packed set, whose boards are {sizes}, has no position on a 19x19 board{needed}")
    for planes, targets, info in batches.fixed(packed, split, max_positions=max_positions, planes=player.planes, seed=seed):
        logs = player.log_probabilities(planes, symmetries)  # (B, N*N)
        place = targets.to(player.device)[:, None]
        played = logs.gather(1, place)
        # Of equally likely points the first is the choice, as in top_k.
        rank = (logs > played).sum(dim=1) + (logs == played).cumsum(dim=1).gather(1, place)[:, 0] - 1
        codes = packed.moves[packed.move_start[info["game"]] + info["move_number"] - 1]
        mover = np.where(codes & games.WHITE_BIT, WHITE, BLACK).astype(np.int8)
        yield Answers(
            game=info["game"],
            move_number=info["move_number"],
            rank=rank.cpu().numpy(),
            cross_entropy=-played[:, 0].cpu().double().numpy(),
            best_prob=logs.amax(1).exp().cpu().double().numpy(),
            mover=mover,
        )


def half_interval(right: npt.NDArray[Any], game: npt.NDArray[np.int64]) -> float:
    """Half of the 95 % interval of the mean of ``right``, from the differences between games; NaN with one game."""
    _, index = np.unique(game, return_inverse=True)
    positions = np.bincount(index).astype(np.float64)
    if len(positions) < 2:
        return float("nan")
    sums = np.bincount(index, weights=right.astype(np.float64))
    rest = sums - right.mean() * positions
    count, free = len(positions), len(positions) - 1
    factor = STUDENT[free - 1] if free <= len(STUDENT) else 1.96 + 2.372 / free + 2.82 / free**2
    return float(factor * np.sqrt(count / free * np.sum(rest**2)) / positions.sum())


def figures(answers: Answers, chosen: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """top1, top5, cross_entropy, positions, games and the half-interval of top1, of all answers or of the chosen ones."""
    keep = np.ones(len(answers.game), dtype=np.bool_) if chosen is None else chosen
    top1, game = answers.rank[keep] == 0, answers.game[keep]
    interval = half_interval(top1, game)
    return {
        "top1": round(float(top1.mean()), 5),
        "top1_interval": None if np.isnan(interval) else round(interval, 5),
        "top5": round(float((answers.rank[keep] < 5).mean()), 5),
        "cross_entropy": round(float(answers.cross_entropy[keep].mean()), 5),
        "positions": int(keep.sum()),
        "games": len(np.unique(game)),
    }


def calibration(answers: Answers) -> list[dict[str, Any]]:
    """How often the first choice was played, by the probability it was given."""
    bins = np.minimum((answers.best_prob * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    rows = []
    for b in np.unique(bins):
        keep = bins == b
        rows.append(
            {
                "prob": round(float(answers.best_prob[keep].mean()), 4),
                "played": round(float((answers.rank[keep] == 0).mean()), 4),
                "positions": int(keep.sum()),
            }
        )
    return rows


def mover_ranks(answers: Answers, packed: games.PackedGames) -> npt.NDArray[np.int8]:
    """(positions,): the rank of the player to move, as ``games.rank_number``."""
    facts = packed.facts[answers.game]
    return np.where(answers.mover == BLACK, facts["black_rank"], facts["white_rank"])


def breakdown(answers: Answers, packed: games.PackedGames) -> dict[str, dict[str, dict[str, Any]]]:
    """``figures`` by phase of the game, handicap, rank of the player to move, and server."""
    facts, ranks = packed.facts[answers.game], mover_ranks(answers, packed)
    handicap = (facts["handicap"] >= 2) | (np.diff(packed.setup_start)[answers.game] > 0)
    kinds: dict[str, tuple[list[str], npt.NDArray[Any]]] = {  # the names of a kind in the order shown, and which of them each answer has
        "handicap": (["even", "handicap"], handicap.astype(np.int64)),
        "rank": ([*map(games.rank_text, range(-30, 20)), "unknown"], np.where(ranks == 0, 20, ranks) + 30),
        "server": ([name or "unknown" for name in packed.servers], facts["server"]),
    }
    result: dict[str, dict[str, dict[str, Any]]] = {"phase": {}}
    for first, last in PHASES:
        keep = (answers.move_number >= first) & (answers.move_number <= last)
        if keep.any():
            result["phase"][f"{first}-{last}" if last < 10_000 else f"{first}+"] = figures(answers, keep)
    for kind, (names, index) in kinds.items():
        result[kind] = {names[i]: figures(answers, index == i) for i in np.unique(index)}
    return result


def evaluate(player: policy.Policy, packed: games.PackedGames, split: str = "test", **options: Any) -> dict[str, Any]:
    """All of the above as one JSON-able dict; options as in ``answer``."""
    return summary(answer(player, packed, split, **options), packed, split, options.get("symmetries", 1))


def summary(answers: Answers, packed: games.PackedGames, split: str, symmetries: int) -> dict[str, Any]:
    """``evaluate`` of answers that are there already."""
    return {
        **figures(answers),
        "split": split,
        "symmetries": symmetries,
        "calibration": calibration(answers),
        "by": breakdown(answers, packed),
    }


# ---------------------------------------------------------------- pictures


def most_wrong(answers: Answers, count: int) -> list[int]:
    """Indices of the positions whose played move had the lowest probability, lowest first; of each game one at most."""
    order = np.argsort(-answers.cross_entropy, kind="stable")
    _, first = np.unique(answers.game[order], return_index=True)
    chosen: list[int] = order[np.sort(first)[:count]].tolist()
    return chosen


def write_pictures(answers: Answers, packed: games.PackedGames, player: policy.Policy, folder: Path, wrong: int, symmetries: int) -> None:
    """Writes ``accuracy.png`` (calibration; accuracy by move number and by rank) and ``wrong-01.png`` … to a folder that exists; those that
    an earlier network left there are taken away.

    ``player`` and ``symmetries`` are those that gave the answers.
    """
    from matplotlib.figure import Figure

    for picture in folder.glob("wrong-*.png"):
        if picture.stem.removeprefix("wrong-").isdecimal():
            picture.unlink()
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rows = calibration(answers)
    left.plot([0, 100], [0, 100], color="0.6", lw=1, ls="--", label="perfectly calibrated")
    left.plot(
        [100 * row["prob"] for row in rows], [100 * row["played"] for row in rows], color="black", marker="o", ms=4, label="first choice"
    )
    left.set_xlabel("probability given to the first choice (%)")
    left.set_ylabel("share of them that were played (%)")
    left.legend(frameon=False)

    def bars(axis: Any, groups: list[tuple[str, npt.NDArray[np.bool_]]], label: str) -> None:
        """top-1 of each group, with its interval; groups of fewer than 100 positions or 5 games say too little. ``NONE`` stands apart."""
        shown = [(name, figures(answers, keep)) for name, keep in groups if keep.sum() >= 100]
        shown = [(name, values) for name, values in shown if values["games"] >= 5]
        axis.set_xlabel(label)
        if not shown:
            axis.text(0.5, 0.5, "too few games of any, or not known", transform=axis.transAxes, ha="center", color="0.5")
            axis.set(xticks=[], yticks=[])
            return
        middle_of = [100 * values["top1"] for _, values in shown]
        half = [100 * (values["top1_interval"] or 0) for _, values in shown]
        names = [name for name, _ in shown]
        ordered = len(names) - (names[-1] == NONE)
        places = [i + (i == ordered) for i in range(len(names))]
        axis.errorbar(places, middle_of, yerr=half, color="black", marker="o", ls="", ms=4, elinewidth=1.2, ecolor="0.5", capsize=2)
        axis.plot(places[:ordered], middle_of[:ordered], color="black", lw=1.2)
        step = math.ceil(len(names) / 12)  # more names would run into one another
        ticks = [*range(0, ordered, step), *range(ordered, len(names))]
        axis.set_xticks([places[i] for i in ticks], [names[i] for i in ticks])
        axis.set_ylabel("moves predicted (%), 95 % interval")

    last = int(answers.move_number.max())
    number = answers.move_number
    bars(middle, [(str(first), (number >= first) & (number < first + 20)) for first in range(1, last + 1, 20)], "move number (20 together)")
    ranks = mover_ranks(answers, packed)
    known = [(games.rank_text(int(rank)), ranks == rank) for rank in np.unique(ranks) if rank]
    bars(right, [*known, (NONE, ranks == 0)], "rank of the player to move")
    for axis in (left, middle, right):
        axis.grid(alpha=0.3)
    figure.savefig(folder / "accuracy.png", dpi=110)

    for place, i in enumerate(most_wrong(answers, wrong), start=1):
        record = packed.record(int(answers.game[i]))
        move = int(answers.move_number[i])
        board, point = record.position(move), record.moves[move - 1][1]
        probs = player.probabilities(board, symmetries)
        best = int(probs.argmax())
        title = (
            f"{colour_name(board.to_play).capitalize()} to play move {move}: {point_to_gtp(point, record.size)} was played "
            f"({100 * np.exp(-answers.cross_entropy[i]):.2g} %)\nfirst choice {point_to_gtp(best, record.size)} "
            f"({100 * probs.flat[best]:.0f} %); {record.players[0] or 'Black'} – {record.players[1] or 'White'}, {record.date or 'no date'}"
        )
        draw.board_picture(board, folder / f"wrong-{place:02d}.png", probs, title, point)


# ---------------------------------------------------------------- the command


def add_arguments(parser: Any) -> None:
    """Arguments of ``gopolicy evaluate``."""
    parser.add_argument("weights", help="a weights file, or default, fast or playouts for those of the package")
    parser.add_argument("games", nargs="+", type=games.named_path, help="one packed set of games, or archives (all their games are asked)")
    parser.add_argument("--split", choices=(*games.SPLITS, "all"), help="of a packed set (default: test); of archives all games are asked")
    parser.add_argument("--symmetries", type=int, default=1, metavar="1-8", help="views of the board to average (default: 1)")
    parser.add_argument("--max-positions", type=int, metavar="N", help="positions of whole games drawn at random, at most (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw of games")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps …; auto: cuda if there is one, else cpu")
    parser.add_argument("--precision", default="auto", help="bf16, float32, or int8 on CPUs (default: bf16 where it is fast, else float32)")
    parser.add_argument("--threads", type=int, help="of torch on a CPU (default: one a core)")
    parser.add_argument("--json", action="store_true", help="prints one JSON object")
    parser.add_argument(
        "--pictures",
        type=games.named_path,
        metavar="DIR",
        help="draws calibration, accuracy by move number and rank, and the positions it gets most wrong",
    )
    parser.add_argument("--wrong", type=int, metavar="N", help=f"how many of those positions (default: {WRONG})")


def _is_packed(path: Path) -> bool:
    try:
        return games.is_packed(path)
    except OSError:
        return path.suffix == ".gpk"  # so that opening it says what is wrong


def asked(player: policy.Policy, args: Any, packed: games.PackedGames) -> dict[str, Any]:
    """Whom, about what and how the command has asked: what a figure is cited with, and what another has to share with it."""
    data = packed.summary()
    return {
        "gopolicy": __version__,
        "weights": args.weights,
        "saved": player.description.get("saved"),  # other weights may have had the name before
        "precision": player.precision,
        "sources": data["sources"],
        "digest": data["digest"],
        "seed": args.seed,
    }


def run(args: Any) -> int:
    """``gopolicy evaluate``."""
    for name, least, most in (("max_positions", 1, None), ("threads", 1, MAX_THREADS), ("seed", 0, None), ("wrong", 0, None)):
        if getattr(args, name) is not None:
            whole_number(getattr(args, name), flag(name), least, most)
    policy.check_symmetries(args.symmetries)
    for path in args.games:
        if not path.exists():
            raise GamesError(f"there is no {path}: name a packed set of games, or archives")
    if args.pictures is None and args.wrong is not None:
        raise UsageError(f"--wrong {args.wrong} says how many positions are drawn, but without --pictures DIR none are")
    if args.pictures is not None and args.pictures.exists() and not args.pictures.is_dir():
        raise UsageError(f"--pictures {args.pictures} is a file; the pictures need a folder")
    player = policy.load(args.weights, device=args.device, threads=args.threads, precision=args.precision)
    if args.pictures is not None:
        args.pictures.mkdir(parents=True, exist_ok=True)  # now: not to measure for nothing
    with ExitStack() as stack:
        if len(args.games) == 1 and _is_packed(args.games[0]):
            packed, split = games.PackedGames.open(args.games[0]), args.split or "test"
        else:
            if args.split:
                raise UsageError(f"--split {args.split} is for a packed set of games; of archives all games are asked")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            games.pack_with_bar(args.games, folder / "games.gpk", processes=cores())
            packed, split = games.PackedGames.open(folder / "games.gpk"), "all"
        _, counts = batches.playable(packed, split)
        if len(counts) and (others := batches.other_boards(packed, split)):  # without any, that is told below
            print(others, file=sys.stderr)
        total = int(counts.sum()) if args.max_positions is None else min(int(counts.sum()), args.max_positions)
        parts: list[Answers] = []
        stopped = False
        with games.bar(total=total, unit=" positions", desc="evaluating") as bar:
            try:
                for part in answer_batches(
                    player, packed, split, symmetries=args.symmetries, max_positions=args.max_positions, seed=args.seed
                ):
                    parts.append(part)
                    bar.update(len(part.game))
            except KeyboardInterrupt:
                if not parts:
                    raise
                stopped = True
        given = joined(parts)
        if stopped:
            print(f"stopped: the figures are of {len(given.game):,} of {total:,} positions, of games drawn at random", file=sys.stderr)
        result = asked(player, args, packed) | summary(given, packed, split, args.symmetries)
        print(json.dumps(result) if args.json else f"{report(result)}\n\n{cited(result)}", flush=True)
        if args.pictures is not None:
            wrong = WRONG if args.wrong is None else args.wrong
            write_pictures(given, packed, player, args.pictures, wrong, args.symmetries)
    return int(stopped)


def report(result: dict[str, Any]) -> str:
    """The figures as a table."""

    def row(label: str, values: dict[str, Any]) -> str:
        half = values["top1_interval"]
        interval = "" if half is None or half >= 1 else f" ±{100 * half:.2f}"  # of two games it can be wider than the scale
        top1 = f"{100 * values['top1']:6.2f} %{interval:<8}"
        rest = f"{100 * values['top5']:8.2f} %{values['cross_entropy']:9.4f}{values['positions']:12,}{values['games']:9,}"
        return f"{label:<22}{top1}{rest}"

    lines = [f"{'':<22}{'top-1':>8}{'':<8}{'top-5':>8}{'x-entropy':>11}{'positions':>12}{'games':>9}", row("all", result)]
    for kind, rows in result["by"].items():
        lines += ["", *(row(f"{kind} {label}", values) for label, values in rows.items())]
    lines += ["", "calibration of the first choice: given probability, and share played"]
    lines += [
        f"  {100 * row_['prob']:5.1f} %: {100 * row_['played']:5.1f} %  ({row_['positions']:,} positions)" for row_ in result["calibration"]
    ]
    return "\n".join(lines)


def cited(result: dict[str, Any]) -> str:
    """Whom, about what and how the command has asked, as a sentence."""
    views = "one view" if result["symmetries"] == 1 else f"{result['symmetries']} views"
    saved = f", saved {result['saved']}" if result["saved"] else ""  # a description made by hand may not tell
    whom = f"{result['weights']}{saved}, {views}, {result['precision']}, gopolicy {result['gopolicy']}"
    return f"asked: {whom}; about the split {result['split']} of the games {result['digest']}, seed {result['seed']}"
