"""The scripts' own environment: ``.gopolicy-venv/`` in the checkout, with the versions that requirements.txt pins.

No script itself: ``demo.py`` and ``test.py`` run everything in it, and ``train.py`` goes there where Python lacks what it needs.
Python's own library is enough to run this. It works on any Python 3.11 with pip, and a second time at once: a file
in the environment holds the digest of all that it was made from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "scripts" / "requirements.txt"
VENV = ROOT / ".gopolicy-venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"  # packages of one serve all its patches
READY = VENV / "gopolicy-ready"  # written last: there is no such file in an environment that is not finished
INTERRUPTED = 130  # as shells have it; programs differ: mypy ends with 2

# Settings of the surroundings that would lead Python or pip out of the environment, or that its pins contradict: NVIDIA's containers
# constrain torch to their own. Others, as of proxies and mirrors, stay.
ASTRAY = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV",
    "PIP_PYTHON", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "PIP_REQUIRE_HASHES", "PIP_DRY_RUN",
)  # fmt: skip
NO_PACKAGE = "No matching distribution found for "  # as pip says it
# What pip says in its many words when the index cannot be reached.
NO_NETWORK = ("NewConnectionError", "ConnectTimeout", "NameResolution", "ProxyError", "Read timed out", "SSLError")


class SetUpError(Exception):
    """The environment cannot be made; the message says why and what would help."""


def surroundings() -> dict[str, str]:
    """The environment variables for programs that run in the environment."""
    # pip's own files may say `user = true`, and only the environment comes before them.
    return {name: value for name, value in os.environ.items() if name not in ASTRAY} | {"PIP_USER": "0"}


def digest() -> str:
    """Changes when the environment has to be made again: with the pins, the project's own needs, Python, and the place."""
    parts = (REQUIREMENTS.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), VERSION.encode(), os.fsencode(ROOT))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def prepare() -> None:
    """Sets the environment up unless that is done. Ends the program with a sentence where it cannot be done."""
    wanted = digest()
    if inside():  # started with the environment's own Python, which cannot replace itself
        wanted = READY.read_text(encoding="ascii") if READY.exists() else ""
    try:
        if is_ready(wanted):
            return
        if not wanted:
            raise SetUpError(f"{VENV} is not finished: run this script with the Python that {VENV.name} was made with")
        with alone():
            if is_ready(wanted):  # another one has done it meanwhile
                return
            with old_one_kept():
                set_up()
                READY.write_text(wanted, encoding="ascii")
    except SetUpError as error:
        sys.exit(f"\n{error}")
    except OSError as error:
        sys.exit(f"\nThe environment could not be made in {VENV}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped during the set-up; the same command goes on.")


def inside() -> bool:
    """Whether this is the environment's own Python; the environment's folder may be a link to another place."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def is_ready(wanted: str) -> bool:
    """Whether the environment is finished, and its Python, which may be a link, is still there."""
    return PYTHON.exists() and READY.exists() and READY.read_text(encoding="ascii") == wanted


def same_python() -> bool:
    settings = VENV / "pyvenv.cfg"
    return PYTHON.exists() and settings.exists() and f"version = {VERSION}." in settings.read_text(encoding="utf-8")


@contextmanager
def alone() -> Iterator[None]:
    """Waits for another set-up to end. Not on Windows, nor where files cannot be locked."""
    with open(REQUIREMENTS, "rb") as file:  # which all of them read: no file is left behind
        try:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another script is setting up the environment; waiting for it ...")
                fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError):
            pass
        yield


@contextmanager
def old_one_kept() -> Iterator[None]:
    """Keeps a finished environment of another Python until there is a new one: perhaps none can be made, and programs start from it."""
    aside = VENV.with_name(VENV.name + ".old")
    if READY.exists() and PYTHON.exists() and not same_python():
        shutil.rmtree(aside, ignore_errors=True)
        VENV.rename(aside)
    try:
        yield
    except BaseException:
        if aside.exists():
            shutil.rmtree(VENV, ignore_errors=True)
            aside.rename(VENV)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def set_up() -> None:
    """Makes the environment, or makes it fit again."""
    began = time.monotonic()
    say(f"Setting up {VENV.name} (once; a few minutes on the first machine that downloads everything) ...")
    READY.unlink(missing_ok=True)
    # Some Linux distributions leave out ensurepip; then the pip that is there installs into the new environment.
    own_pip = importlib.util.find_spec("ensurepip") is not None
    if not own_pip and importlib.util.find_spec("pip") is None:
        raise SetUpError("This Python has neither pip nor ensurepip: install one of them (Debian, Ubuntu: apt install python3-venv).")
    options = [*([] if same_python() else ["--clear"]), *([] if own_pip else ["--without-pip"])]
    command = [sys.executable, "-m", "venv", *options, str(VENV)]
    made = subprocess.run(command, env=surroundings(), capture_output=True, text=True, check=False)
    if made.returncode:
        raise SetUpError(f"{made.stdout}{made.stderr}\nPython could not make the environment {VENV}: what it said stands above.")
    pip = [str(PYTHON), "-m", "pip"] if own_pip else [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    install(pip, "--requirement", str(REQUIREMENTS))
    install(pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    say(f"The environment is ready after {time.monotonic() - began:.0f} s.")


def install(pip: Sequence[str], *what: str) -> None:
    """``pip install`` with one line of progress instead of a page."""
    command = [*pip, "install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off", *what]
    total = sum(1 for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if "==" in line)
    said: list[str] = []
    lines: queue.Queue[str | None] = queue.Queue()
    progress = Progress()
    with subprocess.Popen(
        command,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line.rstrip())
            lines.put(None)

        # A thread reads, so that the clock goes on while pip downloads for minutes without a word.
        threading.Thread(target=read, daemon=True).start()
        try:
            while True:
                try:
                    line = lines.get(timeout=0.5)
                except queue.Empty:
                    progress.show()
                    continue
                if line is None:
                    break
                said.append(line)
                word, _, rest = line.strip().partition(" ")
                if word == "Collecting":
                    progress.count += 1
                    progress.text = f"getting {min(progress.count, total)} of {total}: {rest.split(' ')[0].split(';')[0]}"
                elif word in ("Downloading", "Using", "Processing") and "(" in rest:
                    progress.text = progress.text.partition(" (")[0] + " (" + rest.rpartition("(")[2]
                elif line.startswith("Installing collected packages"):
                    progress.text = f"unpacking {line.count(',') + 1} packages"
                elif "Retrying" in line:
                    progress.text = "the network does not answer; pip tries again"
                progress.show()
        except BaseException:
            process.terminate()
            raise
    progress.end()
    if process.returncode:
        unreached = next((line for line in said if any(sign in line for sign in NO_NETWORK)), None)
        if unreached:
            raise SetUpError(
                "pip could not reach its package index. The first set-up needs the network (later starts do not): connect, or tell pip "
                f"of a proxy or a mirror (HTTPS_PROXY, PIP_INDEX_URL), and run the same command again.\npip said: {unreached[:300]}"
            )
        text = "\n".join(line for line in said[-12:] if line)
        _, _, lacking = next((line for line in said if NO_PACKAGE in line), "").partition(NO_PACKAGE)
        if lacking:
            raise SetUpError(
                f"{text}\n\npip has no {lacking.strip()} for Python {VERSION} on this machine; its last lines stand above. A new "
                "Python may be too new for it: take an older Python, from 3.11 on. There is no torch for a Python of 32 bits, "
                "for Apple's computers with processors of Intel, or for Alpine Linux."
            )
        raise SetUpError(f"{text}\n\npip could not install what the project needs: its last lines stand above.")


class Progress:
    """One line, rewritten in place on a terminal; elsewhere a new line when there is news, at most every ten seconds."""

    def __init__(self) -> None:
        self.text, self.count = "starting pip", 0
        self._began = time.monotonic()
        self._next = self._began + (0 if sys.stderr.isatty() else 10)
        self._length, self._said = 0, ""

    def show(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        minutes, seconds = divmod(int(now - self._began), 60)
        text = f"  {minutes}:{seconds:02}  {self.text}"
        if sys.stderr.isatty():
            text = text[:78]
            sys.stderr.write("\r" + text.ljust(self._length))
            sys.stderr.flush()
            self._length, self._next = len(text), now + 0.2
        elif self.text != self._said:
            say(text)
            self._said, self._next = self.text, now + 10

    def end(self) -> None:
        if self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()


def say(text: str = "") -> None:
    print(text, file=sys.stderr, flush=True)


def run(*command: str) -> int:
    """Runs a Python module with its arguments in the environment, from the checkout; gives its exit status, ``INTERRUPTED`` for Ctrl-C."""
    process = subprocess.Popen([str(PYTHON), "-m", *command], cwd=ROOT, env=surroundings())
    interrupted = False
    while True:
        try:
            status = process.wait()
            return INTERRUPTED if interrupted and status else status
        except KeyboardInterrupt:  # the terminal tells the program as well: it ends in its own way
            interrupted = True


def gopolicy(*arguments: str) -> None:
    """Shows a ``gopolicy`` command and runs it; ends the program where the command fails."""
    say("\n$ " + " ".join(["gopolicy", *arguments]))
    status = run("gopolicy", *arguments)
    if status:
        sys.exit(status)


def enter(script: str, *needed: str) -> None:
    """Starts the script anew with the environment's Python where this one lacks one of the ``needed`` modules."""
    lacking = [module for module in needed if not importlib.util.find_spec(module)]
    if not lacking:
        return
    if inside():  # it would start itself again and again
        sys.exit(f"{VENV} lacks {', '.join(lacking)}: delete it, and run this script with the Python that {VENV.name} was made with")
    prepare()
    command = [str(PYTHON), script, *sys.argv[1:]]
    if os.name == "posix":
        os.execve(PYTHON, command, surroundings())
    sys.exit(subprocess.run(command, env=surroundings(), check=False).returncode)
