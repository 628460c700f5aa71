"""The project's own figures, measured now on this machine, each beside a peer or itself where there is one.

    python scripts/bench.py                                       # a table; a few minutes, on the games of data/
    python scripts/bench.py --only replay encode --json           # some of them, as one JSON object
    python scripts/bench.py --archives kgs/ --games kgs.gpk       # reading and encoding of real archives
    python scripts/bench.py --train --games kgs.gpk               # training: positions/s, share of the matrix rate, wait for data

Rates are per second of one core's time (CPU time of the measuring thread, best of several rounds), so that other work on the machine
counts as little as it can; ratios compare two things measured in turn in this run. Peers that are not installed are left out:
``pip install sente onnxruntime onnx`` brings them all.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from gopolicy.errors import GoPolicyError, explain  # noqa: E402

ARCHIVE = ROOT / "data" / "gnugo-selfplay.tar.gz"


def rate(work: Callable[[], int], rounds: int = 5, clock: Callable[[], float] = time.thread_time) -> float:
    """Units of work a second of this thread's CPU time, or of another clock; ``work`` returns how many it did."""
    best = 0.0
    for _ in range(rounds):
        began = clock()
        done = work()
        best = max(best, done / (clock() - began))
    return best


class Bench:
    """What the figures share: the packed games."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        from gopolicy import games

        self.args, self.folder = args, folder
        self.games_file: Path = args.games or folder / "games.gpk"
        if args.games is None:
            games.pack([ARCHIVE], self.games_file)
        self.packed = games.PackedGames.open(self.games_file)
        chosen = np.flatnonzero(self.packed.facts["size"] == 19)
        if not len(chosen):
            raise GoPolicyError(f"{self.games_file} holds no game of 19x19, and those alone are measured")
        self.chosen = np.random.default_rng(1).permutation(chosen)[:300]

    # ---- rules and planes

    def replay(self) -> dict[str, Any]:
        from sgfmill.boards import Board as PeerBoard

        from gopolicy import board
        from gopolicy.games import decode_moves

        state, journal = board.new_state(19), board.new_journal()
        even = [g for g in self.chosen if self.packed.setup_start[g] == self.packed.setup_start[g + 1]]
        if not even:
            raise GoPolicyError(f"{self.games_file} holds no game on 19x19 that begins with an empty board, and those alone are replayed")
        lists = [decode_moves(self.packed.moves[self.packed.move_start[g] : self.packed.move_start[g + 1]]) for g in even]
        arrays = [(np.array([p for _, p in moves], dtype=np.int16), np.array([c for c, _ in moves], dtype=np.int8)) for moves in lists]

        def ours() -> int:
            return sum(int(board.replay(state, journal, 19, points, colours)) for points, colours in arrays * 3)

        def peer() -> int:
            count = 0
            for moves in lists[:40]:
                other = PeerBoard(19)
                for colour, point in moves:
                    if point >= 0:
                        other.play(point // 19, point % 19, "b" if colour == 1 else "w")
                    count += 1
            return count

        ours()
        mine, sgfmill = rate(ours), rate(peer, 3)
        result = {"moves_per_second": round(mine), "sgfmill_moves_per_second": round(sgfmill), "times_sgfmill": round(mine / sgfmill, 1)}
        if importlib.util.find_spec("sente"):
            import sente

            def compiled_peer() -> int:
                count = 0
                for moves in lists[:100]:
                    game = sente.Game(19)
                    for colour, point in moves:
                        if point < 0:
                            game.pss()
                        else:
                            game.play(point // 19 + 1, point % 19 + 1, sente.stone.BLACK if colour == 1 else sente.stone.WHITE)
                        count += 1
                return count

            sente_rate = rate(compiled_peer, 3)
            result |= {"sente_moves_per_second": round(sente_rate), "times_sente": round(mine / sente_rate, 1)}
        return result

    def _samples(self, per_game: int | None) -> list[tuple[Any, Any, Any]]:
        """Batches of (games, plies, symmetries): all positions of a game, or so many of each of some games, about 64 in all."""
        from gopolicy.games import PASS_CODE

        rng = np.random.default_rng(2)
        parts = []
        for g in self.chosen:
            codes = self.packed.moves[self.packed.move_start[g] : self.packed.move_start[g + 1]]
            plies = np.flatnonzero((codes & 1023) != PASS_CODE)
            if per_game is not None:
                plies = np.sort(rng.permutation(plies)[:per_game])
            parts.append((np.full(len(plies), g), plies, rng.integers(0, 8, len(plies))))
        if per_game is None:
            return parts
        step = 64 // per_game
        return [tuple(np.concatenate(columns) for columns in zip(*parts[i : i + step], strict=True)) for i in range(0, len(parts), step)]  # type: ignore[misc]

    def _fill(self, samples: list[tuple[Any, Any, Any]]) -> int:
        """Encodes all samples, each batch into the same place."""
        from gopolicy import batches, symmetry
        from gopolicy.features import workspace

        space, packed = workspace(), self.packed
        longest = max(len(games) for games, _, _ in samples)
        out, targets = np.empty((longest, 48 * 361), dtype=np.uint8), np.empty(longest, dtype=np.int64)
        tables = symmetry.tables(19)
        for games, plies, symmetries in samples:
            bad = batches.fill(
                space.state, space.journal, space.reader, space.tracker, packed.moves, packed.move_start, packed.setup, packed.setup_start,
                games, plies, symmetries, tables, out[: len(games)], targets,
            )  # fmt: skip
            assert bad == -1
        return sum(len(games) for games, _, _ in samples)

    def encode(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, per_game in (("every_position", None), ("eight_a_game", 8), ("one_a_game", 1)):
            samples = self._samples(per_game)
            self._fill(samples[:2])
            result[f"{name}_per_second"] = round(rate(lambda samples=samples: self._fill(samples)))  # type: ignore[misc]
        samples = self._samples(8) * 4
        half = len(samples) // 2
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda part: self._fill(part[:2]), [samples, samples]))  # both threads have their workspaces
            alone, two = [], []
            for _ in range(25):  # short and many: on a shared machine the second core is there at times only
                alone.append(rate(lambda: self._fill(samples[:half]), 1, time.perf_counter))
                two.append(rate(lambda: sum(pool.map(self._fill, [samples[:half], samples[half:]])), 1, time.perf_counter))
        result["two_threads_times_one"] = round(max(two) / max(alone), 2)
        return result | self._latency()

    def _latency(self) -> dict[str, Any]:
        """Time of single positions along games as they are played, of two rounds the faster; what an empty call from Python takes is
        taken off."""
        from gopolicy import symmetry
        from gopolicy.board import cell_of, point_of
        from gopolicy.features import expand, follow, forget, workspace, write_codes

        space = workspace()
        reader, tracker = space.reader, space.tracker
        out, table = np.empty((48, 361), dtype=np.uint8), symmetry.tables(19)[0]
        rounds = []
        for _ in range(2):
            times = []
            for g in self.chosen[:120]:
                record = self.packed.record(int(g))
                start = record.position(1)
                state, journal = start.state, start.journal
                forget(tracker, state)
                for colour, point in record.moves:
                    began = time.thread_time_ns()
                    write_codes(state, journal, reader, tracker, colour, 48)
                    expand(state, tracker, table, out.reshape(-1))
                    times.append(time.thread_time_ns() - began)
                    follow(state, journal, tracker, 0 if point < 0 else cell_of(state, point), colour)
            rounds.append(times)
        empty = []
        for _ in range(2000):
            began = time.thread_time_ns()
            forget(tracker, state)
            point_of(state, 30)
            empty.append(time.thread_time_ns() - began)
        micro = (np.minimum(*map(np.array, rounds)) - np.median(empty)) / 1000
        return {
            "position_us_median": round(float(np.median(micro)), 1),
            "position_us_999": round(float(np.quantile(micro, 0.999)), 1),
            "position_us_max": round(float(micro.max()), 1),
        }

    def compile(self) -> dict[str, Any]:
        """Seconds to import all kernels, each time in a new process: with an empty cache (of two the faster), and from it; numba's own
        import left out."""
        code = "import time, numba, torch; began = time.perf_counter();import gopolicy.batches; print(time.perf_counter() - began)"
        cold: list[float] = []
        cached: list[float] = []
        said = ""
        for _ in range(2):
            with tempfile.TemporaryDirectory() as cache:
                environment = os.environ | {"NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
                for times in (cold, cached, cached):
                    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
                    times.append(float(done.stdout))
                    said = said or done.stderr.strip()
        return {"cold_seconds": round(min(cold), 2), "cached_seconds": round(min(cached), 2), "announced": said}

    # ---- reading

    def reading(self) -> dict[str, Any]:
        """Reading and packing of archives in one process: games a second, peak memory; sgfmill reading the same bytes."""
        from sgfmill import sgf as peer

        from gopolicy import archives

        sources: list[Path] = self.args.archives or [ARCHIVE]
        archives.check(sources)
        code = """if True:
            import sys, time
            from gopolicy import games
            began = time.process_time()
            report = games.pack(sys.argv[2:], sys.argv[1])
            seconds = time.process_time() - began
            try:
                import resource  # not on Windows
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
            except ImportError:
                memory = 0
            print(report.read, seconds, memory)"""
        done = subprocess.run(
            [sys.executable, "-c", code, str(self.folder / "read.gpk"), *map(str, sources)],
            env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        read, seconds, memory = map(float, done.stdout.split())
        data = []
        for member in archives.members(sources):
            if isinstance(member, archives.Member):
                data.append(member.data)
            if len(data) == 1000:
                break

        def parse() -> int:
            for text in data:
                try:
                    root = peer.Sgf_game.from_bytes(text)
                except ValueError:
                    continue
                for node in root.get_main_sequence():
                    node.get_move()
            return len(data)

        sgfmill = rate(parse, 2)
        return {
            "games": int(read), "games_per_second": round(read / seconds), "peak_MiB": round(memory),
            "sgfmill_parses_per_second": round(sgfmill), "times_sgfmill": round(read / seconds / sgfmill, 2),
        }  # fmt: skip

    # ---- training and answers

    def training(self) -> dict[str, Any]:
        """A short run of training, on a GPU if there is one: positions a second, the share of the machine's matrix rate that they are,
        and the share of time the loop waited for batches; and forward and backward pass with --hold-statistics against without. On a GPU
        192 filters, compiled (but for the last), which takes half of the time; on a CPU 64. 12 layers."""
        import torch

        from gopolicy.network import PolicyConfig, PolicyNetwork, resolve_precision
        from gopolicy.training import autocast, to_device

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        filters, batch, minutes, more = (
            (192, 1024, 1.0, ["--compile", "--batch-threads", 12]) if device.type == "cuda" else (64, 128, 1.5, [])
        )
        run = self.folder / "run"
        command = [sys.executable, "-m", "gopolicy", "train", str(self.games_file), "--out", str(run), "--device", device.type]
        options = ["--filters", filters, "--layers", 12, "--max-minutes", minutes, "--batch-size", batch, "--log-every", 10, *more]
        subprocess.run([*command, *map(str, options)], cwd=ROOT, capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        lines = [line for line in lines if line["kind"] == "train"][1:]
        speed = statistics.median(line["positions_per_second"] for line in lines)

        number = resolve_precision("auto", device)
        size = 8192 if device.type == "cuda" else 2048
        one, two = torch.randn(2, size, size, device=device).to(number)

        def multiply() -> int:
            for _ in range(4):
                product = one @ two
            product[0, 0].item()  # waits for a GPU
            return 4 * 2 * size**3

        matrix_rate = rate(multiply, clock=time.perf_counter)
        network = PolicyNetwork(PolicyConfig(filters=filters, layers=12, kind="residual")).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        planes, played = torch.rand(batch, 48, 19, 19) < 0.2, torch.randint(361, (batch,))
        x, y = to_device(planes.byte(), played, device, number)

        def step() -> int:
            for _ in range(2):
                with autocast(device, number):
                    logits = network(x)
                torch.nn.functional.cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]
            logits[0, 0].item()
            return 1

        steps: dict[bool, list[float]] = {False: [], True: []}
        for held in (False, True) * 4:
            network.train(not held)  # --hold-statistics: normalisation as in eval mode
            steps[held].append(rate(step, 1, clock=time.perf_counter))
        # A multiply-add is two operations, forward and twice backward; nobody asks for the gradient of the planes.
        first = network.first.conv.weight.numel() * 19 * 19
        operations = 2 * (3 * network.multiply_adds() - first)
        return {
            "device": torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads",
            "network": f"residual, {filters} filters, 12 layers, batches of {batch}",
            "positions_per_second": round(speed),
            "matrix_gigaflops": round(matrix_rate / 1e9),
            "share_of_matrix_rate": round(speed * operations / matrix_rate, 3),
            "share_waiting": round(statistics.mean(line["waited"] for line in lines), 4),
            "step_times_as_fast_with_hold_statistics": round(max(steps[True]) / max(steps[False]), 2),
        }

    def network(self) -> dict[str, Any]:
        """One position through 192 filters and 12 layers, ours in each number format and onnxruntime's, on the same threads, in turn."""
        import torch

        from gopolicy import inference
        from gopolicy.network import PolicyConfig, PolicyNetwork
        from gopolicy.policy import Policy

        torch.manual_seed(1)
        threads = torch.get_num_threads()
        plain = PolicyNetwork(PolicyConfig(filters=192, layers=12)).eval()
        x = (torch.rand(1, 48, 19, 19) < 0.2).float()
        turns: dict[str, Callable[[], Any]] = {}
        for name in ("auto", "float32", *(["int8"] if inference.has_int8(torch.device("cpu")) else [])):
            policy = Policy(plain, {}, torch.device("cpu"), name)
            turns[f"ours_{name}"] = lambda policy=policy: policy.log_probabilities(x)  # type: ignore[misc]
        if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
            import onnxruntime

            path = self.folder / "network.onnx"
            write_onnx(plain, path)
            settings = onnxruntime.SessionOptions()
            settings.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
            turns["onnxruntime"] = lambda: session.run(None, {"planes": x.numpy()})[0]
            peer = torch.from_numpy(turns["onnxruntime"]()).log_softmax(dim=1)
            assert torch.allclose(peer, turns["ours_float32"](), atol=1e-3)
        times: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(6):
            for name, work in turns.items():
                time.sleep(0.1)  # a peer's threads go on turning for a while after their work
                for i in range(12):
                    began = time.perf_counter()
                    work()
                    if i >= 2:
                        times[name].append(1000 * (time.perf_counter() - began))
        result: dict[str, Any] = {f"{name}_ms": round(statistics.median(values), 2) for name, values in times.items()} | {
            "threads": threads
        }
        if "onnxruntime" in times:
            for name in ("auto", "float32"):
                ratio = statistics.median(times["onnxruntime"]) / statistics.median(times[f"ours_{name}"])
                result[f"{name}_times_onnxruntime_speed"] = round(ratio, 2)
        return result

    def batch(self) -> dict[str, Any]:
        """``Policy.top_k_batch`` on 256 positions of games against ``top_k`` on one after the other, encoding and all; how many times as
        long a position takes in 8 views, and on 9×9; and what share of the rate of a plain matrix product, in the same number format
        on the same threads, the network's arithmetic reaches."""
        import torch

        from gopolicy import policy, weights
        from gopolicy.board import Board

        player = policy.load(self.args.weights or "default", device="cpu")
        rng = np.random.default_rng(5)
        records = [self.packed.record(int(g)) for g in self.chosen[:256]]
        boards = [record.position(int(rng.integers(1, len(record.moves) + 1))) for record in records]
        together = rate(lambda: len(player.top_k_batch(boards)), 4, time.perf_counter)
        alone = rate(lambda: len([player.top_k(board) for board in boards]), 2, time.perf_counter)
        views = rate(lambda: len([player.top_k(board, symmetries=8) for board in boards[:32]]), 2, time.perf_counter)
        small = rate(lambda: len([player.top_k(Board(9)) for _ in boards]), 2, time.perf_counter)
        one, two = torch.randn(2, 2048, 2048).to(player.number)

        def multiply() -> int:
            _ = one @ two
            return 2 * 2048**3

        matrix_rate = rate(multiply, 8, time.perf_counter)
        network, _ = weights.load(self.args.weights or "default")
        planes = torch.zeros(256, network.config.in_planes, 19, 19)

        def forward() -> int:
            player.log_probabilities(planes)
            return 256 * 2 * network.multiply_adds()

        return {
            "boards": len(boards),
            "batch_positions_per_second": round(together),
            "single_positions_per_second": round(alone),
            "times_single": round(together / alone, 2),
            "8_views_times_as_long": round(alone / views, 2),
            "9x9_times_as_long": round(alone / small, 2),
            "share_of_matrix_rate": round(rate(forward, 4, time.perf_counter) / matrix_rate, 2),
        }

    def gtp(self) -> dict[str, Any]:
        """Seconds from the start of the engine to the first answer, and to the first move; of three starts the median."""
        first: list[float] = []
        move: list[float] = []
        for _ in range(3):
            began = time.perf_counter()
            player = engine(*(["--weights", self.args.weights] if self.args.weights else []))
            with closing(player):
                for request, times in (("name", first), ("genmove b", move)):
                    player.ask(request)
                    times.append(time.perf_counter() - began)
        return {"name_seconds": round(statistics.median(first), 2), "genmove_seconds": round(statistics.median(move), 2)}

    def genmove(self) -> dict[str, Any]:
        """Milliseconds of the moves of a game by self-play, with the weights ``default`` and ``fast``; and how many times as long the
        network's own moves take while a second engine plays its game on the same cores (the moves of an opening: nothing but the
        network)."""
        result: dict[str, Any] = {}
        for name in ("default", "fast"):
            times = game(engine("--weights", name), 420)
            result |= {
                f"{name}_moves": len(times),
                f"{name}_ms_median": round(statistics.median(times), 1),
                f"{name}_ms_90": round(float(np.quantile(times, 0.9)), 1),
                f"{name}_ms_max": round(max(times), 1),
            }
        alone = game(engine(), 120)
        players = engine(), engine()
        with ThreadPoolExecutor(2) as pool, ExitStack() as after:
            for player in players:
                after.callback(player.kill)  # Ctrl-C waits for no game
            both = list(pool.map(lambda player: game(player, 120), players))
        share = max(map(statistics.median, both)) / statistics.median(alone)
        return result | {"beside_another_engine_times": round(share, 2)}


def engine(*options: str) -> Any:
    """The GTP engine as a process."""
    from gopolicy.client import Engine

    return Engine([sys.executable, str(ROOT / "gtp_engine.py"), *options])


def game(player: Any, limit: int) -> list[float]:
    """Milliseconds of an engine's moves in a game against itself, the first left out, until two passes or so many moves; then it ends."""
    with closing(player):
        times, moves = [], [player.ask("genmove b")]
        while len(moves) < limit and moves[-2:] != ["pass", "pass"]:
            began = time.perf_counter()
            moves.append(player.ask(f"genmove {'bw'[len(moves) % 2]}"))
            times.append(1000 * (time.perf_counter() - began))
    return times


def write_onnx(network: Any, path: Path) -> None:
    """The plain (folded ``alphago``) network as an ONNX file, node by node."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors, last = [], [], "planes"
    for i, layer in enumerate(network.layers):
        pad = layer.conv.padding[0]
        tensors += [
            numpy_helper.from_array(layer.conv.weight.detach().numpy().copy(), f"w{i}"),
            numpy_helper.from_array(layer.conv.bias.detach().numpy().copy(), f"b{i}"),
        ]
        nodes.append(helper.make_node("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], pads=[pad] * 4))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        last = f"r{i}"
    tensors.append(numpy_helper.from_array(network.output.weight.detach().numpy().copy(), "wo"))
    tensors.append(numpy_helper.from_array(network.point_bias.detach().numpy().copy(), "bo"))
    nodes.append(helper.make_node("Conv", [last, "wo"], ["o"]))
    nodes.append(helper.make_node("Add", ["o", "bo"], ["s"]))
    nodes.append(helper.make_node("Flatten", ["s"], ["logits"]))
    graph = helper.make_graph(
        nodes, "policy",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, [1, 48, 19, 19])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 361])], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


FIGURES = ("replay", "encode", "compile", "reading", "training", "network", "batch", "gtp", "genmove")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES))
    parser.add_argument("--train", dest="only", action="store_const", const=["training"], help="the same as --only training")
    parser.add_argument("--games", type=Path, help="packed games for replay, encode, training and batch (default: those of data/)")
    parser.add_argument("--archives", type=Path, nargs="+", help="archives to read (default: that of data/)")
    parser.add_argument("--weights", help="weights of batch and gtp (default: `default`)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        for name in args.only:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            results[name] = getattr(bench, name)()
            if not args.json:
                for key, value in results[name].items():
                    print(
                        f"{name:<10} {key:<32} {value:>16,}" if not isinstance(value, str) else f"{name:<10} {key:<32} {value}", flush=True
                    )
    if args.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no engine is left behind
    try:
        sys.exit(main())
    except (GoPolicyError, OSError) as error:
        said = explain(error)
    except subprocess.CalledProcessError as error:  # a part that is measured in a process of its own
        said = (error.stderr.strip().splitlines() or [str(error)])[-1]
    except KeyboardInterrupt:
        said = "stopped"
    print(f"bench.py: {said}", file=sys.stderr)
    sys.exit(1)
