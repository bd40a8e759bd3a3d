"""The call flows of RFC 5359 in which the proxy finds the callee, or decides about the call (2.7 to 2.9, 2.12 to 2.14)."""

from __future__ import annotations

from tests.conformance.case import Dialog, Message, Peer
from tests.conformance.embedded import TIMER_C
from tests.conformance.flow_case import FlowTestCase
from tests.conformance.marks import flow
from tests.conformance.shared_node import EmbeddedNode

_LATE = 15.0  # seconds that what is due may be late on a busy machine


class TargetFlowTests(FlowTestCase):
    """
    A user's other places are bindings with a lower q. How long a phone may ring before the next place is tried is Timer C,
    here L{TIMER_C}.
    """

    node_kind = EmbeddedNode

    async def places(self, *users: str) -> list[Peer]:
        """Places of bob, tried in this order: his phone, and others' ones."""
        phones = [self.udp(user) for user in users]
        register = phones[0].request("REGISTER", f"sip:{self.domain}", to=f"<sip:bob@{self.domain}>")
        for place, phone in enumerate(phones):
            register.add("Contact", f"<{phone.uri}>;q={0.9 - place / 10:.1f}")
        self.assertEqual((await phones[0].exchange(register)).status, 200)
        self.registered.add("bob")
        return phones

    async def answers(self, caller: Peer, invite: Message, phone: Peer) -> Message:
        """A phone gets the call and takes it; as it arrived."""
        arrived = await phone.expect("INVITE", seconds=TIMER_C + _LATE)
        phone.reply(arrived, 200, tag=f"at-{phone.user}", body=phone.sdp())
        ok = await caller.final(invite)
        self.assertEqual((ok.status, ok.tag("to")), (200, f"at-{phone.user}"))
        Dialog.of_caller(caller, invite, ok).ack()
        await phone.expect("ACK")
        return arrived

    @flow("RFC5359-2.8")
    async def test_busy(self) -> None:
        """The 486 of the phone is not passed on: the next place is tried, with the call's To and Max-Forwards less by one."""
        caller = self.udp("alice")
        bob, carol = await self.places("bob", "carol")
        invite = caller.invite("bob")
        caller.send(invite)
        bob.reply(await bob.expect("INVITE"), 486)
        arrived = await self.answers(caller, invite, carol)
        self.assertEqual(
            (arrived.uri, arrived["to"], arrived["max-forwards"]), (carol.uri, invite["to"], "69")
        )
        self.assertEqual([m.status for m in caller.heard], [100, 200])
        await bob.expect("ACK")

    @flow("RFC5359-2.9")
    async def test_no_answer(self) -> None:
        """A phone that rings for too long is cancelled; when its 487 has come the next place is tried."""
        caller = self.udp("alice")
        bob, carol = await self.places("bob", "carol")
        invite = caller.invite("bob")
        caller.send(invite)
        ringing = await bob.expect("INVITE")
        bob.reply(ringing, 180)
        await caller.expect(180)
        bob.reply(await bob.expect("CANCEL", seconds=TIMER_C + _LATE), 200)
        await carol.silence("INVITE")
        bob.reply(ringing, 487)
        await bob.expect("ACK")
        await self.answers(caller, invite, carol)
        self.assertEqual([m.status for m in caller.heard], [100, 180, 200])

    @flow("RFC5359-2.12")
    async def test_find_me(self) -> None:
        """Four places one after the other: no answer, 480, 486, and an answer, which is all that the caller hears."""
        caller = self.udp("alice")
        first, second, third, fourth = await self.places("home", "office", "cabin", "mobile")
        invite = caller.invite("bob")
        caller.send(invite)
        ringing = await first.expect("INVITE")
        first.reply(ringing, 180)
        first.reply(await first.expect("CANCEL", seconds=TIMER_C + _LATE), 200)
        first.reply(ringing, 487)
        for phone, status in ((second, 480), (third, 486)):
            arrived = await phone.expect("INVITE")
            phone.reply(arrived, status)
            await phone.expect("ACK")
        await self.answers(caller, invite, fourth)
        self.assertEqual([m.status for m in caller.heard], [100, 180, 200])
        for phone in (second, third):
            self.assertEqual({m.method for m in phone.heard if m.method}, {"INVITE", "ACK"})


class DecisionFlowTests(FlowTestCase):
    """A call hook decides (docs/embedding.md); L{tests.conformance.embedded} has it."""

    node_kind = EmbeddedNode
    auth = True

    async def calls(self, user: str, callee: str) -> tuple[Peer, Message]:
        """A call with the right password."""
        await self.add_users(user)
        caller = self.udp(user)
        invite = caller.invite(callee)
        challenge = await caller.exchange(invite)
        self.assertEqual(challenge.status, 407)
        invite = caller.authorized(invite, challenge)
        caller.send(invite)
        return caller, invite

    async def taken(self, caller: Peer, invite: Message, phone: Peer) -> Message:
        arrived = await phone.expect("INVITE")
        phone.reply(arrived, 200, body=phone.sdp())
        Dialog.of_caller(caller, invite, await caller.expect(200)).ack()
        await phone.expect("ACK")
        return arrived

    async def refused(self, caller: Peer, invite: Message, start: str) -> None:
        final = await caller.final(invite)
        caller.ack(invite, final)
        self.assertEqual(final.start, f"SIP/2.0 {start}")

    @flow("RFC5359-2.7")
    async def test_unconditional(self) -> None:
        """All calls to one user go to another one: To stays, the phone of the first does not ring, and loops end."""
        forwarded, carol = await self.phone("forwarded"), await self.phone("carol")
        caller, invite = await self.calls("alice", "forwarded")
        arrived = await self.taken(caller, invite, carol)
        self.assertEqual(
            (arrived.uri, arrived["to"], arrived["max-forwards"]), (carol.uri, invite["to"], "69")
        )
        await forwarded.silence("INVITE")
        await self.unregister("carol")
        # carol's calls go to the first user again
        await carol.register(contact=f"<sip:forwarded@{self.node.address}>")
        caller = self.udp("eve")
        invite = caller.invite("forwarded").set("From", "<sip:eve@elsewhere.example>;tag=1")
        caller.send(invite)
        await self.refused(caller, invite, "482 Loop Detected")
        await forwarded.silence("INVITE")

    @flow("RFC5359-2.13")
    async def test_incoming_screening(self) -> None:
        """By who calls: refused with 603, or brought to voicemail; others get through."""
        screened, answered, voicemail = [await self.phone(u) for u in ("screened", "answered", "voicemail")]
        caller, invite = await self.calls("mallory", "screened")
        await self.refused(caller, invite, "603 Decline")
        await screened.silence("INVITE")
        caller, invite = await self.calls("mallory", "answered")
        arrived = await self.taken(caller, invite, voicemail)
        self.assertEqual(arrived["to"], invite["to"])
        await answered.silence("INVITE")
        for phone in (screened, answered):
            caller, invite = await self.calls("alice", phone.user)
            await self.taken(caller, invite, phone)

    @flow("RFC5359-2.14")
    async def test_outgoing_screening(self) -> None:
        """After the right password it may still be 403, by whom and where he calls."""
        bob, outside = await self.phone("bob"), self.udp("outside")
        caller, invite = await self.calls("dave", outside.uri)
        await self.refused(caller, invite, "403 Not From This Phone")
        await outside.silence()
        caller, invite = await self.calls("dave", "bob")
        await self.taken(caller, invite, bob)
        caller, invite = await self.calls("alice", outside.uri)
        await self.taken(caller, invite, outside)
