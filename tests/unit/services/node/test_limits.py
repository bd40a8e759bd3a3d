"""From the options to the limits of a node."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request
from voipcluster.address import Flow
from voipcluster.config import load_config, parse_set
from voipcluster.errors import PeerError
from voipcluster.services.node.limits import limiting_of
from voipcluster.services.transaction.limiting import Limiting
from voipcluster.sip.limits import ADMITTED, BANNED

HERE, STRANGER = ("192.0.2.9", 5060), ("198.51.100.66", 5060)


class FewTransactions:
    """Forty of them, one of which waits for its answer."""

    def __len__(self) -> int:
        return 40

    def is_pending(self, key: tuple[str, ...]) -> bool:
        return key == ("waits", "MESSAGE")


class NodeLimitsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.transactions = FewTransactions()

    def limiting(self, *settings: str) -> Limiting:
        """As a node makes it that knows one other node, 192.0.2.2, and takes every request for one of a dialog."""
        node = SimpleNamespace(
            config=load_config(None, [parse_set(setting) for setting in settings]),
            core=SimpleNamespace(addresses={"b": ("192.0.2.2", 5060)}, canonical_aor=lambda uri: None),
            proxy=SimpleNamespace(is_in_dialog=lambda request: True),
            transactions=self.transactions,
            calls=range(60),
        )
        self.clock = Clock()
        return limiting_of(node, self.clock.seconds)

    def burst(self, limiting: Limiting, remote: tuple[str, int] = STRANGER) -> int:
        """How many requests at once are served, up to 5000."""
        return next((n for n in range(5000) if limiting.check(remote, 0.0) != ADMITTED), 5000)

    def test_defaults(self) -> None:
        """2,500 requests at once are served, then the source is banned for a minute; a node never is."""
        limiting = self.limiting()
        self.assertAlmostEqual(self.burst(limiting), 2500, delta=1)
        (ban,) = limiting.bans()
        self.assertEqual((ban.who, ban.left), ("198.51.100.66", 60.0))
        self.assertEqual(self.burst(limiting, ("192.0.2.2", 5060)), 5000)

    def test_options(self) -> None:
        """Each option has its effect."""
        limiting = self.limiting(
            "limits.requests_per_address=8", "limits.ban=7", 'limits.trusted=["203.0.113.0/24"]'
        )
        self.assertEqual(self.burst(limiting), 40)
        self.assertEqual([ban.left for ban in limiting.bans()], [7.0])
        self.assertEqual(self.burst(limiting, ("203.0.113.5", 5060)), 5000)
        self.assertEqual(self.burst(self.limiting("limits.requests_per_address=0")), 5000)
        guessed = self.limiting("limits.wrong_passwords_per_user=2", "limits.guess_ban=30")
        flow = Flow("UDP", HERE, STRANGER)
        for _ in range(2):
            self.assertTrue(guessed.may_try(flow, "bob@example.com"))
            guessed.failed(flow, "bob@example.com")
        self.assertFalse(guessed.may_try(flow, "bob@example.com"))
        self.clock.advance(30)
        self.assertTrue(guessed.may_try(flow, "bob@example.com"))

    def test_strangers(self) -> None:
        """What is held, and calls that are served, each by its own limit; without passwords nobody is a stranger."""
        few = "limits.transactions=100", "limits.calls=100", "limits.strangers=0.5"
        flow = Flow("UDP", HERE, STRANGER)
        limiting = self.limiting(*few)
        limiting.admit_stranger(flow, invite=True)
        self.assertRaises(PeerError, limiting.admit_call, flow)
        limiting = self.limiting(*few, "limits.transactions=60", "limits.calls=200")
        limiting.admit_call(flow)
        self.assertRaises(PeerError, limiting.admit_stranger, flow, invite=True)
        for more in ("limits.strangers=1", "auth.required=false", 'limits.trusted=["198.51.100.0/24"]'):
            limiting = self.limiting(*few, "limits.transactions=60", more)
            limiting.admit_stranger(flow, invite=True)
            limiting.admit_call(flow)

    def test_unanswered_requests(self) -> None:
        """What waits for an answer is asked of the transactions."""
        limiting, flow = (
            self.limiting("limits.unanswered_requests_per_address=1"),
            Flow("UDP", HERE, STRANGER),
        )
        limiting.stranger_waits(flow, ("over", "MESSAGE"))
        limiting.admit_stranger(flow, invite=False)
        limiting.stranger_waits(flow, ("waits", "MESSAGE"))
        error = self.assertRaises(PeerError, limiting.admit_stranger, flow, invite=False)
        self.assertEqual(error.status_hint, 503)
        limiting.admit_stranger(flow, invite=True)
        few = "limits.unanswered_of_strangers=1"
        for limiting, status in ((self.limiting(few), 503), (self.limiting(few, "auth.required=false"), 0)):
            limiting.stranger_waits(flow, ("waits", "MESSAGE"))
            if status:
                self.assertRaises(PeerError, limiting.admit_stranger, flow, invite=True)
            else:
                limiting.admit_stranger(flow, invite=True)

    def test_dialogs(self) -> None:
        """The node's own parts say what belongs to a dialog."""
        limiting = self.limiting("limits.requests_per_address=8")
        self.burst(limiting)
        flow = Flow("UDP", HERE, STRANGER)
        routed = request("BYE", headers=["Route: <sip:192.0.2.9;lr;call=x>"], to_tag="b")
        self.assertTrue(limiting.lets_in(BANNED, routed, flow, known=False))
        self.assertFalse(limiting.lets_in(BANNED, request("BYE", to_tag="b"), flow, known=False))
        self.assertEqual(limiting.refused, {"banned": 1})
