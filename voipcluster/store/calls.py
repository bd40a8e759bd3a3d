"""
The journal of established calls: a file to which is only appended, so that a process that was killed leaves what it had written.

One line a record: the CRC-32 of what follows in hex, a blank, and JSON. The JSON is a list of Call-ID, From tag and a table, or
null when the call has ended; a later table of the same call takes the place of the keys that it has. The first line names the
format.

A file of its own beside the database, for three reasons: it needs no sync, since the page cache outlives the process and calls do
not outlive the machine; a batch costs one write; and when it is damaged nothing but calls is lost.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import zlib
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from attrs import Factory, frozen

FORMAT = 1
NAME = "calls.journal"
MAX_LINE = 1 << 17  # octets of one record
GARBAGE = 4 << 20  # octets of records that are out of date, after which the file is written anew
_MAGIC = b"voipcluster calls "

Key = tuple[str, str]  # Call-ID and the From tag of the first INVITE
Change = tuple[Key, dict[str, Any] | None]


@frozen
class Loaded:
    """
    @ivar calls: what is known of each call, in the order in which they came.
    @ivar written: unix seconds of the last change; 0.0 when there is no journal.
    @ivar faults: one line a fault, for the log; the file is set aside then.
    """

    calls: dict[Key, dict[str, Any]] = Factory(dict)
    written: float = 0.0
    faults: tuple[str, ...] = ()


class Place(NamedTuple):
    """Where a record is in the file, and which keys its table has."""

    offset: int
    length: int
    names: frozenset[str]


class CallStore:
    """
    The journal in one state directory. All methods block: at the start in any thread, then in one at a time.

    @param path: of the file; C{path.set-aside} takes one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self._size = self._garbage = 0
        self._kept = 0  # of the garbage, what was there when the file could not be written anew
        self._places: dict[Key, list[Place]] = {}  # the records of a call that count
        self._names: dict[frozenset[str], frozenset[str]] = {}  # few, and shared by all places

    # -- reading

    def load(self) -> Loaded:
        """
        Read what the last process has left. The first L{write} takes its place, with what is to live on.

        What can be read of a damaged file counts. No fault keeps the node from starting: it is told in C{faults}.
        """
        try:
            with self._open_old() as file:
                written = os.fstat(file.fileno()).st_mtime
                calls, faults = self._read(file)
        except FileNotFoundError:
            return Loaded()
        except OSError as error:
            return Loaded(faults=(f"{self.path}: {error.strerror or error}", *self._set_aside()))
        if faults:
            faults += self._set_aside()
        return Loaded(calls, written, tuple(faults))

    def _open_old(self) -> BufferedReader:
        file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "not a file")
        return os.fdopen(file, "rb")

    def _read(self, file: BufferedReader) -> tuple[dict[Key, dict[str, Any]], list[str]]:
        head = file.readline(100)
        if not head.startswith(_MAGIC):
            return {}, [f"{self.path}: not a journal of calls"] if head else []
        if head != _head():
            version = head[len(_MAGIC) :].decode("ascii", "replace").strip()
            return {}, [
                f"{self.path}: format {version[:20]!r} is of another version of voipcluster, which reads {FORMAT}"
            ]
        calls: dict[Key, dict[str, Any]] = {}
        number, bad, first = 1, 0, 0
        while line := file.readline(MAX_LINE):
            number += 1
            if not line.endswith(b"\n") and not file.peek(1):
                break  # cut off in the middle of a write, as by kill -9
            found = _record(line)
            if found is None:
                bad, first = bad + 1, first or number
                continue
            key, table = found
            if table is None:
                calls.pop(key, None)
            elif "call" in table or key in calls:  # what is left of a call whose record is damaged is no call
                calls[key] = calls.get(key, {}) | table
        if not bad:
            return calls, []
        return calls, [f"{self.path}:{first}: damaged; {bad} of {number - 1} records are left out"]

    def _set_aside(self) -> tuple[str, ...]:
        aside = self.path.with_name(f"{self.path.name}.set-aside")
        try:
            os.replace(self.path, aside)
        except OSError as error:
            return (f"{aside}: {error.strerror}",)
        return (f"it is kept as {aside}",)

    # -- writing

    def write(self, changes: Sequence[Change]) -> None:
        """
        Append tables of calls, or their ends; of calls that were never written an end is nothing. The first time, begin anew.

        @raise OSError: the disk does not take it. Nothing counts as written then.
        """
        begins = self._file < 0
        if begins:
            self._file, self._size, self._garbage = self._create(), 0, 0
            self._kept = 0
        try:
            places, ended = self._append_all(_head() if begins else b"", changes)
            if begins:
                os.replace(self._new, self.path)
        except OSError:
            if begins:
                self.close()
            raise
        for key, place in places:
            if "call" in place.names:
                self._forget(key)
            known = self._places.setdefault(key, [])
            self._garbage += sum(old.length for old in known if old.names <= place.names)
            known[:] = [*(old for old in known if not old.names <= place.names), place]
        for key, length in ended:
            self._garbage += length
            self._forget(key)
        if self._garbage > self._kept + max(GARBAGE, self._size // 2):
            try:
                self._rewrite()
            except OSError:  # all is written; tried again when as much more is out of date, not at each write
                self._kept = self._garbage

    def touch(self) -> None:
        """Nothing has changed, and we live: the age of the file tells the next process how long nobody was here."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.utime(self._file)

    def close(self) -> None:
        """Let go of the file; a second call is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._places.clear()

    def _forget(self, key: Key) -> None:
        self._garbage += sum(place.length for place in self._places.pop(key, ()))

    @property
    def _new(self) -> Path:
        return self.path.with_name(f".{self.path.name}.new")

    def _create(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            self._new.unlink()
        return os.open(self._new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _append_all(
        self, head: bytes, changes: Sequence[Change]
    ) -> tuple[list[tuple[Key, Place]], list[tuple[Key, int]]]:
        """What was written, and where it is; and the calls that have ended, with the length of that."""
        out, places, ended = bytearray(head), list[tuple[Key, Place]](), list[tuple[Key, int]]()
        for key, table in changes:
            line = _line(key, table)
            too_large = len(line) > MAX_LINE
            if table is None or too_large:
                if key not in self._places:
                    continue
                if too_large:
                    line = _line(key, None)  # rather no call than one as it was before
                ended.append((key, len(line)))
            else:
                names = self._names.setdefault(frozenset(table), frozenset(table))
                places.append((key, Place(self._size + len(out), len(line), names)))
            out += line
        try:
            _write_all(self._file, out, self._size)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(out)
        return places, ended

    def _rewrite(self) -> None:
        """Only the records that count, in a new file that takes the place of the old one whole."""
        old, file = self._file, self._create()
        try:
            out, places = bytearray(_head()), dict[Key, list[Place]]()
            for key, kept in self._places.items():
                places[key] = []
                for place in kept:
                    places[key].append(place._replace(offset=len(out)))
                    out += os.pread(old, place.length, place.offset)
            _write_all(file, out, 0)
            os.replace(self._new, self.path)
        except OSError:
            os.close(file)
            with contextlib.suppress(OSError):
                self._new.unlink()
            raise
        self._file, self._size, self._garbage, self._places = file, len(out), 0, places
        self._kept = 0
        os.close(old)


def _head() -> bytes:
    return _MAGIC + b"%d\n" % FORMAT


def _line(key: Key, table: dict[str, Any] | None) -> bytes:
    text = json.dumps([*key, table], separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> Change | None:
    text = line[9:-1]
    try:
        if line[8:9] != b" " or int(line[:8], 16) != zlib.crc32(text):
            return None
        call_id, tag, table = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    if type(call_id) is not str or type(tag) is not str or not (table is None or type(table) is dict):
        return None
    return (call_id, tag), table


def _write_all(file: int, octets: bytes | bytearray, offset: int) -> None:
    left = memoryview(octets)
    while left:
        count = os.pwrite(file, left, offset)
        left, offset = left[count:], offset + count
