"""Sessions: how long they last, what ends them, and that nobody else makes one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config.options import options
from voipcluster.web import sessions as sessions_module
from voipcluster.web.sessions import LONGEST, NUMBER, Session, Sessions

KEY, PASSWORD = bytes(range(32)), "$scrypt$one"
NOW = 1_700_000_000.5


def number(n: int) -> bytes:
    return n.to_bytes(NUMBER, "big")


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sessions = Sessions(KEY, 3600.0)
        self.session = self.sessions.open(NOW, PASSWORD, number(1))

    def check(self, session: Session, now: float = NOW, password: str = PASSWORD, key: bytes = KEY) -> bool:
        """At another node, which has only the key."""
        return Sessions(key, 3600.0).check(session.token, now, password) == session

    def test_it_lasts(self) -> None:
        """It holds at every node until its time is over."""
        self.assertTrue(self.check(self.session))
        self.assertEqual(self.session.until, 1_700_003_600)
        self.assertTrue(self.check(self.session, NOW + 3599))
        self.assertFalse(self.check(self.session, NOW + 3600))

    def test_other_password(self) -> None:
        """Another password, or none, ends all sessions; so does another cluster."""
        self.assertFalse(self.check(self.session, password="$scrypt$two"))
        self.assertFalse(self.check(self.session, password=""))
        self.assertFalse(self.check(self.session, key=bytes(32)))
        nobody = self.sessions.open(NOW, "", number(2))
        self.assertFalse(self.check(nobody, password=""))

    def test_made_up(self) -> None:
        """A token that was changed in one place is none, and neither is anything else."""
        token = self.session.token
        for at in range(len(token)):
            other = "A" if token[at] != "A" else "B"
            self.assertIsNone(self.sessions.check(f"{token[:at]}{other}{token[at + 1 :]}", NOW, PASSWORD), at)
        for wrong in ("", "x", token[:-1], token + "A", "\xff" * 40, token.upper(), "A" * 10_000):
            self.assertIsNone(self.sessions.check(wrong, NOW, PASSWORD), wrong[:80])

    def test_log_out(self) -> None:
        """A session that was ended is none; the others go on, and its number is forgotten when it would have ended."""
        other = self.sessions.open(NOW, PASSWORD, number(2))
        self.sessions.end(self.session.number, self.session.until, NOW)
        self.assertIsNone(self.sessions.check(self.session.token, NOW + 1, PASSWORD))
        self.assertEqual(self.sessions.check(other.token, NOW + 1, PASSWORD), other)
        self.sessions.end(other.number, other.until, NOW + 3602)
        self.assertEqual(list(self.sessions.ended), [other.number])

    def test_log_out_after_sessions_became_shorter(self) -> None:
        """An open session keeps its time, so its end is remembered as long, whatever new ones last."""
        self.sessions.lifetime = 60.0
        self.sessions.end(self.session.number, self.session.until, NOW)
        self.sessions.end(number(2).hex(), NOW + 200, NOW + 100)
        self.assertIsNone(self.sessions.check(self.session.token, NOW + 101, PASSWORD))

    def test_bounded(self) -> None:
        """What another node tells is kept no longer than any session lasts, and not without number."""
        self.patch(sessions_module, "MOST_ENDED", 3)
        for n in range(9):
            self.sessions.end(number(n).hex(), 1e300, NOW)
        self.assertEqual(len(self.sessions.ended), 3)
        later = NOW + LONGEST + 2
        self.sessions.end(number(9).hex(), later + 9000, later)
        self.assertEqual(list(self.sessions.ended), [number(9).hex()])

    def test_longest(self) -> None:
        """That is as long as the configuration lets a session last."""
        [kind] = [option.kind for option in options() if option.name == "web.session"]
        self.assertEqual(kind.take(LONGEST), LONGEST)
        self.assertRaises(ValueError, kind.take, LONGEST + 1)

    def test_form_token(self) -> None:
        """That of one session is not good for another one, and cannot be made of what the cookie says."""
        other = self.sessions.open(NOW, PASSWORD, number(2))
        token = self.sessions.form_token(self.session)
        self.assertTrue(self.sessions.is_form_token(self.session, token))
        for session, wrong in (
            (other, token),
            (self.session, ""),
            (self.session, self.session.token),
            (self.session, "é"),
        ):
            self.assertFalse(self.sessions.is_form_token(session, wrong), wrong)
