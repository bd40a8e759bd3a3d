"""Channels that answered calls hold."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.gateway import Gateway
from voipcluster.services.cluster.tallies import Tallies
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.gateway.channels import Channels
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import Call, CallTable

KEY = CallKey("call-1", "t1")


def call(gateway: str = "") -> Call:
    made = Call(
        KEY, "sip:alice@example.com", "sip:+49@example.com", "192.0.2.9:5060", "UDP", "", "a", (), 0.0
    )
    made.gateway_out = gateway
    return made


class ChannelsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls = CallTable()
        self.book = GatewayBook([Gateway("a"), Gateway("b")], Tallies(), lambda: 0.0)
        self.channels = Channels(self.book, self.calls)
        self.calls.adopted, self.calls.over = self.channels.adopt, self.channels.over

    def in_use(self, name: str) -> int:
        state = self.book.state(name)
        assert state is not None
        return state.channels

    def test_until_it_is_over(self) -> None:
        """What was seized stays in use until the call ends, at each gateway that has answered it."""
        self.calls.start(call())
        for name in ("a", "b"):
            self.book.seized(name)
            self.channels.hold(KEY, name)
        self.assertEqual((self.in_use("a"), self.in_use("b")), (1, 1))
        self.calls.end(KEY, "BYE of the caller")
        self.calls.end(KEY, "again")
        self.assertEqual((self.in_use("a"), self.in_use("b")), (0, 0))
        state = self.book.state("b")
        assert state is not None
        self.assertEqual(state.last_cause, "BYE of the caller")

    def test_no_such_call(self) -> None:
        """An answer for a call that is over already holds nothing."""
        self.book.seized("a")
        self.channels.hold(KEY, "a")
        self.assertEqual(self.in_use("a"), 0)

    def test_adopted(self) -> None:
        """A call of the last process holds its channel in this one."""
        self.calls.adopt(call("a"))
        self.assertEqual(self.in_use("a"), 1)
        self.calls.end(KEY, "BYE of the callee")
        self.assertEqual(self.in_use("a"), 0)
        self.calls.adopt(call())
        self.calls.end(KEY, "BYE of the callee")
        self.assertEqual(self.in_use("a"), 0)
