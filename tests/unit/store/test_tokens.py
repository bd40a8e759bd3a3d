"""Join tokens at the primary."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import PeerError, UsageError
from voipcluster.store.state import open_state
from voipcluster.store.tokens import JoinTokens


class Tokens(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = open_state(Path(self.mktemp()))
        self.addCleanup(self.state.close)
        self.tokens = JoinTokens(self.state)

    def why(self, secret: bytes, now: float) -> str:
        return str(self.assertRaises(PeerError, self.tokens.use, secret, now))

    def test_a_token_works_once(self) -> None:
        """The second node with the same token is told that it was used."""
        secret = self.tokens.create(100.0)
        self.tokens.use(secret, 101.0)
        self.assertIn("used", self.why(secret, 102.0))

    def test_a_token_for_many(self) -> None:
        """A token may be made for more than one node."""
        secret = self.tokens.create(100.0, uses=2)
        self.tokens.use(secret, 101.0)
        self.tokens.use(secret, 101.0)
        self.assertIn("used", self.why(secret, 102.0))

    def test_a_token_expires_after_an_hour(self) -> None:
        """Unless told otherwise, a token lives 3600 s."""
        secret = self.tokens.create(100.0)
        self.tokens.check(secret, 3699.0)
        self.assertIn("expired", self.why(secret, 3700.0))

    def test_an_unknown_token(self) -> None:
        """What was never made is unknown, not used or expired."""
        self.assertIn("unknown", self.why(b"x" * 16, 1.0))

    def test_tokens_survive_a_restart(self) -> None:
        """Uses and expiry are on the disk; the secret is not."""
        used, fresh = self.tokens.create(100.0), self.tokens.create(100.0)
        self.tokens.use(used, 101.0)
        self.assertNotIn(fresh, self.state.read("tokens.json"))
        self.assertNotIn(fresh.hex().encode(), self.state.read("tokens.json"))
        self.tokens = JoinTokens(self.state)
        self.assertIn("used", self.why(used, 102.0))
        self.tokens.use(fresh, 102.0)

    def test_old_ones_are_forgotten(self) -> None:
        """A day after it expired, a token is unknown, and takes no room."""
        secret = self.tokens.create(0.0)
        self.tokens.create(3600.0 + 86401.0)
        self.assertIn("unknown", self.why(secret, 3600.0 + 86402.0))

    def test_bad_limits_and_damage(self) -> None:
        """Lives and uses are bounded; a damaged file is named."""
        for ttl, uses in ((0, 1), (60, 0), (1e12, 1), (60, 100_000)):
            self.assertRaises(UsageError, self.tokens.create, 0.0, ttl, uses)
        for bad in (b"[]", b"rubbish", b'{"x": {}}'):
            self.state.write("tokens.json", bad)
            self.assertIn("tokens.json", str(self.assertRaises(UsageError, JoinTokens, self.state)))
