"""The journal of calls: what was written is there again, damage is told and costs no more than what it hit."""

from __future__ import annotations

import os
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.store import calls
from voipcluster.store.calls import NAME, CallStore, Key, Loaded

ONE, TWO, THREE = ("1@h", "a"), ("2@h", "b"), ("3@h\udcff", "c\u00e4\n")


def table(number: int, **more: Any) -> dict[str, Any]:
    return {"call": {"n": number}, **more}


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / NAME
        self.store = self.open()

    def open(self) -> CallStore:
        store = CallStore(self.path)
        self.addCleanup(store.close)
        return store

    def again(self) -> Loaded:
        """What another process finds: nothing was closed or flushed before."""
        return self.open().load()

    def calls(self) -> dict[Key, dict[str, Any]]:
        loaded = self.again()
        self.assertEqual(loaded.faults, ())
        return loaded.calls

    def write_octets(self, octets: bytes) -> None:
        self.path.write_bytes(octets)

    def test_nothing_there(self) -> None:
        """The first start of a node finds no calls, and that is no fault."""
        self.assertEqual(self.store.load(), Loaded())

    def test_calls_come_back(self) -> None:
        """Tables of several writes, the last one of each call, without those that have ended; any text is a Call-ID."""
        self.store.write([(ONE, table(1)), (TWO, table(2))])
        self.store.write([(THREE, table(3)), (ONE, table(4, traffic=[5])), (TWO, None)])
        self.assertEqual(self.calls(), {ONE: table(4, traffic=[5]), THREE: table(3)})
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_a_part_of_a_table(self) -> None:
        """A later table takes the place of the keys that it has; without a call it is nothing."""
        self.store.write([(ONE, table(1, traffic=[1]))])
        self.store.write([(ONE, {"traffic": [2]})])
        self.store.write([(ONE, {"traffic": [3]}), (TWO, {"traffic": [9]})])
        self.assertEqual(self.calls(), {ONE: table(1, traffic=[3])})

    def test_the_first_write_replaces(self) -> None:
        """Until the new process has said what lives on, the old file stays; then nothing of it is left."""
        self.store.write([(ONE, table(1)), (TWO, table(2))])
        second = self.open()
        second.load()
        self.assertEqual(self.calls(), {ONE: table(1), TWO: table(2)})
        second.write([(TWO, table(2))])
        self.assertEqual(self.calls(), {TWO: table(2)})
        third = self.open()
        third.load()
        third.write([])
        self.assertEqual(self.calls(), {})

    def test_the_end_of_the_unknown(self) -> None:
        """A call that was over before it was written leaves no octet."""
        self.store.write([])
        size = self.path.stat().st_size
        self.store.write([(ONE, None)])
        self.assertEqual(self.path.stat().st_size, size)

    def test_cut_off(self) -> None:
        """A record that kill -9 cut off is left out without a word, wherever it was cut."""
        self.store.write([(ONE, table(1)), (TWO, table(2))])
        whole = self.path.read_bytes()
        for end in range(whole.index(b"\n", 40) + 1, len(whole)):
            self.write_octets(whole[:end])
            self.assertEqual(self.calls(), {ONE: table(1)}, end)

    def test_damage(self) -> None:
        """One line tells of damaged records, which are left out; the file is kept for whoever wants to look."""
        self.store.write([(ONE, table(1)), (TWO, table(2)), (THREE, table(3))])
        lines = self.path.read_bytes().splitlines(keepends=True)
        lines[2] = lines[2].replace(b'"n":2', b'"n":8')
        damaged = b"".join(lines)
        self.write_octets(damaged)
        loaded = self.again()
        self.assertEqual(loaded.calls, {ONE: table(1), THREE: table(3)})
        aside = self.path.with_name(f"{NAME}.set-aside")
        self.assertEqual(
            loaded.faults,
            (f"{self.path}:3: damaged; 1 of 3 records are left out", f"it is kept as {aside}"),
        )
        self.assertEqual(aside.read_bytes(), damaged)
        self.assertFalse(self.path.exists())

    def test_records_that_are_none(self) -> None:
        """A good checksum does not make a record of what has another shape."""
        self.store.write([(ONE, table(1))])
        good = self.path.read_bytes()
        for text in (b"{}", b"[1,2,3]", b'["a","b"]', b'["a","b",7]', b"[" * 3000, b"\xff", b""):
            line = b"%08x %s\n" % (calls.zlib.crc32(text), text)
            self.write_octets(good + line)
            loaded = self.again()
            self.assertEqual(loaded.calls, {ONE: table(1)}, text)
            self.assertEqual(len(loaded.faults), 2, text)

    def test_foreign_content(self) -> None:
        """Whatever lies there in place of a journal is set aside, and a new one can be written."""
        for octets in (b"SQLite format 3\0", b"\xff" * 300_000, b"voipcluster call", b"\n"):
            self.write_octets(octets)
            store = self.open()
            loaded = store.load()
            self.assertEqual(loaded.calls, {})
            self.assertEqual(loaded.faults[0], f"{self.path}: not a journal of calls")
            store.write([(ONE, table(1))])
            self.assertEqual(self.calls(), {ONE: table(1)})

    def test_another_version(self) -> None:
        """A journal of a later version says so, and is kept for it."""
        self.write_octets(b'voipcluster calls 2\n00000000 ["a","b",{}]\n')
        loaded = self.again()
        self.assertEqual(loaded.calls, {})
        self.assertIn("format '2' is of another version of voipcluster", loaded.faults[0])
        self.assertTrue(self.path.with_name(f"{NAME}.set-aside").exists())

    def test_no_file(self) -> None:
        """A link, a folder or a pipe in its place is not followed, not read, and not waited for."""
        elsewhere = self.path.with_name("elsewhere")
        elsewhere.write_bytes(b"voipcluster calls 1\n")
        makers: list[Any] = [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(elsewhere)]
        for make in makers:
            make(self.path)
            loaded = self.again()
            self.assertEqual(loaded.calls, {})
            self.assertEqual(len(loaded.faults), 2)
            aside = self.path.with_name(f"{NAME}.set-aside")
            aside.rmdir() if aside.is_dir() and not aside.is_symlink() else aside.unlink()

    def test_written_anew(self) -> None:
        """What is out of date does not fill the disk: the file is written anew, with all that counts."""
        self.patch(calls, "GARBAGE", 4000)
        expected: dict[Key, dict[str, Any]] = {}
        for number in range(300):
            key = (f"{number}@h", "a")
            self.store.write([(key, table(number))])
            self.store.write([(key, {"latches": number, "traffic": [0]})])
            self.store.write([(key, {"traffic": [number]})])
            expected[key] = table(number, latches=number, traffic=[number])
            if number % 3:
                self.store.write([(key, None)])
                del expected[key]
        self.assertEqual(self.calls(), expected)
        self.assertLess(self.path.stat().st_size, 4000 + 2 * 250 * len(expected))

    def test_no_room_to_write_anew(self) -> None:
        """Where a second file has no room, the first one grows on, and nothing is written to it twice."""
        self.patch(calls, "GARBAGE", 100)
        new = self.path.with_name(f".{NAME}.new")
        self.store.write([(ONE, table(1))])
        new.mkdir()
        for number in range(9):
            self.store.write([(ONE, table(number))])
        self.assertEqual(self.calls(), {ONE: table(8)})
        size = self.path.stat().st_size
        new.rmdir()
        real = os.pwrite

        def full(file: int, octets: Any, offset: int) -> int:
            nonlocal tries
            if offset == 0:
                tries += 1
                real(file, octets[:20], offset)
                raise OSError(28, "No space left on device")
            return real(file, octets, offset)

        tries = 0
        self.patch(os, "pwrite", full)
        while not tries:
            self.store.write([(ONE, table(9))])
        self.assertFalse(new.exists(), "half of a file keeps room from others")
        self.patch(os, "pwrite", real)
        while self.path.stat().st_size >= size:
            self.store.write([(ONE, table(10))])
        self.assertEqual(self.calls(), {ONE: table(10)})

    def test_a_disk_that_stays_full(self) -> None:
        """Writing the file anew is tried again when as much more is out of date as led to it at first, not at each write."""
        self.patch(calls, "GARBAGE", 1000)
        created: list[int] = []
        self.store.write([(ONE, table(1))])

        def no_room() -> int:
            created.append(self.path.stat().st_size)
            raise OSError(28, "No space left on device")

        self.patch(self.store, "_create", no_room)
        for number in range(400):
            self.store.write([(ONE, table(number))])
        self.assertEqual(self.calls(), {ONE: table(399)})
        apart = [later - earlier for earlier, later in pairwise(created)]
        self.assertGreater(len(apart), 1)
        self.assertGreater(min(apart), 1000)

    def test_a_disk_that_is_full(self) -> None:
        """What could not be written whole is not there, and can be written later."""
        self.store.write([(ONE, table(1))])
        real = os.pwrite

        def full(file: int, octets: Any, offset: int) -> int:
            real(file, octets[:20], offset)
            raise OSError(28, "No space left on device")

        self.patch(os, "pwrite", full)
        self.assertRaises(OSError, self.store.write, [(TWO, table(2))])
        self.patch(os, "pwrite", real)
        self.assertEqual(self.calls(), {ONE: table(1)})
        self.store.write([(TWO, table(2))])
        self.assertEqual(self.calls(), {ONE: table(1), TWO: table(2)})

    def test_no_disk_at_first(self) -> None:
        """A folder that cannot be written to is an error each time, until it can."""
        missing = self.path.parent / "missing"
        store = CallStore(missing / NAME)
        self.assertRaises(OSError, store.write, [(ONE, table(1))])
        missing.mkdir()
        store.write([(ONE, table(1))])
        self.addCleanup(store.close)
        self.assertEqual(CallStore(missing / NAME).load().calls, {ONE: table(1)})

    def test_how_long_ago(self) -> None:
        """The time of the last sign of life is that of the file."""
        self.store.write([(ONE, table(1))])
        os.utime(self.path, (1000.0, 1000.0))
        self.assertEqual(self.again().written, 1000.0)
        self.store.touch()
        self.assertGreater(self.again().written, 1e9)

    def test_too_large(self) -> None:
        """A table beyond all measure is left out, and its end with it."""
        self.store.write([(ONE, table(1)), (TWO, table(2, text="x" * calls.MAX_LINE))])
        self.store.write([(TWO, None)])
        self.assertEqual(self.calls(), {ONE: table(1)})

    def test_grown_too_large(self) -> None:
        """Nobody goes on with a call as it was before it grew beyond all measure."""
        self.store.write([(ONE, table(1)), (TWO, table(2))])
        self.store.write([(TWO, table(2, text="x" * calls.MAX_LINE))])
        self.assertEqual(self.calls(), {ONE: table(1)})
        self.store.write([(TWO, table(3))])
        self.assertEqual(self.calls(), {ONE: table(1), TWO: table(3)})
