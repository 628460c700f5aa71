"""The ``gopolicy`` command: each subcommand's arguments and work are with the module that does it.

Exit status: 0 done, 1 could not be done (one line on standard error says why), 2 wrong use. ``--json`` prints one JSON object on standard
output and nothing else there.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import io
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gopolicy.errors import GoPolicyError, UsageError, explain, lacks_memory, whole_number

# command: (module, what it does)
COMMANDS = {
    "pack": ("games", "archives of SGF games into one packed set of games"),
    "train": ("training", "trains a network on packed games; --resume goes on, also under torchrun"),
    "evaluate": ("evaluation", "how often a network is right on packed games"),
    "top": ("cli", "the likeliest moves in a position of a game, drawn"),
    "analysis": ("analysis", "the engine for KaTrain and review tools: KataGo's JSON protocol, on standard input and output"),
    "gtp": ("gtp", "the engine for GTP clients such as Sabaki, on standard input and output"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gopolicy top``."""
    parser.add_argument("game", type=Path, help="an SGF file")
    parser.add_argument("--move", type=int, metavar="M", help="the position before move M (default: the end of the game)")
    parser.add_argument("-k", type=int, default=5, help="how many moves (default: 5)")
    parser.add_argument("--weights", default="default", help="a file, or default, fast or playouts for those of the package")
    parser.add_argument("--symmetries", type=int, default=1, metavar="1-8", help="views of the board to average (default: 1)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps …; auto: cuda if there is one, else cpu")
    parser.add_argument("--json", action="store_true", help="prints one JSON object")


def run(args: argparse.Namespace) -> int:
    """``gopolicy top``."""
    from gopolicy import draw, sgf
    from gopolicy.coords import PASS, colour_name, point_to_gtp

    if args.move is not None:
        whole_number(args.move, "--move", 1)
    whole_number(args.k, "-k", 1)
    record = sgf.read_until(args.game, args.move)
    end = len(record.moves) + 1
    number = end if args.move is None else args.move
    if number > end:
        its = f"its moves are 1 to {end - 1} (and {end} is the end)" if record.moves else "it has none (1 is the position)"
        raise GoPolicyError(f"{args.game} has no move {number}: {its}")
    board = record.position(number)
    from gopolicy import policy  # here: torch takes a second, and there may be no such game or move

    player = policy.load(args.weights, device=args.device)
    ranked = player.top_k(board, board.size**2, args.symmetries)
    candidates = ranked[: args.k]
    vertex = point_to_gtp(record.moves[number - 1][1], record.size) if number <= len(record.moves) else None
    if args.json:
        moves = [{"move": candidate.move, "prob": round(candidate.prob, 6)} for candidate in candidates]
        print(json.dumps({"move_number": number, "to_play": colour_name(board.to_play), "played": vertex, "top": moves}))
        return 0
    passed = ", after a pass (which the network never chooses)" if board.last_move == PASS else ""
    print(f"{args.game.name}: {colour_name(board.to_play)} to play move {number}{passed}")
    print(draw.board_text(board, candidates))
    if vertex is not None:
        places = (f", choice {at} of the network, {100 * move.prob:.1f} %" for at, move in enumerate(ranked, 1) if move.move == vertex)
        print(f"played: {vertex}{next(places, '')}")  # a pass has no place
    return 0


def parser_for(command: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of the given command only: the others' modules are not loaded."""
    parser = argparse.ArgumentParser(prog="gopolicy", description="Predicts the moves of expert Go players.")
    parser.add_argument("--version", action="store_true", help="prints the version")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (module, what) in COMMANDS.items():
        sub = subparsers.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        if name == command:
            _home(module).add_arguments(sub)
    return parser


def _home(module: str) -> Any:
    return import_module(f"gopolicy.{module}")


def write_any_name() -> None:
    """Letters that the encoding of standard output lacks are written as ``\\u56f2`` from now on: a name is no reason to fail."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, by default that of the process; returns its exit status."""
    if arguments is None:  # else a program's own objects may need that search: files that are not closed get their last lines by it
        atexit.register(gc.freeze)  # Python would look for garbage in all that torch brought before it ends: half a second
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = next((argument for argument in arguments if argument in COMMANDS), None)
    name = f"gopolicy {command}" if command else "gopolicy"
    if sys.stderr is None:  # closed with `2>&-`: what has to be said goes nowhere, and nothing fails for it
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process)
    write_any_name()
    try:  # around the parser too: to load what a command needs takes seconds
        parser = parser_for(command)
        args = parser.parse_args(arguments)
        status = 0
        if args.version:
            from gopolicy import __version__

            print(f"gopolicy {__version__}")
        elif args.command is None:
            parser.print_help(sys.stderr)
            status = 2
        else:
            status = _home(COMMANDS[args.command][0]).run(args)
        if sys.stdout is not None:  # it is closed with `>&-`
            sys.stdout.flush()  # here, where a full disk and a reader that went away are understood
        return status
    except GoPolicyError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:  # torch's own kinds of the first are of the second
        if not lacks_memory(error):
            raise
        print(f"{name}: there is not the memory for this: end other programs that take it", file=sys.stderr)
        return 1
    except ImportError as error:  # what it stands on is not installed, or cannot be loaded here
        print(f"{name}: {explain(error)}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that cannot be made, a disk that is full
        if not isinstance(error, BrokenPipeError):  # then the reader of our output went away, as `| head` does
            print(f"{name}: {explain(error)}", file=sys.stderr)
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:  # what cannot be written is dropped, else Python tries again at its end, and complains
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
