"""Paths of sockets, also those that are too long for an address of one."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.paths import ADMIN_SOCKET, DEFAULT_STATE_DIR, ShortPath

SUN_PATH = 108  # octets of sockaddr_un with the final zero, unix(7)


class ShortPathTests(SynchronousTestCase):
    def deep(self, length: int) -> Path:
        """A directory whose socket has a path of at least that length."""
        path = Path(self.mktemp()).absolute()
        while len(os.fsencode(path / ADMIN_SOCKET)) < length:
            path /= "directory"
        path.mkdir(parents=True)
        return path

    def test_a_short_path_is_itself(self) -> None:
        """Nothing is opened for it: the directory need not even be there."""
        before = len(os.listdir("/proc/self/fd"))
        path = Path("/tmp") / "no-such-directory" / ADMIN_SOCKET
        with ShortPath(path) as text:
            self.assertEqual(text, str(path))
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_a_long_path_is_the_same_file(self) -> None:
        """By way of an open directory it fits into the address and names the same file."""
        path = self.deep(200) / ADMIN_SOCKET
        path.write_text("here")
        with ShortPath(path) as text:
            self.assertLess(len(os.fsencode(text)), SUN_PATH)
            self.assertEqual(Path(text).read_text(), "here")
            Path(text).with_name("other").write_text("there")
        self.assertEqual(path.with_name("other").read_text(), "there")

    def test_octets_count_and_not_characters(self) -> None:
        """A path of 80 characters may have 160 octets."""
        parent = Path(self.mktemp()).absolute() / ("\u00e4" * 60)
        parent.mkdir(parents=True)
        path = parent / ADMIN_SOCKET
        with ShortPath(path) as text:
            self.assertLess(len(os.fsencode(text)), SUN_PATH)

    def test_closing_gives_the_descriptor_back(self) -> None:
        """Once and again, and at the end of a with statement that fails."""
        before = sorted(os.listdir("/proc/self/fd"))
        short = ShortPath(self.deep(150) / ADMIN_SOCKET)
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before) + 1)
        short.close()
        short.close()
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))
        with self.assertRaises(KeyError), ShortPath(self.deep(150) / ADMIN_SOCKET):
            raise KeyError
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))

    def test_a_long_path_without_its_directory(self) -> None:
        """The caller is told what is missing."""
        path = self.deep(150) / "missing" / ADMIN_SOCKET
        error = self.assertRaises(FileNotFoundError, ShortPath, path)
        self.assertIn("missing", str(error))

    def test_names(self) -> None:
        """The names that README and systemd unit use."""
        self.assertEqual((DEFAULT_STATE_DIR, ADMIN_SOCKET), ("voipcluster-state", "admin.sock"))
