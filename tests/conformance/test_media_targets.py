"""Where the relay sends nothing, whatever a description names: it is no weapon (docs/security.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.conformance.case import Dialog, Peer
from tests.conformance.marks import attack
from tests.conformance.network_case import (
    LABORATORY,
    PORTS,
    RELAY6,
    SECOND,
    SECOND6,
    SPRAY,
    VICTIM,
    VICTIM6,
    NetworkTestCase,
    RelayNode,
)  # fmt: skip
from tests.conformance.rtp import Address, MediaPort
from tests.conformance.shared_node import SharedNode, shared_node

_PACKETS = 20
_GROUPS = ("239.1.1.1", "224.0.0.1", "255.255.255.255", "198.51.100.255", "127.0.0.1", "127.9.9.9")
_GROUPS6 = ("ff02::1", "ff0e::1:1", "::1", "::ffff:127.0.0.1")


def naming(address: Address, version: int = 1) -> bytes:
    """A description that says of any address that it is ours."""
    host, port = address
    family = "IP6" if ":" in host else "IP4"
    lines = (
        f"o=- 1 {version} IN {family} {host}",
        "s=-",
        f"c=IN {family} {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0",
    )
    return "".join(f"{line}\r\n" for line in ("v=0", *lines)).encode()


class Pointed(NamedTuple):
    """A call whose parties named any addresses: both sides of its dialog, and the relay's ports."""

    caller: Dialog
    callee: Dialog
    for_caller: Address
    for_callee: Address


class TargetTests(NetworkTestCase):
    """Through the process itself, over IPv4."""

    groups: Sequence[str] = _GROUPS

    async def pointed(self, alice: Peer, bob: Peer, offered: bytes, answered: bytes) -> Pointed:
        """A call with these descriptions."""
        invite = alice.invite("bob", body=offered)
        alice.send(invite)
        arrived = await bob.expect("INVITE")
        ok = bob.reply(arrived, 200, body=answered)
        final = await alice.final(invite)
        ours, theirs = Dialog.of_caller(alice, invite, final), Dialog.of_callee(bob, arrived, ok)
        ours.ack()
        await bob.expect("ACK")
        return Pointed(ours, theirs, self.relayed(final.body), self.relayed(arrived.body))

    async def hits_nobody(self, alice: Peer, bob: Peer, *targets: Address) -> None:
        """A call in which one side, then the other, names an address, and its peer speaks: nothing must leave for it."""
        for target in targets:
            for by_callee in (False, True):
                honest = self.media(alice if by_callee else bob)
                bodies = naming(target), honest.sdp()
                call = await self.pointed(alice, bob, *(reversed(bodies) if by_callee else bodies))
                for _ in range(_PACKETS):
                    honest.say(call.for_caller if by_callee else call.for_callee)
                await self.counted(call.caller.call_id, _PACKETS)
                sent = [
                    datagram for datagram in self.sent_by_relay(target[0]) if datagram.destination == target
                ]
                self.assertEqual(sent, [])
                await self.hangs_up(call.caller, call.callee)

    @attack("M7")
    async def test_groups_and_loopback(self) -> None:
        """Loopback, multicast, the limited broadcast and that of the node's own subnet."""
        await self.hits_nobody(self.alice(), await self.bob(), *((host, 7) for host in self.groups))

    @attack("M7")
    async def test_itself(self) -> None:
        """Its own SIP port, and the relay ports of another call, which goes on undisturbed."""
        alice, bob = self.alice(), await self.bob()
        talk = await self.talk(alice, bob)
        sip = (self.node_host, 5060)
        await self.hits_nobody(alice, bob, sip, talk.for_caller, talk.for_callee)
        await self.both_hear(talk)
        await self.hangs_up(talk.caller, talk.callee)

    @attack("M7")
    async def test_third_party(self) -> None:
        """A host that takes no part in the call gets nothing; one that sends is let in (RFC 5359 section 2.3)."""
        alice, bob, victim = self.alice(), await self.bob(), VICTIM6 if self.six else VICTIM
        await self.hits_nobody(alice, bob, (victim, 9))
        music, answered = MediaPort(self, victim), self.media(bob)
        call = await self.pointed(alice, bob, music.sdp(), answered.sdp())
        await music.reaches(call.for_caller, answered)
        await answered.reaches(call.for_callee, music)
        await self.hangs_up(call.caller, call.callee)

    @contextmanager
    def at(self, node: SharedNode) -> Iterator[None]:
        """Peers speak with another node."""
        first, self.node = self.node, node
        try:
            yield
        finally:
            self.node = first

    @attack("M7")
    async def test_two_relays(self) -> None:
        """Two nodes with a call each whose parties are the other one's ports, on both sides: no packet goes to and fro."""
        alice, bob, mallory = self.alice(), await self.bob(), self.stranger()
        second = await shared_node(
            self.reactor,
            self.node_options,
            "",
            self.folder,
            SECOND6 if self.six else SECOND,
            "second",
            RelayNode,
        )
        with self.at(second):
            await bob.register()
            there = await self.pointed(alice, bob, self.media(alice).sdp(), self.media(bob).sdp())
        here = await self.pointed(alice, bob, naming(there.for_caller), naming(there.for_callee))
        with self.at(second):
            _, response = await self.passes(
                there.caller, there.callee, "INVITE",
                body=naming(here.for_caller, 2), answer=naming(here.for_callee, 2),
            )  # fmt: skip
            self.assertEqual(self.relayed(response.body), there.for_caller)
        everywhere = [address for call in (here, there) for address in call[2:]]
        for _ in range(_PACKETS):
            mallory.send(SPRAY, *everywhere)
        await self.node_answers()
        self.assertEqual(self.sent_by_relay(second.address), [])
        came = [one.destination for one in self.wire.seen() if one.source[0] == second.address]
        self.assertEqual([port for host, port in came if PORTS[0] <= port <= PORTS[1]], [])
        await self.hangs_up(here.caller, here.callee)
        with self.at(second):
            await self.hangs_up(there.caller, there.callee)


class Ipv6TargetTests(TargetTests):
    node_host = RELAY6
    groups = _GROUPS6


class LaboratoryTests(NetworkTestCase):
    """What a laboratory allows itself."""

    node_host = LABORATORY
    options = ("--set", 'media.lab_networks=["239.0.0.0/8"]', "--set", "media.third_hosts=true")

    async def test_allowed(self) -> None:
        """Networks of media.lab_networks, and hosts that nobody heard of with media.third_hosts; loopback is not among them."""
        alice, bob = self.alice(), await self.bob()
        answered = self.media(bob)
        for target, goes in (
            ((VICTIM, 9000), True),
            (("239.1.1.1", 9000), True),
            (("127.0.0.1", 9000), False),
        ):
            invite = alice.invite("bob", body=naming(target))
            alice.send(invite)
            arrived = await bob.expect("INVITE")
            ok = bob.reply(arrived, 200, body=answered.sdp())
            final = await alice.final(invite)
            ours = Dialog.of_caller(alice, invite, final)
            ours.ack()
            for _ in range(_PACKETS):
                answered.say(self.relayed(arrived.body))
            await self.counted(ours.call_id, _PACKETS)
            self.assertEqual(bool(self.sent_by_relay(target[0])), goes, target)
            await self.hangs_up(ours, Dialog.of_callee(bob, arrived, ok))
