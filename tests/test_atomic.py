"""Files that are whole or not there: after a write, after one that fails, and while two write the same."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gopolicy import atomic


def test_the_new_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    atomic.write(tmp_path / "a", b"ne", memoryview(b"w"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="links as on POSIX")
def test_a_link_goes_on_to_lead_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").symlink_to("folder/a")
    atomic.write(tmp_path / "a", b"words")
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "folder" / "a").read_bytes() == b"words"
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]
    assert os.listdir(tmp_path / "folder") == ["a"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_what_the_disk_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """And the error names it, not the file beside it."""
    (tmp_path / "a").write_bytes(b"old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full", str(tmp_path / "hidden"))

    monkeypatch.setattr(*{"open": (Path, "open"), "fsync": (os, "fsync"), "replace": (os, "replace")}[step], refuse)
    with pytest.raises(OSError, match="full") as caught:
        atomic.write(tmp_path / "a", b"new")
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename, caught.value.filename2) == (errno.ENOSPC, str(tmp_path / "a"), None)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="links as on POSIX")
def test_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "folder").mkdir()
    for name, number in (("none/a", errno.ENOENT), ("round", errno.ELOOP), ("folder", errno.EISDIR)):
        with pytest.raises(OSError, match=name) as caught:
            atomic.write(tmp_path / name, b"")
        assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / name))
    assert sorted(os.listdir(tmp_path)) == ["folder", "round"]


def test_bytes_are_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the name before it returns, where folders can be written out; nothing stays open."""
    done: list[str] = []
    files: list[int] = []
    fsync, replace = os.fsync, os.replace

    def noted(file: int) -> None:
        done.append("folder" if os.path.samestat(os.fstat(file), os.stat(tmp_path)) else f"{os.fstat(file).st_size} bytes")
        files.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", lambda a, b: done.append("name") or replace(a, b))
    atomic.write(tmp_path / "a", b"words")
    assert done == ["5 bytes", "name", *["folder"] * (os.name == "posix")]
    for file in files:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)


def test_an_error_without_a_number_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError("strange")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=r"^strange$"):
        atomic.write(tmp_path / "a", b"new")


def test_a_file_beside_is_hidden_and_goes_unless_it_was_moved(tmp_path: Path) -> None:
    with atomic.beside(tmp_path / "a") as one, atomic.beside(tmp_path / "a") as two:
        assert one != two
        assert {path.name for path in tmp_path.iterdir()} == {one.name, two.name}
        assert all(path.name.startswith(".a.") and path.name.endswith(".part") for path in (one, two))
        two.replace(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="pipes as on POSIX")
def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    """Whoever may would put a file in the place of /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"it is no ordinary file.*pipe"):
        atomic.write(tmp_path / "pipe", b"new")
    assert (tmp_path / "pipe").is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
@pytest.mark.skipif(os.name != "posix", reason="folders are written out on POSIX alone")
def test_folders_that_cannot_be_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Network drives and folders that virtual machines share refuse it, some with another number than others."""
    fsync = os.fsync

    def refuse(file: int) -> None:
        if os.path.samestat(os.fstat(file), os.stat(tmp_path)):
            raise OSError(number, os.strerror(number))
        fsync(file)

    monkeypatch.setattr(os, "fsync", refuse)
    atomic.write(tmp_path / "a", b"words")
    assert (tmp_path / "a").read_bytes() == b"words"


@pytest.mark.parametrize("number", [5, 32])
def test_a_file_that_somebody_reads_on_windows_is_replaced_when_he_has_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refusals, replace = [0] * 3, os.replace

    def refuse(source: Path, target: str) -> None:
        if refusals:
            refusals.pop()
            error = PermissionError(errno.EACCES, "Access is denied", source, number, target)
            error.winerror = number  # type: ignore[attr-defined, unused-ignore]
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(atomic.time, "sleep", lambda seconds: None)
    atomic.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    refusals[:] = [0] * 1000
    with pytest.raises(PermissionError, match="Access is denied") as caught:
        atomic.write(tmp_path / "a", b"newer")
    assert caught.value.filename == str(tmp_path / "a")
    assert len(refusals) > 900, "not for ever"
    assert os.listdir(tmp_path) == ["a"]
