"""The phone on real sockets: two of them connected directly, and the one in a terminal at a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError

from demo.programs import Program
from tests.integration.harness import ClusterTestCase, IntegrationTestCase
from voipcluster.address import Hop
from voipcluster.phone import CallFailed, Phone, PhoneCall, RegistrationRefused

CHECKOUT = Path(__file__).parent.parent.parent


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
            self.assertIn("cannot register: ", str(refused))
            self.assertIn(f"{self.address(9)}:5060", str(refused))

    async def test_stopped_in_a_call(self) -> None:
        """Stopping ends a phone's calls without a word, and fails what it waits for."""
        alice, bob = self.pair()
        call = await alice.call("bob@example.com")
        waiting = self.make("carol", 3, Hop("UDP", *bob.address)).register()
        self.assertFailure(waiting, RegistrationRefused)
        await alice.stop()
        self.assertEqual(call.status, 503)
        self.assertEqual(len(bob.calls), 1)


class TerminalTests(ClusterTestCase):
    def terminal(self, user: str, *words: str) -> Program:
        """C{python -m voipcluster.phone}, as docs/phone.md has it: without an address of its own."""
        return self.python(
            *("-m", "voipcluster.phone", f"{user}@example.com", "--proxy", self.primary.address, *words),
            environment={"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"},
            stdin=f"{self.passwords[user]}\n",
        )

    async def test_interrupted_in_a_call(self) -> None:
        """Ctrl-C and SIGTERM in a call, or while it rings, end it for the other side, too, and the registration."""
        await self.start_cluster(nodes="a")
        await self.add_users("alice", "bob")
        bob = self.phone("bob", answer_after=None)
        came: list[PhoneCall] = []
        bob.incoming = came.append
        await bob.register()
        for signal, answered in (("INT", True), ("TERM", True), ("INT", False)):
            alice = self.terminal("alice", "--call", "bob@example.com", "--seconds", "60")
            await self.until(lambda: came, "bob is called")
            call = came.pop()
            if answered:
                bob.accept(call)
                await alice.saw(r"^call to bob@example.com: hears 1000 Hz")
            alice.send_signal(signal)
            self.assertEqual(await alice.ended(10), 130, alice.output)
            await call.when_ended()
            self.assertEqual(
                (call.status, call.reason), (200, "BYE received") if answered else (487, call.reason)
            )
            self.assertNotRegex(alice.output, r"Traceback|Unhandled|\b503\b")
            await self.until_gone("alice")

    async def until_gone(self, user: str) -> None:
        async def gone() -> bool:
            return not await self.primary.ask("registrations", aor=f"{user}@example.com")

        await self.until(gone, f"{user} is registered no more")

    async def test_wrong_password(self) -> None:
        """A refusal is one line and status 1."""
        await self.start_cluster(nodes="a")
        await self.add_users("alice")
        self.passwords["alice"] = "wrong"
        alice = self.terminal("alice")
        self.assertEqual(await alice.ended(10), 1)
        self.assertEqual(alice.output, "phone: registration refused: 401 Unauthorized\n")
