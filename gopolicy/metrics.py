"""What a training run leaves to look at: ``metrics.jsonl``, TensorBoard's event file, and ``curves.png``.

A record is a flat JSON object with ``kind`` (``"train"``, ``"validation"`` …), ``step`` and numbers.

TensorBoard's files are written here, without TensorBoard: a record of that format is a length, a checksum, an ``Event`` message
and a checksum (tensorflow/core/lib/io/record_writer.cc), and an ``Event`` of one number is a few bytes of protocol buffer
(tensorflow/core/util/event.proto, summary.proto). Numbers get the tag ``kind/name``.
"""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from gopolicy import atomic
from gopolicy.errors import GoPolicyError, naming

DRAWN = {"kind", "positions", "loss", "top1"}  # of a record


class Metrics:
    """Appends records to the files of a run folder.

    With ``keep`` only that many bytes of an earlier ``metrics.jsonl`` stay, as ``position()`` gave them when the state that the
    run goes on from was saved; TensorBoard is told to forget what came after ``step``.
    """

    def __init__(self, folder: Path, *, keep: int = 0, step: int = 0) -> None:
        self._path = folder / "metrics.jsonl"
        self._file = open(self._path, "ab")  # noqa: SIM115 - closed by close()
        self._file.truncate(min(keep, self._file.seek(0, os.SEEK_END)))
        self._file.seek(0, os.SEEK_END)
        name = f"events.out.tfevents.{time.time_ns() // 1000}.{socket.gethostname()}.{os.getpid()}"
        self._events_path = folder / name
        self._events = open(self._events_path, "ab")  # noqa: SIM115
        with naming(self._events_path):
            self._events.write(_record(_event(file_version="brain.Event:2")))
            if step:
                self._events.write(_record(_event(step=step + 1, restart=True)))
            self._events.flush()

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Adds a record; numbers go to TensorBoard as well. Both are in the operating system's hands when this returns."""
        with naming(self._path):
            self._file.write(json.dumps({"kind": kind, "step": step, **values}).encode() + b"\n")
            self._file.flush()
        with naming(self._events_path):
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._events.write(_record(_event(step=step, tag=f"{kind}/{name}", value=float(value))))
            self._events.flush()

    def position(self) -> int:
        """Bytes of ``metrics.jsonl`` so far, all of them on the disk."""
        with naming(self._path):
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        with naming(self._path):  # what a full disk did not take is tried once more
            self._file.close()
        with naming(self._events_path):
            self._events.close()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The records of a run, oldest first; a last line that is not finished is left out. Raises GoPolicyError for a line that is none."""
    path, records = folder / "metrics.jsonl", []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            records.append(json.loads(line))
            if not records[-1].keys() >= DRAWN:
                raise ValueError
        except (ValueError, AttributeError):
            raise GoPolicyError(f"line {number} of {path} is damaged: take it out") from None
    return records


def draw(folder: Path) -> None:
    """Draws ``curves.png`` from ``metrics.jsonl``: loss and accuracy of training and validation, once there is something to draw."""
    records = read(folder)
    train = [record for record in records if record["kind"] == "train"]
    validation = [record for record in records if record["kind"] == "validation"]
    if not train and not validation:
        return
    # Imported here, and without pyplot: training must not need a screen, nor matplotlib before there is a curve.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, 2)
    unit, word = (1e6, "millions") if records[-1]["positions"] >= 1e6 else (1e3, "thousands")
    for axis, name, label, scale in ((axes[0], "loss", "cross-entropy (nats)", 1.0), (axes[1], "top1", "moves predicted (%)", 100.0)):
        if train:
            seen = [record["positions"] / unit for record in train]
            axis.plot(seen, [scale * record[name] for record in train], color="0.6", lw=1, label="training (not averaged)")
        if validation:
            seen, values = [record["positions"] / unit for record in validation], [scale * record[name] for record in validation]
            last = f"{values[-1]:.1f} %" if name == "top1" else f"{values[-1]:.3f}"
            axis.plot(seen, values, color="black", marker="o", ms=3, lw=1.2, label=f"validation (averaged weights), last {last}")
        axis.set_xlabel(f"positions seen ({word})")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    atomic.write(folder / "curves.png", picture.getvalue())


def _event(*, step: int = 0, tag: str = "", value: float = 0.0, file_version: str = "", restart: bool = False) -> bytes:
    """The ``Event`` message: wall_time = 1, step = 2, file_version = 3, summary = 5 {value = 1 {tag = 1, simple_value = 2}},
    session_log = 7 {status = 1}, where status START (1) makes TensorBoard drop later steps of earlier files."""
    message = b"\x09" + struct.pack("<d", time.time())
    if step:
        message += b"\x10" + _varint(step)
    if file_version:
        message += _bytes(3, file_version.encode())
    if tag:
        message += _bytes(5, _bytes(1, _bytes(1, tag.encode()) + b"\x15" + struct.pack("<f", value)))
    if restart:
        message += _bytes(7, b"\x08\x01")
    return message


def _bytes(field: int, payload: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", _masked(length)) + payload + struct.pack("<I", _masked(payload))


def _masked(data: bytes) -> int:
    crc = _crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli); ``zlib.crc32`` has another polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()
