"""The relay's ports are not used up by calls that nobody answers, nor by one of many (attack M8, docs/security.md)."""

from __future__ import annotations

import contextlib
import re

from tests.conformance.case import ConformanceTestCase, Message, Peer
from tests.conformance.marks import attack
from tests.conformance.shared_node import EmbeddedNode
from tests.conformance.wire import Message as Wire

_CALLS = 2000
_ANY = ("limits.unanswered_calls_per_address=0", "limits.requests_per_address=0")
_FAST = ("sip.t1=0.05", "media.quarantine=0")
_USERSPACE = "media.relay=userspace"


def _set(*settings: str) -> tuple[str, ...]:
    return tuple(word for setting in settings for word in ("--set", setting))


def by_kernel(options: tuple[str, ...]) -> tuple[str, ...]:
    """The same options where the kernel relays."""
    return tuple("media.relay=kernel" if word == _USERSPACE else word for word in options)


class PortsTestCase(ConformanceTestCase):
    async def refusals(self) -> float:
        return (await self.node.numbers())['voipcluster_refused_total{limit="media ports"}']

    def ringing(self, callee: Peer) -> None:
        """The callee only ever rings, and lets a CANCEL end that."""

        def rings(message: Wire) -> None:
            if message.method == "INVITE":
                callee.reply(message, 180)
            elif message.method == "CANCEL":
                callee.reply(message, 200)

        callee.on_message = rings

    async def reached(self, callee: Peer, invite: Message) -> Message:
        """The INVITE as it arrives, or a copy of it."""
        return await callee.expect("INVITE", where=lambda message: message.call_id == invite.call_id)

    async def burst(self, caller: Peer, calls: int, most: int = 50) -> None:
        """Many INVITEs, so many at a time."""
        prober = self.udp("prober", port=0)
        for number in range(calls):
            caller.send(caller.invite("bob"))
            if number % most == most - 1:  # answered in any way: what came before it was read
                await self.answered(prober, prober.request("OPTIONS", f"sip:{self.node_uri_host}"))

    async def answered(self, prober: Peer, options: Message) -> None:
        """Send a request, and copies while it is not answered: a full buffer of the node has no place for it (Timer E)."""
        for _ in range(9):
            with contextlib.suppress(self.failureException):
                await prober.exchange(options, 1.0)
                return
        self.fail("no answer to OPTIONS, nor to its copies")


class ShareTests(PortsTestCase):
    """One address, and one user, may have a quarter of 40 pairs: ten, for five calls."""

    options = _set(
        *_ANY, *_FAST, _USERSPACE, "media.ports=44000-44079",
        "limits.media_ports_per_address=0.25", "limits.media_ports_per_user=0.1",
    )  # fmt: skip

    @attack("M8")
    async def test_one_address(self) -> None:
        """Callers of one address hear 503 from the sixth call on; another address has its own share; what ends makes room."""
        base, refused = await self.counts(), await self.refusals()
        alice, carol, bob = self.udp("alice"), self.udp("carol"), await self.phone("bob")
        invites = [alice.invite("bob") for _ in range(7)]
        for invite in invites:
            alice.send(invite)
        for _ in range(2):
            refusal = await alice.expect(503, "INVITE")
            self.assertIn(refusal.call_id, [invite.call_id for invite in invites[5:]])
        ringing = [await self.reached(bob, invite) for invite in invites[:5]]
        self.assertEqual(await self.refusals() - refused, 2)
        other = carol.invite("bob")
        carol.send(other)
        bob.reply(await self.reached(bob, other), 486)
        self.assertEqual((await carol.final(other)).status, 486)
        for invite in ringing:
            bob.reply(invite, 486)
        for invite in invites[:5]:
            alice.ack(invite, await alice.final(invite))
        again = alice.invite("bob")
        alice.send(again)
        bob.reply(await self.reached(bob, again), 486)
        self.assertEqual((await alice.final(again)).status, 486)
        await self.returns_to(base, 30.0)
        self.assertTrue(re.search(r"address 127\S+ holds 10 pairs of media ports", self.node.program.output))


class UserShareTests(PortsTestCase):
    """One user may have a tenth of 40 pairs."""

    auth = True
    options = ShareTests.options

    @attack("M8")
    async def test_one_user(self) -> None:
        """A user hears 503 to the third call, from whatever address; another one calls from the same."""
        await self.add_users("alice", "dave")
        bob = await self.phone("bob")
        alice = self.udp("alice")
        elsewhere, dave = self.udp("alice"), self.udp("dave", host=alice.host, port=5070)
        statuses = []
        for caller in (alice, elsewhere, alice, dave):
            invite = caller.invite("bob")
            challenge = await caller.exchange(invite)
            again = self.authorized(caller, invite, challenge)
            caller.send(again)
            status = 0
            if caller is alice and 180 in statuses:
                status = (await caller.final(again)).status
            else:
                bob.reply(await self.reached(bob, again), 180)
                status = (await caller.expect(180)).status
            statuses.append(status)
        self.assertEqual(statuses, [180, 180, 503, 180])


class HalfOpenTests(PortsTestCase):
    """No caps but the ports themselves; a call may ring for a second."""

    node_kind = EmbeddedNode
    options = _set(
        *_ANY,
        *_FAST,
        _USERSPACE,
        "media.ports=45000-46999",
        "limits.media_ports_per_address=0",
        "limits.calls=100000",
    )

    @attack("M8")
    async def test_two_thousand_that_nobody_answers(self) -> None:
        """
        While they ring the ports run out, and that is 503; Timer C ends each (RFC 3261 section 16.8), and then all ports are
        free again, and the next call goes through.
        """
        base = await self.counts()
        alice, bob = self.udp("alice"), await self.phone("bob")
        self.ringing(bob)
        await self.burst(alice, _CALLS)
        await self.returns_to(base, 20.0)
        statuses = {message.status for message in alice.heard if message.status >= 200}
        self.assertLessEqual(statuses, {408, 503})
        bob.on_message = None
        again = alice.invite("bob")
        alice.send(again)
        bob.reply(await self.reached(bob, again), 486)
        alice.ack(again, await alice.final(again))
