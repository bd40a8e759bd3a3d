"""What is kept of a password, and what is none."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.web import passwords
from voipcluster.web.passwords import SALT, check_password, hashed, is_hash, matches

SALTED = bytes(range(SALT))


class PasswordTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """The password is not in what is kept, the same one with another salt is kept otherwise, and only it matches."""
        kept = hashed("correct horse", SALTED)
        self.assertTrue(is_hash(kept))
        self.assertNotIn("horse", kept)
        self.assertNotEqual(kept, hashed("correct horse", bytes(SALT)))
        self.assertTrue(matches("correct horse", kept))
        for wrong in ("correct horsE", "", "correct horse ", "x" * 300, "\ud800 half a pair"):
            self.assertFalse(matches(wrong, kept), wrong)

    def test_published(self) -> None:
        """The function is scrypt: the first test vector of RFC 7914 section 12 that its size allows."""
        digest = passwords._scrypt("pleaseletmein", b"SodiumChloride", 14, 8, 1)
        self.assertTrue(digest.hex().startswith("7023bdcb3afd7348461c06cd81fd38eb"))

    def test_cost(self) -> None:
        """A try costs what makes guessing expensive, and not so much that it hurts calls."""
        before = time.process_time()
        matches("wrong password", hashed("correct horse", SALTED))
        self.assertTrue(0.02 < (time.process_time() - before) / 2 < 2.0)

    def test_accents(self) -> None:
        """An accent is the same one, however a keyboard or browser writes it (Unicode annex 15)."""
        self.assertTrue(matches("gru\u0308ne Wiese", hashed("gr\u00fcne Wiese", SALTED)))

    def test_none(self) -> None:
        """Too short, too long, or with what cannot be typed."""
        for bad in ("", "seven77", "x" * 257, "with a\ttab", "with a\x00nul", "line\nbreak"):
            self.assertRaises(UsageError, check_password, bad)
            self.assertRaises(UsageError, hashed, bad, SALTED)
        check_password("x" * 256)

    def test_damaged(self) -> None:
        """What is no hash matches nothing, and no damage makes a try take gigabytes."""
        kept = hashed("correct horse", SALTED)
        for damaged in (
            "",
            kept[:-1],
            kept.replace("ln=15", "ln=30"),
            kept.replace("p=1", "p=9"),
            kept + "\n",
            f"x{kept}",
        ):
            self.assertFalse(is_hash(damaged), damaged)
            self.assertFalse(matches("correct horse", damaged), damaged)
        self.assertFalse(matches("correct horse", kept.replace("ln=15", "ln=14")))
