"""Archives of games: folders, ``.sgf``, ``.gz``, ``.xz``, ``.bz2``, ``.zip``, ``.tar`` (also compressed) and ``.7z``.

``members`` yields what is inside one by one, in bounded memory, and writes nothing outside a temporary folder. Nothing an
archive says of itself is trusted: its kind is read off its first bytes, sizes are counted while unpacking, the names of
members are labels and never paths, and links and devices are passed over. What cannot be read is yielded as ``Refused``,
with the reason; the walk goes on.

    ==============  =====================================================================================
    limit           what happens beyond it
    ==============  =====================================================================================
    UNPACKED        an archive that unpacks to more than this many times its size, and a GiB, is refused from there on
    MEMBER_LIMIT    a longer file or member is cut between games into parts, and refused where no game ends (in a ``.7z`` always)
    HEADER_LIMIT    a tar whose headers (names, attributes) are longer is refused from there on
    XZ_MEMORY       an ``.xz`` or ``.7z`` that wants more memory to be unpacked is refused
    ==============  =====================================================================================
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import queue
import re
import stat
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, cast

from gopolicy.errors import GamesError, UsageError

MEMBER_LIMIT = 16 * 2**20  # bytes
HEADER_LIMIT = 2**20
XZ_MEMORY = 512 * 2**20
UNPACKED, SPARE = 1000, 2**30  # times the archive's size, and bytes more
GAMES = (".sgf", ".sgfs", ".mgt")  # .sgfs: games of KataGo against itself, one a line; .mgt: the name under which older programs kept SGF
_ARCHIVES = (".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz", ".tbz2", ".zip", ".tar", ".7z")
_UNREAD = (".rar", ".zst", ".tzst", ".lzh", ".lha", ".z", ".arj", ".ace", ".lz")
_PART = re.compile(r"\.(?:7z|zip|rar|tar|tgz|txz|tbz2?|tar\.(?:gz|xz|bz2))\.[0-9]{3}\Z", re.IGNORECASE)  # a.7z.001
_BEGINNINGS = {
    "gzip": (b"\x1f\x8b",),
    "bzip2": (b"BZh",),
    "xz": (b"\xfd7zXZ\0",),
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "7z": (b"7z\xbc\xaf\x27\x1c",),
}
_CHUNK = 2**20


class Member(NamedTuple):
    """One file: where it was found, and its bytes."""

    name: str
    data: bytes


class Refused(NamedTuple):
    """What could not be read, and why."""

    name: str
    reason: str


Item = Member | Refused


def members(paths: Iterable[Path | str]) -> Iterator[Item]:
    """The files with a suffix of ``GAMES`` (in small or capital letters) in the given files, folders and archives.

    The order is that of ``paths``, in folders that of the sorted names, in archives that of their members. A file that is
    named in ``paths`` itself is taken whatever its suffix. Links inside a folder are not followed, and an archive inside
    an archive is not opened. Raises GamesError, before anything is read, where a path does not exist.
    """
    return _walk(check(paths))


def check(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The paths. Raises GamesError for the first that does not exist, and UsageError for one that stands in no list, or for none."""
    if isinstance(paths, str | os.PathLike):  # the letters of a name are paths too
        raise UsageError(f"paths stand in a list, as [{os.fspath(paths)!r}]")
    roots = [Path(path) for path in paths]
    if not roots:
        raise UsageError("no archive is named: expected paths, as ['games.zip']")
    for root in roots:
        if not root.exists():
            raise GamesError(f"there is no file or folder {root}")
    return roots


def _walk(roots: list[Path]) -> Iterator[Item]:
    for root in roots:
        if not root.is_dir():
            yield from _file(root)
            continue
        failed: list[OSError] = []
        for folder, folders, names in os.walk(root, onerror=failed.append):
            folders.sort()
            for name in folders:
                if Path(folder, name).is_symlink():
                    yield Refused(shown(str(Path(folder, name))), _LINK)
            for name in sorted(names):
                if _is_game(name) or _is_archive(name):
                    yield from _file(Path(folder, name), inside=True)
        for error in failed:
            yield Refused(shown(str(error.filename)), f"the folder cannot be read: {error.strerror}")


def _file(path: Path, inside: bool = False) -> Iterator[Item]:
    """What one file holds. ``inside`` a folder, links are refused, and what is packed alone has to be a game by its suffix."""
    label = shown(str(path))
    try:
        status = path.lstat() if inside else path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            yield Refused(label, _LINK if stat.S_ISLNK(status.st_mode) else "it is no ordinary file")
            return
        with path.open("rb") as file:
            yield from _content(file, label, inside)
    except Exception as error:  # unpackers raise every kind of error over damaged data; the walk must go on
        broken = not getattr(error, "strerror", None)  # and not the system's own word, as that it may not be read
        yield Refused(label, _A_PART if broken and _PART.search(label) else _why(error))


def _content(file: io.BufferedReader, label: str, inside: bool) -> Iterator[Item]:
    """What an opened file holds; its first bytes tell its kind."""
    magic = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    most = UNPACKED * os.fstat(file.fileno()).st_size + SPARE
    kind = kind_of(magic)
    if kind == "gzip":
        yield from _packed(_Bounded(gzip.GzipFile(fileobj=file), most), label, inside)
    elif kind == "bzip2":
        yield from _packed(_Bounded(bz2.BZ2File(file), most), label, inside)
    elif kind == "xz":
        yield from _packed(_Bounded(_XzFile(file), most), label, inside)
    elif kind == "zip":
        yield from _zip(file, label, most)
    elif kind == "7z":
        yield from _sevenzip(file, label, most)
    elif kind == "tar":
        yield from _tar(_Metered(file), label)
    elif _PART.search(label):
        yield Refused(label, _A_PART)
    elif not _is_archive(label):
        yield from _parts(label, file)
    else:
        read = ", ".join(kind for kind in _ARCHIVES if not kind.startswith(".t") or kind == ".tar")
        yield Refused(label, f"it is no archive of a kind that is read ({read})" if magic else "it is empty")


class _Stream(Protocol):
    """Gives some bytes at a time, so that those before a damage are not lost."""

    def read1(self, size: int, /) -> bytes: ...


class _Bounded:
    """A stream that ends with a GamesError after ``left`` bytes: a few hundred bytes can stand for hours of unpacking."""

    def __init__(self, stream: _Stream, left: int) -> None:
        self.stream, self.left = stream, left

    def read1(self, size: int, /) -> bytes:
        data = self.stream.read1(size)
        self.left -= len(data)
        if self.left < 0:
            raise GamesError(_TOO_MUCH)
        return data


def _packed(stream: _Stream, label: str, inside: bool) -> Iterator[Item]:
    """A compressed tar, or a single compressed file."""
    head = _read(stream, tarfile.BLOCKSIZE)
    if kind_of(head) == "tar":
        yield from _tar(_Metered(stream, head), label)
        return
    name = label.rpartition(".")[0]
    if _is_game(name) or not inside or "." not in name.rpartition("/")[2]:
        yield from _parts(name, stream, head)
    elif name.lower().endswith(".tar"):
        yield Refused(label, "there is no tar in it")


def _read(stream: _Stream, size: int) -> bytes:
    parts = []
    while size > 0 and (part := stream.read1(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# Between two games: what the second begins with, no variation does.
_NEXT_GAME = re.compile(rb"\)\s*(?=\(\s*;\s*(?:FF|GM|SZ|CA|AP|GN|EV|RO|PB|PW|BR|WR|DT|PC|RE|KM|HA|RU|TM|US|SO|ID)\s*\[)")


def _parts(name: str, stream: _Stream, head: bytes = b"") -> Iterator[Item]:
    """A file of games, of which ``head`` has been read already: one member where it is no longer than MEMBER_LIMIT, else several."""
    label, number, data = name, 1, head
    while len(data := data + _read(stream, MEMBER_LIMIT + 1 - len(data))) > MEMBER_LIMIT:
        # Short parts, which several processes can read; where a game is longer than that, all before it.
        between = _NEXT_GAME.search(data, MEMBER_LIMIT // 16) or [None, *_NEXT_GAME.finditer(data)][-1]
        if not between:
            yield Refused(label, _TOO_LONG)
            return
        yield Member(label, data[: between.end()])
        data, number = data[between.end() :], number + 1
        label = f"{name}, part {number}"
    yield Member(label, data)


def _has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    base = name.rpartition("/")[2]
    return base.lower().endswith(suffixes) and not base.startswith("._")  # "._game.sgf": what macOS puts beside files


def _is_game(name: str) -> bool:
    return _has_suffix(name, GAMES)


def _is_archive(name: str) -> bool:
    return _has_suffix(_PART.sub(".7z", name), _ARCHIVES + _UNREAD)


_TOO_MUCH = f"it unpacks to more than {UNPACKED:,} times its own size"
_TOO_LONG = f"it is longer than {MEMBER_LIMIT // 2**20} MiB, and where its games end is not seen: split it into several files"
_TOO_LONG_IN_7Z = f"it is longer than {MEMBER_LIMIT // 2**20} MiB: unpack the archive first"
_A_PART = "it is a part of an archive: put all parts together, in their order, into one file"
_LINK = "it is a link, which is not followed"
_INSIDE = "an archive inside an archive is not opened: unpack the outer one first"


def shown(name: str) -> str:
    """A name that can be shown and sent anywhere: control characters and broken encodings taken out."""
    name = name.encode("utf-8", "replace").decode().replace("\\", "/")
    return "".join(character if character.isprintable() else "?" for character in name[-1000:])


def _why(error: BaseException) -> str:
    if isinstance(error, GamesError):
        return str(error)
    if type(error).__name__ == "PasswordRequired":  # py7zr's: it is slow to import
        return "it is encrypted"
    text = getattr(error, "strerror", None) or str(error)
    if isinstance(error, MemoryError):
        text = "unpacking it takes too much memory"
    return f"it cannot be read to its end: {text or type(error).__name__}"


# --------------------------------------------------------------------------------------------------------------- tar


def kind_of(head: bytes) -> str:
    """The kind of archive, or of what is packed alone, that begins with these bytes (512 or more); "" for none that is read."""
    for kind, begins in _BEGINNINGS.items():
        if head.startswith(begins):
            return kind
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return ""
    return "tar"


class _Header(tarfile.TarInfo):
    """A damaged header is an error here; ``tarfile`` takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tar)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a damaged header ({error})") from error


class _Metered:
    """A stream for ``tarfile`` that gives no more than ``left`` bytes: headers declare how long they are."""

    def __init__(self, stream: _Stream, head: bytes = b"") -> None:
        self.stream = stream
        self.head = head  # what has been read of it already
        self.left: float = HEADER_LIMIT

    def read(self, size: int) -> bytes:
        data = self.head[:size] or self.stream.read1(size)
        self.head = self.head[size:]
        self.left -= len(data)
        if self.left < 0:
            raise GamesError(f"it has headers of more than {HEADER_LIMIT // 2**20} MiB")
        return data


def _tar(stream: _Metered, label: str) -> Iterator[Item]:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar:  # type: ignore[call-overload]
        while True:
            stream.left = HEADER_LIMIT
            header = tar.next()
            if header is None:
                while stream.stream.read1(_CHUNK):  # to the end of the stream, where its checksum stands
                    pass
                return
            tar.members.clear()  # else 100,000 headers pile up
            stream.left = float("inf")
            name = f"{label}/{shown(header.name)}"
            if header.issparse():
                if _is_game(header.name):
                    yield Refused(name, "it is a sparse file")
            elif header.isreg() and _is_game(name):
                file = tar.extractfile(header)
                assert file is not None  # it is a regular file
                yield from _parts(name, file)
            elif header.isreg() and _is_archive(name):
                yield Refused(name, _INSIDE)
            while (rest := tar.offset - tar.fileobj.tell()) > 0:  # tarfile's own way goes on behind the end, as far as the header declares
                if not tar.fileobj.read(min(rest, _CHUNK)):
                    raise tarfile.ReadError("unexpected end of data")


class _XzFile:
    """Like ``lzma.LZMAFile``, which sets no bound to the memory that a file can ask for."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)

    def read1(self, size: int, /) -> bytes:
        data = b""
        while not data:
            if self.unpacker.eof:  # another stream may follow, after padding
                rest = self.unpacker.unused_data.lstrip(b"\0")
                while not rest:
                    rest = self.file.read(_CHUNK)
                    if not rest:
                        return b""
                    rest = rest.lstrip(b"\0")
                self.unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
            elif self.unpacker.needs_input:
                rest = self.file.read(_CHUNK)
                if not rest:
                    raise EOFError("the compressed data end too early")
            else:
                rest = b""
            data = self.unpacker.decompress(rest, size)
        return data


# --------------------------------------------------------------------------------------------------------------- zip


def _zip(file: io.BufferedReader, label: str, most: int) -> Iterator[Item]:
    with zipfile.ZipFile(file) as archive:
        bounded = _Bounded(cast(_Stream, file), most)
        for info in archive.infolist():
            name = f"{label}/{shown(info.filename)}"
            mode = info.external_attr >> 16
            if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
                continue
            if _is_archive(name):
                yield Refused(name, _INSIDE)
            elif _is_game(name):
                try:
                    with archive.open(info) as member:
                        bounded.stream = cast(_Stream, member)
                        yield from _parts(name, bounded)
                except GamesError:  # entries may share their data
                    raise
                except Exception as error:  # see _file; the other members can still be read
                    yield Refused(name, _why(error))
                    bounded.left -= min(info.file_size, MEMBER_LIMIT + 1)  # what is not handed over may have been unpacked as far as that
                    if bounded.left < 0:
                        raise GamesError(_TOO_MUCH) from None


# ---------------------------------------------------------------------------------------------------------------- 7z


def _sevenzip(file: io.BufferedReader, label: str, most: int) -> Iterator[Item]:
    """The members of a 7z archive.

    py7zr pushes what it unpacks into an object it asks a factory for; a solid archive can only be unpacked in one go. So
    it unpacks in a thread, which hands over batches and waits while two of them have not been fetched.
    """
    from py7zr import SevenZipFile  # slow to import, and seldom needed

    with SevenZipFile(file) as archive, tempfile.TemporaryDirectory() as folder:
        wanted: set[str] = set()
        for entry in archive.files:
            name = str(entry.filename)
            path = PurePosixPath(name.replace("\\", "/"))
            if entry.is_directory or entry.is_symlink or entry.is_junction or entry.is_socket:
                continue
            if _is_archive(name):
                yield Refused(f"{label}/{shown(name)}", _INSIDE)
            elif _is_game(name):
                if path.is_absolute() or ".." in path.parts or (os.name == "nt" and ":" in name):
                    yield Refused(f"{label}/{shown(name)}", "its name points out of the archive")
                elif entry.uncompressed > MEMBER_LIMIT:
                    yield Refused(f"{label}/{shown(name)}", _TOO_LONG_IN_7Z)
                else:
                    wanted.add(name)
        if not wanted:
            return
        if sum(entry.uncompressed for entry in archive.files) > most:  # what is not wanted is unpacked with the rest
            raise GamesError(_TOO_MUCH)
        if max(_dictionaries(archive), default=0) > XZ_MEMORY:
            raise MemoryError
        batches: queue.Queue[list[Item] | BaseException | None] = queue.Queue(maxsize=2)
        factory = _factory(batches, label, folder)

        def unpack() -> None:
            end: BaseException | None = None
            try:
                archive.extract(path=folder, targets=wanted, factory=factory)
                factory.finish()
            except BaseException as error:  # handed over, and raised where the members are taken
                end = error
            factory.send()
            batches.put(end)

        thread = threading.Thread(target=unpack, daemon=True)
        thread.start()
        try:
            while (batch := batches.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                yield from batch
        finally:
            factory.stopped = True  # if the caller goes on no further
            while thread.is_alive():
                try:
                    batches.get(timeout=0.01)
                except queue.Empty:
                    continue
            thread.join()


def _dictionaries(archive: Any) -> Iterator[int]:
    """The memory that LZMA, LZMA2 and PPMd in a 7z archive declare (7-Zip's 7zFormat.txt and Methods.txt)."""
    streams = archive.header.main_streams  # None where all files are empty
    for folder in streams.unpackinfo.folders if streams else ():
        for coder in folder.coders:
            method, properties = coder["method"], coder["properties"] or b""
            if method == b"\x21" and properties:
                yield (2 | properties[0] & 1) << (properties[0] // 2 + 11)
            elif method in (b"\x03\x01\x01", b"\x03\x04\x01") and len(properties) >= 5:
                yield int.from_bytes(properties[1:5], "little")


class _Stop(Exception):
    """Ends the unpacking of a 7z archive of which no more is wanted."""


def _factory(batches: queue.Queue[list[Item] | BaseException | None], label: str, folder: str) -> Any:
    from py7zr.io import Py7zIO, WriterFactory

    class Factory(WriterFactory):
        """Asked for an output for one member after the other; the one before is whole then."""

        def __init__(self) -> None:
            self.output: Output | None = None
            self.batch: list[Item] = []
            self.bytes = 0
            self.stopped = False

        def create(self, filename: str) -> Py7zIO:
            self.finish()
            self.output = Output(self, f"{label}/{shown(os.path.relpath(filename, folder))}")
            return self.output

        def finish(self) -> None:
            if self.output:
                data = bytes(self.output.data)
                whole = len(data) <= MEMBER_LIMIT
                self.batch.append(Member(self.output.name, data) if whole else Refused(self.output.name, _TOO_LONG_IN_7Z))
                self.bytes += len(data)
                if self.bytes > _CHUNK or len(self.batch) >= 256:
                    self.send()

        def send(self) -> None:
            if self.batch and not self.stopped:
                batches.put(self.batch)
            self.batch, self.bytes = [], 0

    class Output(Py7zIO):
        """One member while it is unpacked."""

        def __init__(self, factory: Factory, name: str) -> None:
            self.factory, self.name, self.data = factory, name, bytearray()

        def write(self, data: bytes | bytearray) -> int:
            if self.factory.stopped:
                raise _Stop
            self.data += data[: MEMBER_LIMIT + 1 - len(self.data)]
            return len(data)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return len(self.data)

    return Factory()
