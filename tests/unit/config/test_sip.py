"""C{[sip]} and C{[auth]}."""

from __future__ import annotations

from tests.unit.config.section_case import SectionCase


class SipTests(SectionCase):
    def test_ranges(self) -> None:
        """Timer C is more than three minutes (RFC 3261 section 16.6), Min-SE at least 90 s (RFC 4028 section 4)."""
        self.assert_range("sip.timer_c", "180.1", "3600", "180", "3601")
        self.assert_range("sip.min_session_expires", "90", "86400", "89")
        self.assert_range("sip.t1", "0.01", "10", "0", "11")
        self.assert_range("sip.max_breadth", "1", "1000", "0")

    def test_times_of_a_registration(self) -> None:
        """The least is not above the default, that not above the most."""
        self.assertIn("sip.min_expires", self.refused("sip.min_expires=7200"))
        self.assertIn("sip.max_expires", self.refused("sip.max_expires=600"))
        self.taken("sip.max_expires=600", "sip.default_expires=600")

    def test_session_timer(self) -> None:
        """Off with 0; else not below its least."""
        self.taken("sip.session_expires=0", "sip.min_session_expires=1800")
        self.assertIn(
            "session_expires", self.refused("sip.session_expires=600", "sip.min_session_expires=1800")
        )


class AuthTests(SectionCase):
    def test_algorithms(self) -> None:
        self.assertEqual(self.taken('auth.algorithms=["MD5"]').auth.algorithms, ("MD5",))
        for wrong in ("[]", '["MD5", "MD5"]', '["SHA-512"]'):
            self.assertIn("auth.algorithms", self.refused(f"auth.algorithms={wrong}"))

    def test_range(self) -> None:
        self.assert_range("auth.nonce_lifetime", "1", "86400", "0")
