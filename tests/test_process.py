"""An engine as a process: streams that are closed or break, how it ends, and what its options are where nothing is said."""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from gopolicy import policy, scoring, weights
from gopolicy.errors import DeviceError, GoPolicyError
from gopolicy.process import Lines, Loading, add_policy_arguments, checked, load_policy, load_scorer, say

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(os.name != "posix", reason="the shell closes the streams")
@pytest.mark.parametrize(
    ("closed", "does", "status", "said"),
    [
        ("<&-", "raise RuntimeError", 0, ""),  # nobody asks
        ("2>&-", "print('stray'); os.write(1, b'stray')", 0, ""),
        (">&-", "pass", 1, "standard output is closed, so there is nowhere to answer\n"),
        ("", "raise KeyboardInterrupt", 1, ""),
        ("", "raise BrokenPipeError", 0, ""),  # the client has gone
        pytest.param(
            ">/dev/full",
            "answers.write(b'= D4'); answers.flush()",
            1,
            "gopolicy: an answer cannot be written: No space left on device\n",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full"),
        ),
    ],
)
def test_how_the_process_ends(closed: str, does: str, status: int, said: str) -> None:
    program = f"import os\nfrom gopolicy.process import Loading, run\ndef serve(_, answers): {does}\nrun(serve, Loading(int))"
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", program]
    surroundings = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr[-len(said) :] if said else done.stderr) == (status, "", said)


def test_a_log_that_nobody_reads_does_not_end_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    say("genmove failed")


def test_no_line_of_the_log_looks_like_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    say("genmove failed\n= D4")
    assert capsys.readouterr().err == "gopolicy: genmove failed\ngopolicy: = D4\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_stream_that_breaks_has_ended() -> None:
    class Broken(io.BytesIO):
        def __next__(self) -> bytes:
            raise OSError

    lines = Lines(Broken())
    assert not lines.quiet(60)
    assert list(lines) == []


OPTIONS = ["--weights", "mine.safetensors", "--device", "cuda:1", "--threads", "3", "--precision", "float32"]


def asked(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_policy_arguments(parser)
    return parser.parse_args(options)


def test_what_an_engine_is_asked_with_where_nothing_is_said() -> None:
    assert vars(asked()) == {
        "weights": "default", "device": "auto", "precision": "auto", "threads": None, "symmetries": 1
    }  # fmt: skip


def test_the_network_is_the_one_that_the_options_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(policy, "load", lambda name, **how: told.append((name, how)))
    load_policy(asked(*OPTIONS))
    assert told == [("mine.safetensors", {"device": "cuda:1", "threads": 3, "precision": "float32"})]


@pytest.mark.parametrize("packaged", [["default", "playouts"], ["default"]])
def test_playouts_have_their_own_network_where_there_is_one(packaged: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device and the threads of the player's, and as fast as that device can: a game is played out in hundreds of moves."""
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(weights, "packaged", lambda: packaged)
    monkeypatch.setattr(policy, "load", lambda name, **how: told.append((name, how)) or "the small one")
    monkeypatch.setattr(policy, "quickest", lambda device: f"the quickest of {device}")
    monkeypatch.setattr(scoring, "PlayoutScorer", lambda network: [network])
    scorer = load_scorer(asked(*OPTIONS), lambda: "the player's")  # type: ignore[arg-type, return-value]
    assert told == [], "not before somebody asks"
    if "playouts" in packaged:
        assert scorer() == ["the small one"]
        assert told == [("playouts", {"device": "cuda:1", "threads": 3, "precision": "the quickest of cuda:1"})]
    else:
        assert scorer() == ["the player's"]
    assert scorer() is scorer(), "it remembers positions"


def test_a_device_that_neither_network_finds_fails_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network is there first, and says so; the client may quit while the other one still loads."""

    def load(*_: object, **how: object) -> NoReturn:
        raise DeviceError("no such device")

    go = threading.Event()
    monkeypatch.setattr(policy, "load", load)
    monkeypatch.setattr(weights, "packaged", lambda: ["playouts"])
    player = Loading(lambda: go.wait(60) and load())
    threading.Timer(0.2, go.set).start()
    with pytest.raises(GoPolicyError, match="no such device"):
        load_scorer(asked("--device", "cpu"), player)()  # type: ignore[arg-type]
    assert player.failed


def test_loading_has_not_failed_before_it_has_ended() -> None:
    """The exit status is 0 where the input ends while the network still loads, and 1 where there is none."""
    go = threading.Event()
    slow = Loading(lambda: go.wait(60))
    assert not slow.failed
    go.set()
    assert slow() is True
    assert not slow.failed

    def missing() -> None:
        raise OSError("no such file")

    none = Loading(missing)
    with pytest.raises(GoPolicyError, match="OSError: no such file"):
        none()
    assert none.failed


@pytest.mark.parametrize(("kind", "name", "wrong"), [(int, "a whole number", ["x", "1.5", "0"]), (float, "a number", ["x", "-1"])])
def test_a_number_that_does_not_fit(kind: Callable[[str], float], name: str, wrong: list[str]) -> None:
    convert = checked(kind, lambda n: n >= 1, "1 or more")
    assert convert("1") == 1
    for text in wrong:
        with pytest.raises(argparse.ArgumentTypeError, match=re.escape(f"{text!r}: expected {name}, 1 or more")):
            convert(text)
