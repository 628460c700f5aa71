"""The other side of GTP: what another engine may do wrong is one error, and never a wait without end."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from gopolicy.client import Engine, EngineError, words_of
from gopolicy.errors import quoted

# A program that writes a log and answers its one command with what stands in its argument, and then waits or goes.
PROGRAM = (
    "import sys,time; print('log', file=sys.stderr, flush=True); "
    "sys.stdin.readline(); sys.stdout.buffer.write(eval(sys.argv[1])); sys.stdout.flush(); "
)


@pytest.mark.parametrize(
    ("answer", "told"), [(rb"= a b\n\n", "a b"), (rb"\n\n=  a\nb\n\n", "a b"), (rb"=\n\n", ""), (rb"= \xff\n\n", "\ufffd")]
)
def test_answers(answer: bytes, told: str, capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine([sys.executable, "-c", PROGRAM + "time.sleep(60)", repr(answer.decode("unicode_escape").encode("latin-1"))])
    try:
        assert engine.ask("name") == told
    finally:
        engine.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answer", "then", "said"),
    [
        (b"? no\n\n", "", r"answered '\? no'"),
        (b"hello\n\n", "", "answered 'hello'"),
        (b"", "sys.exit(3)", "exit status 3"),
        (b"\n\n", "sys.exit(0)", "exit status 0"),
    ],
)
def test_an_engine_that_refuses_or_goes_away(answer: bytes, then: str, said: str) -> None:
    engine = Engine([sys.executable, "-c", PROGRAM + then, repr(answer)])
    try:
        with pytest.raises(EngineError, match=f"^name: .*{said}"):
            engine.ask("name")
    finally:
        engine.close()


def test_an_engine_that_has_gone_before_it_is_asked() -> None:
    engine = Engine([sys.executable, "-c", "import sys; sys.exit(4)"])
    engine.process.wait(60)
    with pytest.raises(EngineError, match=r"^name: .*exit status 4"):
        engine.ask("name")
    engine.close()


def test_an_engine_that_lives_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine([sys.executable, "-c", "import os, time; os.close(1); time.sleep(60)"])
    wait = engine.process.wait
    monkeypatch.setattr(engine.process, "wait", lambda timeout: wait(timeout / 100))
    with pytest.raises(EngineError, match=r"^name: .*says nothing any more"):
        engine.ask("name")
    monkeypatch.undo()
    engine.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a process as its own parent leaves it")
def test_to_close_does_not_wait_for_what_an_engine_has_started() -> None:
    engine = Engine(["sh", "-c", "sleep 60 & read line; echo = a; echo; wait"])
    assert engine.ask("name") == "a"
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 30
    assert engine.process.returncode == -signal.SIGKILL


def test_words_of_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words_of("python 'a b.py' --x \"c d\"") == ["python", "a b.py", "--x", "c d"]
    for path in ("/my games/gnugo", "it's", "~/$HOME*"):
        assert words_of(f"{quoted(path)} --mode gtp") == [path, "--mode", "gtp"]
    monkeypatch.setattr("os.name", "nt")
    assert words_of(r'C:\Go\gnugo.exe "C:\My Games\x.sgf" --mode gtp') == [r"C:\Go\gnugo.exe", r"C:\My Games\x.sgf", "--mode", "gtp"]
    assert words_of(r'python --weights="C:\my nets\w.safetensors"') == ["python", r"--weights=C:\my nets\w.safetensors"]
    assert words_of(quoted(r"C:\Program Files\gnugo.exe") + " --mode gtp") == [r"C:\Program Files\gnugo.exe", "--mode", "gtp"]
    with pytest.raises(ValueError, match="quot"):
        words_of('a "b')
