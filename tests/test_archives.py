"""Walking archives: every kind, every trick an archive can play, and 100,000 members."""

from __future__ import annotations

import bz2
import gc
import gzip
import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
import threading
import zipfile
import zlib
from pathlib import Path

import py7zr
import pytest

from gopolicy import archives
from gopolicy.archives import MEMBER_LIMIT, Member, Refused, members
from gopolicy.errors import GamesError, UsageError
from gopolicy.sgf import read_collection

GAMES = {
    f"games/{year}/g{number}.sgf": b"(;GM[1];B[%c%c])" % (97 + number, 97 + number) * (number + 1)
    for year in (2016, 2017)
    for number in range(9)
}
OTHERS = {"games/readme.txt": b"words", "games/2016/._g1.sgf": b"not a game", "games/picture.sgf.png": b"\x89PNG"}


def tar_bytes(files: dict[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_bytes(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def sevenzip_bytes(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(data, name)
    return out.getvalue()


PACKERS = {
    "a.tar": tar_bytes,
    "a.tar.gz": lambda files: tar_bytes(files, "w:gz"),
    "a.tgz": lambda files: tar_bytes(files, "w:gz"),
    "a.tar.xz": lambda files: tar_bytes(files, "w:xz"),
    "a.tar.bz2": lambda files: tar_bytes(files, "w:bz2"),
    "a.zip": zip_bytes,
    "stored.zip": lambda files: zip_bytes(files, zipfile.ZIP_STORED),
    "a.7z": sevenzip_bytes,
}


def read(*paths: Path) -> tuple[dict[str, bytes], list[Refused]]:
    """Members by name, and what was refused."""
    found, refused = {}, []
    for item in members(paths):
        if isinstance(item, Refused):
            refused.append(item)
        else:
            assert item.name not in found
            found[item.name] = item.data
    return found, refused


@pytest.mark.parametrize("name", PACKERS)
def test_every_kind_of_archive(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKERS[name](OTHERS | GAMES))
    found, refused = read(path)
    assert refused == []
    assert list(found.items()) == [(f"{path}/{member}", data) for member, data in GAMES.items()]
    # The kind is read off the bytes: a wrong or missing suffix changes nothing for a file that is named itself.
    other = tmp_path / "download"
    path.rename(other)
    assert list(read(other)[0].values()) == list(GAMES.values())
    assert [entry.name for entry in tmp_path.iterdir()] == ["download"]


@pytest.mark.parametrize("suffix", ["gz", "xz", "bz2"])
def test_single_compressed_files(tmp_path: Path, suffix: str) -> None:
    pack = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}[suffix]
    data = b"(;GM[1];B[aa])" * 1000
    path = tmp_path / f"game.sgf.{suffix}"
    path.write_bytes(pack(data))
    (tmp_path / f"words.txt.{suffix}").write_bytes(pack(b"words"))
    assert read(tmp_path) == ({str(tmp_path / "game.sgf"): data}, [])
    path.write_bytes(pack(data) + pack(b"(;)"))  # two streams make one file
    assert read(path) == ({str(tmp_path / "game.sgf"): data + b"(;)"}, [])
    path.write_bytes(pack(b"")[:-3])
    assert read(path)[1][0].name == str(path)


def test_xz_with_padding_between_streams(tmp_path: Path) -> None:
    path = tmp_path / "game.sgf.xz"
    path.write_bytes(lzma.compress(b"one") + bytes(8) + lzma.compress(b"two") + bytes(4))
    assert read(path) == ({str(tmp_path / "game.sgf"): b"onetwo"}, [])


def test_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    files = {"b/2.sgf": b"2", "b/10.SGF": b"10", "a.sgf": b"a", "c.mgt": b"c", "d.sgfs": b"d", "b/note.txt": b"", "b/._2.sgf": b""}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "b" / "more.tar.gz").write_bytes(tar_bytes({"x.Sgf": b"x"}, "w:gz"))
    found, refused = read(tmp_path)
    assert refused == []
    assert {name.removeprefix(f"{tmp_path}/"): data for name, data in found.items()} == {
        "a.sgf": b"a",
        "c.mgt": b"c",
        "d.sgfs": b"d",
        "b/10.SGF": b"10",
        "b/2.sgf": b"2",
        "b/more.tar.gz/x.Sgf": b"x",
    }
    assert [Path(name).name for name in found] == ["a.sgf", "c.mgt", "d.sgfs", "10.SGF", "2.sgf", "x.Sgf"]
    assert list(members([tmp_path])) == list(members([str(tmp_path)]))
    for file in (tmp_path / "b" / "note.txt", tmp_path / "b" / "._2.sgf"):
        assert read(file)[0] == {str(file): b""}  # named itself


def test_folders_inside_a_folder_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """A file system lists them as it likes; the same games must make the same set everywhere."""
    names = [f"{number:02}" for number in range(30)]
    for name in sorted(names, key=lambda name: name[::-1], reverse=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.sgf").write_bytes(b"(;)")
    assert [Path(name).parent.name for name in read(tmp_path)[0]] == names


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.sgf").write_bytes(b"(;)")
    scandir = os.scandir

    def guarded(folder: str) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    reason = "the folder cannot be read: Permission denied"
    assert read(tmp_path) == ({str(tmp_path / "open" / "a.sgf"): b"(;)"}, [Refused(str(tmp_path / "closed"), reason)])


def test_what_a_compressed_file_may_be_called(tmp_path: Path) -> None:
    (tmp_path / "game.gz").write_bytes(gzip.compress(b"(;)"))
    (tmp_path / "words.tar.gz").write_bytes(gzip.compress(b"words"))
    assert read(tmp_path) == ({str(tmp_path / "game"): b"(;)"}, [Refused(str(tmp_path / "words.tar.gz"), "there is no tar in it")])
    (tmp_path / "game.gz").rename(tmp_path / "game.txt.gz")
    assert read(tmp_path / "game.txt.gz") == ({str(tmp_path / "game.txt"): b"(;)"}, []), "it is named itself"


def test_a_zip_with_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_bytes({}))
    assert read(tmp_path) == ({}, [])


def test_a_path_that_is_missing() -> None:
    with pytest.raises(GamesError, match=r"no file or folder .*nowhere\.zip"):
        members(["nowhere.zip"])  # at once, not when the first member is asked for


@pytest.mark.parametrize("path", ["/", Path("data")])
def test_a_path_that_stands_in_no_list(path: str | Path) -> None:
    """Letter by letter, ``/`` would be all that there is on the disk."""
    with pytest.raises(UsageError, match=r"paths stand in a list, as \['"):
        members(path)  # type: ignore[arg-type]


def test_an_empty_list() -> None:
    """As of a pattern of names that fits none: it had ended in "there is no SGF game in", and no name."""
    with pytest.raises(UsageError, match=r"^no archive is named: expected paths, as \['games.zip'\]$"):
        members([])


# ------------------------------------------------------------------------------------------------- nothing is trusted


def test_names_are_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    evil = {"../../up.sgf": b"1", "/abs.sgf": b"2", "a\x1b[31m\n.sgf": b"3", "..\\back.sgf": b"4", "ok.sgf": b"5"}
    for name in ("a.tar", "a.tar.gz", "a.zip"):
        path = tmp_path / name
        path.write_bytes(PACKERS[name](evil))
        found, refused = read(path)
        assert refused == []
        assert list(found.values()) == [b"1", b"2", b"3", b"4", b"5"]
        assert all(label.isprintable() and label.startswith(f"{path}/") for label in found)
        assert f"{path}/../back.sgf" in found, "as in the names of folders on other systems"
        path.unlink()
    assert sorted(str(entry.relative_to(tmp_path)) for entry in tmp_path.rglob("*")) == ["deep", "deep/work"]


@pytest.mark.parametrize("name", ["../up.sgf", "/x/up.sgf"])
def test_names_in_7z(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(b"1", "xx/up.sgf")
        archive.writestr(b"5", "ok.sgf")
        archive.set_encoded_header_mode(False)
    data = path.read_bytes()
    evil = data.replace("xx/up.sgf".encode("utf-16-le"), name.encode("utf-16-le"))
    assert evil != data
    # The header's checksum must fit again: at 12 its own over bytes 12 to 32, at 28 that of the header.
    offset, size = struct.unpack_from("<QQ", evil, 12)
    header = evil[32 + offset : 32 + offset + size]
    start = struct.pack("<QQL", offset, size, zlib.crc32(header))
    path.write_bytes(evil[:8] + struct.pack("<L", zlib.crc32(start)) + start + evil[32:])
    found, refused = read(path)
    assert found == {f"{path}/ok.sgf": b"5"}
    assert [(item.name, "points out" in item.reason) for item in refused] == [(f"{path}/{name}", True)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.7z"]


@pytest.mark.skipif(os.name != "posix", reason="names with a colon as on POSIX")
def test_a_colon_points_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "a.7z"
    path.write_bytes(sevenzip_bytes({"2019-01-01 12:30.sgf": b"(;)"}))
    assert read(path) == ({f"{path}/2019-01-01 12:30.sgf": b"(;)"}, [])


def test_links_and_devices_in_tar(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in (("a.sgf", tarfile.SYMTYPE), ("b.sgf", tarfile.LNKTYPE), ("c.sgf", tarfile.FIFOTYPE), ("d.sgf", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("real.sgf")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"(;)"))
    path = tmp_path / "a.tar"
    path.write_bytes(out.getvalue())
    assert read(path) == ({f"{path}/real.sgf": b"(;)"}, [])


def test_links_in_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.sgf")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("real.sgf", b"(;)")
    assert read(path) == ({f"{path}/real.sgf": b"(;)"}, [])


@pytest.mark.skipif(os.name == "nt", reason="links are of other systems")
def test_links_in_7z(tmp_path: Path) -> None:
    (tmp_path / "real.sgf").write_bytes(b"(;)")
    (tmp_path / "link.sgf").symlink_to("real.sgf")
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        for name in ("link.sgf", "real.sgf"):
            archive.write(tmp_path / name, name)
    assert read(path) == ({f"{path}/real.sgf": b"(;)"}, [])


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are of other systems")
def test_links_and_pipes_in_folders(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "secret.sgf").write_bytes(b"secret")
    (folder / "real.sgf").write_bytes(b"(;)")
    (folder / "file.sgf").symlink_to(outside / "secret.sgf")
    (folder / "dir").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.sgf")
    found, refused = read(folder)
    assert found == {str(folder / "real.sgf"): b"(;)"}
    assert [Path(item.name).name for item in refused] == ["dir", "loop", "file.sgf", "pipe.sgf"]
    assert [item.reason for item in refused[:3]] == ["it is a link, which is not followed"] * 3
    assert read(folder / "file.sgf")[0] == {str(folder / "file.sgf"): b"secret"}  # named itself
    assert len(read(folder / "pipe.sgf")[1]) == 1


BOMB = {"first.sgf": b"(;)", "bomb.sgf": bytes(MEMBER_LIMIT + 1), "exact.sgf": bytes(MEMBER_LIMIT), "last.sgf": b"(;)"}


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.7z"])
def test_members_that_unpack_to_too_much(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKERS[name](BOMB))
    assert path.stat().st_size < 200_000
    found, refused = read(path)
    assert {label.rpartition("/")[2]: len(data) for label, data in found.items()} == {
        "first.sgf": 3,
        "exact.sgf": MEMBER_LIMIT,
        "last.sgf": 3,
    }
    advice = "unpack the archive first" if name == "a.7z" else "split it into several files"
    ((label, reason),) = refused
    assert (label, reason.startswith("it is longer than 16 MiB"), reason.endswith(f": {advice}")) == (f"{path}/bomb.sgf", True, True)


def test_single_files_that_are_too_long(tmp_path: Path) -> None:
    (tmp_path / "a.sgf").write_bytes(bytes(MEMBER_LIMIT + 1))
    (tmp_path / "b.sgf.gz").write_bytes(gzip.compress(bytes(MEMBER_LIMIT + 1)))
    found, refused = read(tmp_path)
    assert found == {}
    sentence = "it is longer than 16 MiB, and where its games end is not seen: split it into several files"
    assert [item.reason for item in refused] == [sentence] * 2


@pytest.mark.parametrize("name", ["a.sgf", "a.sgfs", "a.sgf.gz", "a.tar.xz", "a.zip"])
def test_a_long_file_of_games_is_cut_between_them(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at a variation, and not in a comment of which it is a part."""
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 1000)
    games = [
        f"(;FF[4]SZ[19]PB[{number}]C[(;FF[4\\]SZ[9\\])];B[pd](;W[dp];B[qq])(;W[dd]){' ' * (number % 7)})".encode() for number in range(40)
    ]
    data = b"\n".join(games) + b"\n"
    path = tmp_path / name
    packers = {"a.sgf": bytes, "a.sgfs": bytes, "a.sgf.gz": gzip.compress}
    path.write_bytes(packers[name](data) if name in packers else PACKERS[name]({"many.sgf": data, "one.sgf": b"(;)"}))
    items = list(members([path]))
    assert all(isinstance(item, Member) and len(item.data) <= 1000 for item in items)
    first = {"a.sgf.gz": f"{tmp_path}/a.sgf"}.get(name, str(path) if name in packers else f"{path}/many.sgf")
    parts = [item for item in items if item.name.startswith(first)]
    assert [part.name for part in parts] == [first, *(f"{first}, part {number}" for number in range(2, len(parts) + 1))]
    assert b"".join(part.data for part in parts) == data
    records = [record for part in parts for record in read_collection(part.data, name=part.name)]
    assert [record.players[0] for record in records] == [str(number) for number in range(40)]
    if name not in packers:
        assert [item.name for item in items if item not in parts] == [f"{path}/one.sgf"]


def test_what_cannot_be_cut_is_refused_from_there_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 1000)
    """And what stands before it is one part: to search all that follows again for every game takes hours."""
    game = b"(;FF[4];B[aa])"
    path = tmp_path / "a.sgf"
    path.write_bytes(game * 3 + b"(;FF[4]C[" + bytes(2000) + b"])" + game)
    found, refused = read(path)
    assert list(found.values()) == [game * 3]
    assert [item.name for item in refused] == [f"{path}, part 2"]


def test_a_declared_size_of_zero(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"lie.sgf": bytes(100_000), "true.sgf": b"(;)"}))
    central = data.index(b"PK\x01\x02")
    struct.pack_into("<L", data, central + 24, 0)  # the uncompressed size
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    found, refused = read(path)
    assert found == {f"{path}/true.sgf": b"(;)"}
    assert [item.name for item in refused] == [f"{path}/lie.sgf"]


def test_tar_headers_that_declare_to_be_huge(tmp_path: Path) -> None:
    plain = tar_bytes({"first.sgf": b"(;)"})[:1024]
    for kind in (b"x", b"L"):  # attributes, a long name
        header = tarfile.TarInfo("long")
        header.type, header.size = kind, 2**33
        path = tmp_path / "a.tar.gz"
        path.write_bytes(gzip.compress(plain + header.tobuf(tarfile.GNU_FORMAT) + bytes(64 * 2**20)))
        found, refused = read(path)
        assert found == {f"{path}/first.sgf": b"(;)"}
        assert [(item.name, "headers" in item.reason) for item in refused] == [(str(path), True)]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE, b"Z"])
def test_cut_members_that_declare_to_be_huge(tmp_path: Path, kind: bytes) -> None:
    """That is said at once, not after as many reads as it would take."""
    header = tarfile.TarInfo("disk.img")
    header.type, header.size = kind, 2**60
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tar_bytes({"first.sgf": b"(;)"})[:1024] + header.tobuf(tarfile.GNU_FORMAT) + bytes(2000)))
    found, refused = read(path)
    assert found == {f"{path}/first.sgf": b"(;)"}
    assert [(item.name, "unexpected end of data" in item.reason) for item in refused] == [(str(path), True)]


def test_sparse_members_that_declare_to_be_huge(tmp_path: Path) -> None:
    header = tarfile.TarInfo("sparse.sgf")
    header.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"77777777777\0"  # its real size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(block) + tar_bytes({"real.sgf": b"(;)"}))
    assert read(path) == ({f"{path}/real.sgf": b"(;)"}, [Refused(f"{path}/sparse.sgf", "it is a sparse file")])


@pytest.mark.skipif(shutil.which("tar") is None, reason="made by GNU tar")
@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_games_behind_a_sparse_file(tmp_path: Path, form: str) -> None:
    with (tmp_path / "disk.img").open("wb") as file:
        file.write(os.urandom(2 * archives.HEADER_LIMIT))
        file.seek(2**26)
        file.write(b"end")
    for name in ("a.sgf", "b.sgf"):
        (tmp_path / name).write_bytes(b"(;)")
    path = tmp_path / "a.tar"
    command = ["tar", "--sparse", f"--format={form}", "-cf", path, "-C", tmp_path, "disk.img", "a.sgf", "b.sgf"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this tar is not GNU's")
    assert path.stat().st_size < 2**25, "it is sparse"
    assert read(path) == ({f"{path}/{name}": b"(;)" for name in ("a.sgf", "b.sgf")}, [])


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"])
def test_few_bytes_that_stand_for_many(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unwanted members of a tar are unpacked as well, to come to those behind them; entries of a zip may share their data."""
    monkeypatch.setattr(archives, "SPARE", 0)
    many = {f"{number}{'.sgf' if name == 'a.zip' else '.txt'}": bytes(2**21) for number in range(4)}
    path = tmp_path / name
    path.write_bytes(PACKERS[name]({"first.sgf": b"(;)", **many, "last.sgf": b"(;)"}))
    monkeypatch.setattr(archives, "UNPACKED", 2**22 // path.stat().st_size)
    found, refused = read(path)
    assert f"{path}/first.sgf" in found
    assert f"{path}/last.sgf" not in found
    assert [item.name for item in refused] == [str(path)]
    assert "times its own size" in refused[0].reason
    monkeypatch.setattr(archives, "UNPACKED", 100_000)
    assert f"{path}/last.sgf" in read(path)[0]


def damaged_zip(files: dict[str, bytes]) -> bytes:
    """No checksum in it is right."""
    data = bytearray(zip_bytes(files))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 16] ^= 1  # of the CRC
        at += 4
    return bytes(data)


def test_damaged_entries_of_a_zip_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a checksum is wrong is known only when all has been unpacked."""
    monkeypatch.setattr(archives, "SPARE", 0)
    path = tmp_path / "a.zip"
    path.write_bytes(damaged_zip({f"{number}.sgf": bytes(2**21) for number in range(4)}))
    monkeypatch.setattr(archives, "UNPACKED", 2**22 // path.stat().st_size)
    found, refused = read(path)
    assert found == {}
    assert ["CRC" in item.reason for item in refused] == [True, True, False]
    assert "times its own size" in refused[-1].reason


def test_damaged_entries_of_a_zip_that_are_read_in_parts_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 2**16)
    monkeypatch.setattr(archives, "SPARE", 2**21)
    monkeypatch.setattr(archives, "UNPACKED", 0)
    path = tmp_path / "a.zip"
    path.write_bytes(damaged_zip({f"{number}.sgf": b"(;FF[4])" * 2**17 for number in range(9)}))  # a MiB each
    found, refused = read(path)
    assert sum(map(len, found.values())) <= 2**21
    assert "times its own size" in refused[-1].reason


def test_xz_that_wants_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "game.sgf.xz"
    path.write_bytes(lzma.compress(b"(;)"))
    assert read(path)[1] == []
    monkeypatch.setattr(archives, "XZ_MEMORY", 2**20)  # lzma's own preset wants 9 MiB
    assert [item.name for item in read(path)[1]] == [str(path)]


def test_7z_that_wants_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.7z"
    ppmd = {"id": py7zr.FILTER_PPMD, "order": 6, "mem": 24}
    for method in ({"id": py7zr.FILTER_LZMA2, "dict_size": 2**24}, {"id": py7zr.FILTER_LZMA, "dict_size": 2**24}, ppmd):
        with py7zr.SevenZipFile(path, "w", filters=[method]) as archive:
            archive.writestr(b"(;)", "a.sgf")
        monkeypatch.setattr(archives, "XZ_MEMORY", 2**24)
        assert read(path) == ({f"{path}/a.sgf": b"(;)"}, [])
        monkeypatch.setattr(archives, "XZ_MEMORY", 2**24 - 1)
        assert read(path) == ({}, [Refused(str(path), "it cannot be read to its end: unpacking it takes too much memory")])


def test_7z_of_empty_files(tmp_path: Path) -> None:
    path = tmp_path / "a.7z"
    path.write_bytes(sevenzip_bytes({"a.sgf": b"", "b.sgf": b""}))
    assert read(path) == ({f"{path}/a.sgf": b"", f"{path}/b.sgf": b""}, [])


def test_few_bytes_of_7z_that_stand_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that nobody wants are unpacked with the others, so nothing of such an archive is."""
    monkeypatch.setattr(archives, "SPARE", 0)
    path = tmp_path / "a.7z"
    path.write_bytes(sevenzip_bytes({"notes.txt": bytes(2**22), "a.sgf": b"(;)"}))
    monkeypatch.setattr(archives, "UNPACKED", 2**22 // path.stat().st_size)
    found, refused = read(path)
    assert found == {}
    assert [item.name for item in refused] == [str(path)]
    assert "times its own size" in refused[0].reason
    monkeypatch.setattr(archives, "UNPACKED", 100_000)
    assert read(path)[0] == {f"{path}/a.sgf": b"(;)"}


def test_encrypted_7z(tmp_path: Path) -> None:
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w", password="secret") as archive:
        archive.writestr(b"(;)", "a.sgf")
    assert read(path) == ({}, [Refused(str(path), "it is encrypted")])


def test_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"a.sgf": b"(;)", "b.sgf": b"(;B[aa])"}))
    data[6] |= 1
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    found, refused = read(path)
    assert found == {f"{path}/b.sgf": b"(;B[aa])"}
    assert "encrypted" in refused[0].reason


def test_archives_inside_archives(tmp_path: Path) -> None:
    for name in ("a.tar", "a.zip", "a.7z"):
        path = tmp_path / name
        path.write_bytes(PACKERS[name]({"inner.zip": zip_bytes(GAMES), "inner.rar": b"Rar!", "x.sgf": b"(;)"}))
        found, refused = read(path)
        assert found == {f"{path}/x.sgf": b"(;)"}
        assert [item.name for item in refused] == [f"{path}/inner.zip", f"{path}/inner.rar"]


def test_kinds_that_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\x07\0")
    (tmp_path / "b.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    (tmp_path / "c.tar").write_bytes(b"words")
    (tmp_path / "d.zip").write_bytes(b"")
    found, refused = read(tmp_path)
    assert found == {}
    assert [Path(item.name).name for item in refused] == ["a.rar", "b.tar.zst", "c.tar", "d.zip"]
    assert all("no archive of a kind" in item.reason for item in refused[:3])
    assert refused[3].reason == "it is empty"


@pytest.mark.parametrize("kind", ["a.7z", "a.zip", "a.tar.gz"])
def test_archives_in_numbered_parts(tmp_path: Path, kind: str) -> None:
    """As 7-Zip cuts them. In a folder nothing was said of them."""
    whole = PACKERS[kind](GAMES)
    parts = [tmp_path / f"{kind}.{number:03}" for number in (1, 2, 3)]
    for number, part in enumerate(parts):
        part.write_bytes(whole[number * len(whole) // 3 : (number + 1) * len(whole) // 3])
    for paths in ([tmp_path], parts):
        found, refused = read(*paths)
        assert found.items() <= {f"{parts[0]}/{name}": data for name, data in GAMES.items()}.items()
        assert [(item.name, item.reason) for item in refused] == [
            (str(part), "it is a part of an archive: put all parts together, in their order, into one file") for part in parts
        ]
    alone = tmp_path / f"alone.{kind}.001"
    alone.write_bytes(whole)
    assert list(read(alone)[0].values()) == list(GAMES.values())
    (tmp_path / "game.001").write_bytes(b"(;)")  # some number their games so
    assert list(read(tmp_path / "game.001")[0].values()) == [b"(;)"]


# ------------------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_a_tar_that_is_cut_off(tmp_path: Path, name: str) -> None:
    noise = {f"g{number:03}.sgf": os.urandom(700) for number in range(200)}
    whole = PACKERS[name](noise)
    path = tmp_path / name
    path.write_bytes(whole[: len(whole) // 2])
    after = tmp_path / "z.sgf"
    after.write_bytes(b"(;)")
    found, refused = read(path, after)
    assert found.pop(str(after)) == b"(;)"
    assert list(found.items()) == [(f"{path}/{label}", data) for label, data in list(noise.items())[: len(found)]]
    blocks = 900 * 1000 // 1536 if name.endswith("bz2") else 0  # bzip2 packs 900 kB at a time
    assert len(found) >= min(80, 100 - blocks)
    assert [item.name for item in refused] == [str(path)]


def test_a_tar_with_a_damaged_header(tmp_path: Path) -> None:
    data = bytearray(tar_bytes(GAMES))
    data[1024 * 5 + 100] ^= 0xFF
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    found, refused = read(path)
    assert list(found.values()) == list(GAMES.values())[:5]
    assert [item.name for item in refused] == [str(path)]
    assert "header" in refused[0].reason


@pytest.mark.parametrize("name", ["a.zip", "a.7z", "a.tar.gz", "a.tar.xz"])
def test_any_damage_is_reported_and_the_walk_goes_on(tmp_path: Path, name: str) -> None:
    whole = PACKERS[name](GAMES)
    path, after = tmp_path / name, tmp_path / "z.sgf"
    after.write_bytes(b"(;)")
    noticed, damaged = 0, 0
    for index in range(0, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 0x55]) + whole[index + 1 :])
        items = list(members([path, after]))
        assert items.pop() == Member(str(after), b"(;)")
        # Contents cannot be damaged unnoticed; gzip notices at its end, when they have been handed on.
        told = any(isinstance(item, Refused) for item in items)
        if not {item.data for item in items if isinstance(item, Member)} <= set(GAMES.values()):
            assert told
            assert name == "a.tar.gz"
            damaged += 1
        noticed += told
    assert noticed > 20
    assert damaged > 20 or name != "a.tar.gz"


def test_an_iteration_that_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a.7z"
    path.write_bytes(sevenzip_bytes({f"{number}.sgf": os.urandom(3000) for number in range(800)}))
    before = threading.active_count()
    for taken in (1, 300):
        walk = members([path])
        for _ in range(taken):
            assert isinstance(next(walk), Member)
        walk.close()
        assert threading.active_count() == before


def test_100000_members(tmp_path: Path) -> None:
    """A tar of 100,000 members, of which nothing piles up."""
    one = tar_bytes({"games/g.sgf": b"(;GM[1];B[aa])"})[:1024]
    path = tmp_path / "many.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(100):
            file.write(one * 1000)
        file.write(bytes(1024))
    count, piled_up = 0, 0
    for item in members([path]):
        assert isinstance(item, Member)
        count += len(item.data) == 14
        if count == 90_000:
            piled_up = sum(issubclass(type(kept), tarfile.TarInfo) for kept in gc.get_objects())  # isinstance would wake lazy objects
    assert count == 100_000
    assert 0 < piled_up < 10
