"""Files that are whole or not there, whenever the machine stops."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A new, empty file in the folder of ``path``, or of what it links to, gone at the end unless it was moved. Raises OSError where there
    cannot be one."""
    place = Path(os.path.realpath(path))
    if place.is_symlink():  # it leads to itself, of which ``Path.resolve`` says nothing from Python 3.13 on
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if place.exists() and not (place.is_file() or place.is_dir()):  # a device as /dev/null would be lost; a folder refuses by itself
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    # Hidden: what a kill leaves makes no run folder a used one. A name of its own: two may write the same file at once.
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        part.touch()
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def write(path: Path, *data: bytes | memoryview) -> None:
    """Writes a file so that, whenever the machine stops, there is either the old one or the whole new one; a link goes on to lead to it.
    Raises OSError, which names the file."""
    try:
        with beside(path) as part:
            with part.open("wb") as file:
                file.writelines(data)
                file.flush()
                os.fsync(file.fileno())
            _replace(part, os.path.realpath(path))
            if os.name == "posix":  # the new name too must reach the disk
                with contextlib.suppress(OSError):  # network drives do not offer that, and the file is there
                    folder = os.open(part.parent, os.O_RDONLY)
                    try:
                        os.fsync(folder)
                    finally:
                        os.close(folder)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # the file's name, not that of the one beside it


def _replace(part: Path, place: str) -> None:
    """``os.replace``, tried for some seconds where Windows refuses it: somebody reads the old file, or looks for viruses in the new one."""
    for wait in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6):
        try:
            os.replace(part, place)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in (5, 32):  # access denied, sharing violation; there is none elsewhere
                raise
        time.sleep(wait)
    os.replace(part, place)
