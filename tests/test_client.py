"""The other side of GTP: what another engine may do wrong is one error, and never a wait without end."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gopolicy import client
from gopolicy.client import Engine, EngineError, find_gnugo, gnugo, setting_up, words_of
from gopolicy.coords import BLACK, PASS, WHITE
from gopolicy.errors import quoted

# A program that writes a log and answers its one command with what stands in its argument, and then waits or goes.
PROGRAM = (
    "import sys,time; print('log', file=sys.stderr, flush=True); "
    "sys.stdin.readline(); sys.stdout.buffer.write(eval(sys.argv[1])); sys.stdout.flush(); "
)


@pytest.fixture(autouse=True)
def no_time_to_quit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "QUIT_SECONDS", 0.5)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (rb"= a b\n\n", "a b"),
        (rb"=a\n\n", "a"),
        (rb"\n\n=  a\nb\n\n", "a\nb"),
        (rb"=\n\n", ""),
        (rb"= \xff\n\n", "\ufffd"),
    ],
)
def test_answers(answer: bytes, told: str, capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine([sys.executable, "-c", PROGRAM + "time.sleep(99)", repr(answer.decode("unicode_escape").encode("latin-1"))])
    try:
        assert engine.ask("name") == told
    finally:
        engine.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answer", "then", "kind", "said"),
    [
        (b"? no\n\n", "time.sleep(99)", "refused", "the engine answered '? no' to 'name'"),
        (
            b"? " + b"\n".join([b"x" * 40] * 4) + b"\n\n",
            "time.sleep(99)",
            "refused",
            f"the engine answered '? {40 * 'x'}\\n{40 * 'x'}\\n{16 * 'x'}' to 'name'",
        ),
        (b"hello\n", "time.sleep(99)", "garbage", "'hello' is no answer to 'name': one begins with = or ? and ends with an empty line"),
        (b"= " + b"x" * 50, "time.sleep(99)", "garbage", f"'= {48 * 'x'}' is no answer"),
        (b"= x" + b"\nx" * 5 + b"\n", "time.sleep(99)", "garbage", "'x' is no answer"),
        (b"", "sys.exit(3)", "crash", "the engine ended with status 3 instead of answering 'name'"),
        (b"\n\n", "sys.exit(0)", "crash", "the engine ended with status 0 instead"),
        (b"= half", "sys.exit(0)", "crash", "the engine ended with status 0 instead"),
        (b"", "sys.stdout.close(); os.close(1); time.sleep(99)", "crash", "the engine ended with status -9 instead"),
        (b"\n", "time.sleep(99)", "time-out", "the engine gave no answer to 'name' within 1.5 s"),
    ],
)
def test_an_engine_that_does_not_do_its_part(monkeypatch: pytest.MonkeyPatch, answer: bytes, then: str, kind: str, said: str) -> None:
    monkeypatch.setattr(client, "LONGEST_LINE", 50)
    monkeypatch.setattr(client, "MOST_LINES", 5)
    engine = Engine([sys.executable, "-S", "-c", f"{PROGRAM}import os; {then}", repr(answer)])
    began = time.monotonic()
    with pytest.raises(EngineError) as caught:
        engine.ask("name", 1.5 if kind == "time-out" else 50)
    assert caught.value.kind == kind
    assert str(caught.value).startswith(said)
    engine.close()
    assert time.monotonic() - began < 50


def test_an_engine_that_has_gone_before_it_is_asked() -> None:
    engine = Engine([sys.executable, "-c", "import sys; sys.exit(4)"])
    engine.process.wait(60)
    with pytest.raises(EngineError, match=r"^the engine ended with status 4"):
        engine.ask("name")
    engine.close()


def test_an_engine_that_was_late_has_gone() -> None:
    engine = Engine([sys.executable, "-S", "-c", "import time; time.sleep(99)"])
    with pytest.raises(EngineError, match=r"^the engine gave no answer to 'one' within 0\.1 s"):
        engine.ask("one", 0.1)
    for seconds in (None, 50):
        with pytest.raises(EngineError, match=r"^the engine ended with status -9 instead of answering 'two'"):
            engine.ask("two", seconds)
    engine.close()


def test_an_engine_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^the engine cannot be started: No such file") as caught:
        Engine([str(tmp_path / "none")])
    assert caught.value.kind == "crash"


def test_what_it_writes_on_standard_error_is_added_to_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"before\n")
    engine = Engine([sys.executable, "-c", PROGRAM, repr(b"= a\n\n")], tmp_path / "log")
    assert engine.ask("name") == "a"
    engine.close()
    assert (tmp_path / "log").read_bytes() == b"before\nlog\n"


@pytest.mark.parametrize("source", ["", "import os; os.close(1); ", "import os\nwhile True: os.write(1, b'x' * 99)\n"])
def test_an_engine_that_does_not_quit_is_killed(source: str) -> None:
    engine = Engine([sys.executable, "-S", "-c", f"{source}import time; time.sleep(99)"])
    engine.close()
    assert engine.process.returncode == -signal.SIGKILL


def test_ctrl_c_while_an_engine_is_closed_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one, of a user who does not want to wait for it; nobody would end an engine that hangs later."""
    engine = Engine([sys.executable, "-S", "-c", "import time; time.sleep(99)"])

    def pressed(_: int) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "_stdout", SimpleNamespace(read=pressed, close=engine.process.stdout.close))
    with pytest.raises(KeyboardInterrupt):
        engine.close()
    assert engine.process.returncode == -signal.SIGKILL


def test_an_engine_is_asked_to_quit(monkeypatch: pytest.MonkeyPatch) -> None:
    """And may say what it likes before it does."""
    monkeypatch.setattr(client, "QUIT_SECONDS", 50)
    source = "import sys; line = sys.stdin.readline(); print('x' * 300_000, flush=True); sys.exit(7 if line == 'quit\\n' else 1)"
    engine = Engine([sys.executable, "-c", source])
    engine.close()
    assert engine.process.returncode == 7


@pytest.mark.parametrize("score", ["B+3.5", "W+12", "0", "b+3", "B+R", "", "B+3.5 or so", "0.5"])
def test_what_is_a_score(score: str) -> None:
    engine = Engine([sys.executable, "-c", PROGRAM + "sys.stdin.readline()", repr(f"= {score}\n\n".encode())])
    try:
        if score in ("B+3.5", "W+12", "0"):
            assert engine.final_score() == score
        else:
            with pytest.raises(EngineError, match="is no final_score: one is as") as caught:
                engine.final_score()
            assert caught.value.kind == "garbage"
    finally:
        engine.close()


@pytest.mark.parametrize(("answer", "what"), [("= ", "final_score: one is as"), ("", "answer to 'final_score': one begins")])
def test_of_long_nonsense_the_beginning_is_told(answer: str, what: str) -> None:
    engine = Engine([sys.executable, "-c", PROGRAM + "sys.stdin.readline()", repr(f"{answer}{100 * 'x'}\n\n".encode())])
    with pytest.raises(EngineError, match=f"^'x{{60}}' is no {what}"):
        engine.final_score()
    engine.close()


@pytest.mark.skipif(os.name != "posix", reason="a process with its group")
def test_a_process_that_has_ended_is_not_killed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another's by then."""
    killed, killpg = [], os.killpg
    monkeypatch.setattr(os, "killpg", lambda *which: killed.append(which) or killpg(*which))
    engine = Engine([sys.executable, "-S", "-c", "import time; time.sleep(99)"])
    engine.kill()
    engine.kill()
    engine.close()
    assert killed == [(engine.process.pid, signal.SIGKILL)]


def test_commands_that_set_a_position_up() -> None:
    stones = [(BLACK, 0), (WHITE, 19 * 19 - 1), (BLACK, PASS)]
    assert setting_up(19, 6.5, stones) == ["boardsize 19", "clear_board", "komi 6.5", "play b A19", "play w T1", "play b pass"]
    assert setting_up(9, 0.0) == ["boardsize 9", "clear_board", "komi 0"]


def test_gnu_go_is_found_by_its_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "some gnugo"
    program.write_bytes(b"")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gnugo("some gnugo") == find_gnugo(str(program)) == str(program)
    assert find_gnugo("no such program") is None
    found: dict[str | None, str] = {None: "/mine/gnugo", "/usr/games": "/usr/games/gnugo"}
    monkeypatch.setattr("shutil.which", lambda _, path=None: found.get(path))
    assert find_gnugo() == "/mine/gnugo", "one of the user's own goes before that of Debian"
    del found[None]
    assert find_gnugo() == "/usr/games/gnugo"
    assert gnugo("g") == ["g", "--mode", "gtp", "--level", "1", "--seed", "1", "--chinese-rules"]
    assert gnugo("g", "--x", level=3, seed=2) == ["g", "--mode", "gtp", "--level", "3", "--seed", "2", "--chinese-rules", "--x"]


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
