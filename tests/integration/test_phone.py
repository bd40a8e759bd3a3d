"""The phone on real sockets, without a cluster: two of them connected directly."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from tests.integration.harness import IntegrationTestCase
from voipcluster.address import Hop
from voipcluster.phone import CallFailed, Phone, PhoneCall, RegistrationRefused


class PhoneTests(IntegrationTestCase):
    def make(self, user: str, last: int, proxy: Hop, transport: str = "UDP", **options: Any) -> Phone:
        phone = Phone(
            self.reactor, user, "example.com", "secret", proxy, self.address(last), transport, **options
        )
        self.at_end(phone.stop)
        phone.start()
        return phone

    def pair(self, transport: str = "UDP", **options: Any) -> tuple[Phone, Phone]:
        """Alice, whose proxy is Bob, and Bob, whose options these are."""
        bob = self.make("bob", 2, Hop("UDP", self.address(9), 5060), transport, tone=700, **options)
        return self.make("alice", 1, Hop(transport, *bob.address), transport, tone=1200), bob

    async def call(self, transport: str) -> None:
        alice, bob = self.pair(transport)
        came: list[PhoneCall] = []
        bob.incoming = came.append
        call = await alice.call("bob@example.com")
        self.assertEqual(came[0].caller, "sip:alice@example.com")
        await self.until(lambda: (call.heard_hz, came[0].heard_hz) == (700, 1200), "both hear each other")
        await call.hang_up()
        await came[0].when_ended()
        self.assertEqual((call.status, came[0].status, came[0].reason), (200, 200, "BYE received"))
        self.assertEqual((alice.calls, bob.calls), ({}, {}))

    async def test_udp(self) -> None:
        """Both hear the tone of the other one over UDP, and a BYE ends it for both."""
        await self.call("UDP")

    async def test_tcp(self) -> None:
        """The same with SIP over TCP."""
        await self.call("TCP")

    async def test_busy(self) -> None:
        """A phone that has no room for a further call says 486."""
        alice, bob = self.pair(capacity=1)
        await alice.call("bob@example.com")
        failure = await self.assertFailure(alice.call("bob@example.com"), CallFailed)
        self.assertEqual(failure.status, 486)
        self.assertEqual(len(bob.calls), 1)

    async def test_hung_up_while_ringing(self) -> None:
        """Cancelling the Deferred of a call cancels the call."""
        alice, bob = self.pair(answer_after=None)
        calling = alice.call("bob@example.com")
        await self.until(lambda: [call for call in alice.calls.values() if call.ringing], "it rings")
        ours, theirs = next(iter(alice.calls.values())), next(iter(bob.calls.values()))
        calling.cancel()
        await self.assertFailure(calling, CancelledError)
        await ours.when_ended()
        self.assertEqual((ours.status, theirs.status, theirs.up), (487, 487, False))

    async def test_answered_by_hand(self) -> None:
        """Without a time to answer after, a call waits for C{accept} or C{reject}."""
        alice, bob = self.pair(answer_after=None)
        bob.incoming = bob.accept
        self.assertTrue((await alice.call("bob@example.com")).up)
        for call in list(alice.calls.values()):
            await call.hang_up()
        bob.incoming = lambda call: bob.reject(call, 603)
        failure = await self.assertFailure(alice.call("bob@example.com"), CallFailed)
        self.assertEqual(failure.status, 603)

    async def test_nobody_there(self) -> None:
        """Where nobody listens, registering and calling fail at once with 503: the system says so."""
        for transport in ("UDP", "TCP"):
            alone = self.make("alone", 3, Hop(transport, self.address(9), 5060), transport)
            refused = await self.assertFailure(alone.register(), RegistrationRefused)
            failed = await self.assertFailure(alone.call("bob@example.com"), CallFailed)
            self.assertEqual((refused.status, failed.status), (503, 503))

    async def test_stopped_in_a_call(self) -> None:
        """Stopping ends a phone's calls without a word, and fails what it waits for."""
        alice, bob = self.pair()
        call = await alice.call("bob@example.com")
        waiting = self.make("carol", 3, Hop("UDP", *bob.address)).register()
        self.assertFailure(waiting, RegistrationRefused)
        await alice.stop()
        self.assertEqual(call.status, 503)
        self.assertEqual(len(bob.calls), 1)
