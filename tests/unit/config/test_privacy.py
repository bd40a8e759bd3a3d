"""Which files keep a secret: the mode of one that anybody has made, and of one that systemd hands to its service."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import privacy
from voipcluster.config.files import secret_of
from voipcluster.config.gateways import read_secret
from voipcluster.config.privacy import open_to_others
from voipcluster.errors import UsageError


class PrivacyTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        self.unit, self.other = folder / "credentials" / "v.service", folder / "credentials-of-nobody"
        for one in (self.unit, self.other):
            one.mkdir(parents=True)
        before = os.environ.pop("CREDENTIALS_DIRECTORY", None)
        if before is not None:
            self.addCleanup(os.environ.__setitem__, "CREDENTIALS_DIRECTORY", before)
        self.addCleanup(os.environ.pop, "CREDENTIALS_DIRECTORY", None)

    def is_open(self, path: Path, mode: int) -> bool:
        path.write_bytes(b"s3cret\n")
        path.chmod(mode)
        with path.open("rb") as file:
            return open_to_others(str(path), file)

    def test_owner_only(self) -> None:
        """A file anywhere is its owner's alone."""
        modes = (0o600, 0o400, 0o440, 0o620, 0o604, 0o602, 0o611)
        opened = [self.is_open(self.unit / f"{mode:o}", mode) for mode in modes]
        self.assertEqual(opened, [False, False, True, True, True, True, True])

    def test_credential(self) -> None:
        """In the directory of the service the group's bits are no matter; those of all others are."""
        os.environ["CREDENTIALS_DIRECTORY"] = str(self.unit)
        modes = (0o400, 0o440, 0o640, 0o444, 0o442, 0o441)
        opened = [self.is_open(self.unit / f"{mode:o}", mode) for mode in modes]
        self.assertEqual(opened, [False, False, False, True, True, True])
        self.assertTrue(self.is_open(self.other / "key", 0o440))
        self.assertTrue(self.is_open(self.unit / ".." / ".." / self.other.name / "key", 0o440))

    def test_where_systemd_keeps_them(self) -> None:
        """Who looks from a shell, without the environment of the service, is told the same; systemd.exec(5) has the path."""
        self.assertEqual(privacy.CREDENTIALS, "/run/credentials")
        self.patch(privacy, "CREDENTIALS", str(self.unit.parent))
        self.assertFalse(self.is_open(self.unit / "key", 0o440))
        self.assertTrue(self.is_open(self.other / "key", 0o440))

    def test_real_path(self) -> None:
        """What counts is where a file is: a link out of the directory makes none private, one into it leads to what is."""
        os.environ["CREDENTIALS_DIRECTORY"] = str(self.unit)
        outside, inside = self.other / "key", self.unit / "key"
        outward, inward = self.unit / "link", self.other / "link"
        outward.symlink_to(outside)
        inward.symlink_to(inside)
        self.is_open(outside, 0o440)
        self.is_open(inside, 0o440)
        self.assertTrue(self.is_open(outward, 0o440))
        self.assertFalse(self.is_open(inward, 0o440))
        os.environ["CREDENTIALS_DIRECTORY"] = str(self.other / "directory")
        (self.other / "directory").symlink_to(self.unit)
        self.assertFalse(self.is_open(inside, 0o440))

    def test_no_directory(self) -> None:
        """An empty, relative or boundless one is none."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.unit)
        for said in ("", ".", "/", "//", str(self.unit / "not-there")):
            os.environ["CREDENTIALS_DIRECTORY"] = said
            self.assertTrue(self.is_open(self.unit / "key", 0o440), said)

    def test_secrets(self) -> None:
        """Passwords of gateways and all other secrets are taken from there."""
        path = self.unit / "key"
        self.is_open(path, 0o440)
        for read in (read_secret, secret_of):
            self.assertIn("chmod 600", str(self.assertRaises(UsageError, read, str(path))))
        os.environ["CREDENTIALS_DIRECTORY"] = str(self.unit)
        self.assertEqual((read_secret(str(path)), secret_of(str(path))), ("s3cret", b"s3cret"))
