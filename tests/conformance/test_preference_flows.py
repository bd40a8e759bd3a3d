"""The call flows of RFC 5359 in which a user has said what is to be done with his calls (docs/users.md)."""

from __future__ import annotations

from tests.conformance.case import Dialog, Message, Peer
from tests.conformance.flow_case import FlowTestCase
from tests.conformance.marks import flow

RING = 1  # seconds, the shortest time that a phone can be given
_LATE = 15.0  # seconds that what is due may be late on a busy machine


class PreferenceFlowTests(FlowTestCase):
    auth = True

    async def prefers(self, user: str, **texts: str) -> None:
        """What a user wants, by name with C{_} for C{.} and C{__} for C{-}; what he wanted before is forgotten."""
        await self.add_users(user)
        old = await self.node.ask("user-show", name=user, domain=self.domain)
        wanted = {name.replace("__", "-").replace("_", "."): text for name, text in texts.items()}
        new = {**dict.fromkeys(old, ""), **wanted}
        if new:
            await self.node.ask("user-set", name=user, domain=self.domain, preferences=new)

    async def calls(self, user: str, callee: str, *headers: tuple[str, str]) -> tuple[Peer, Message]:
        """A call with the right password."""
        await self.add_users(user)
        caller = self.udp(user)
        invite = caller.invite(callee, *headers)
        challenge = await caller.exchange(invite)
        self.assertEqual(challenge.status, 407)
        invite = caller.authorized(invite, challenge)
        caller.send(invite)
        caller.heard.clear()
        return caller, invite

    async def takes(self, caller: Peer, invite: Message, phone: Peer) -> Message:
        """A phone gets the call and takes it; as it arrived."""
        arrived = await phone.expect("INVITE", seconds=RING + _LATE)
        phone.reply(arrived, 200, tag=f"at-{phone.user}", body=phone.sdp())
        ok = await caller.final(invite)
        self.assertEqual((ok.status, ok.tag("to")), (200, f"at-{phone.user}"))
        Dialog.of_caller(caller, invite, ok).ack()
        await phone.expect("ACK")
        return arrived

    async def refused(self, caller: Peer, invite: Message, status: int) -> Message:
        final = await caller.final(invite)
        caller.ack(invite, final)
        self.assertEqual(final.status, status)
        return final

    async def rings_out(self, caller: Peer, phone: Peer, next_one: Peer) -> None:
        """A phone rings until it is cancelled; nobody else is called before its 487."""
        ringing = await phone.expect("INVITE", seconds=RING + _LATE)
        phone.reply(ringing, 180)
        await caller.expect(180)
        phone.reply(await phone.expect("CANCEL", seconds=RING + _LATE), 200)
        await next_one.silence("INVITE")
        phone.reply(ringing, 487)
        await phone.expect("ACK")

    def diverted(self, arrived: Message, *reasons: str) -> None:
        """By bob, for these reasons, the latest one first."""
        by = f"<sip:bob@{self.domain}>"
        self.assertEqual(
            arrived.lines("diversion"), [f"{by};reason={reason};counter=1" for reason in reasons]
        )

    def heard(self, caller: Peer) -> list[int]:
        return [m.status for m in caller.heard if m.status]

    @flow("RFC5359-2.7")
    async def test_unconditional(self) -> None:
        """The phone does not ring; the caller hears 181, and the copy says who forwarded it and why; a loop ends."""
        bob, carol = await self.phone("bob"), await self.phone("carol")
        await self.prefers("bob", forward_always="carol")
        caller, invite = await self.calls("alice", "bob")
        arrived = await self.takes(caller, invite, carol)
        self.assertEqual(
            (arrived.uri, arrived["to"], arrived["max-forwards"]), (carol.uri, invite["to"], "69")
        )
        self.diverted(arrived, "unconditional")
        self.assertEqual(
            arrived.lines("history-info"),
            [f"<sip:bob@{self.domain}>;index=1", f"<sip:carol@{self.domain};cause=302>;index=1.1;mp=1"],
        )
        self.assertEqual(self.heard(caller), [100, 181, 200])
        await bob.silence("INVITE")
        await self.prefers("carol", forward_always="bob")
        caller, invite = await self.calls("alice", "bob")
        await self.refused(caller, invite, 482)
        await self.prefers("carol")
        caller, invite = await self.calls(
            "alice", "bob", ("Diversion", f"<sip:bob@{self.domain}>;reason=away")
        )
        await self.refused(caller, invite, 482)
        await carol.silence("INVITE")

    @flow("RFC5359-2.8")
    async def test_busy(self) -> None:
        """The 486 of the phone is not passed on."""
        bob, carol = await self.phone("bob"), await self.phone("carol")
        await self.prefers("bob", forward_busy="carol")
        caller, invite = await self.calls("alice", "bob")
        bob.reply(await bob.expect("INVITE"), 486)
        self.diverted(await self.takes(caller, invite, carol), "user-busy")
        self.assertEqual(self.heard(caller), [100, 181, 200])
        await bob.expect("ACK")

    @flow("RFC5359-2.9")
    async def test_no_answer(self) -> None:
        """The phone rings for so many seconds; CANCEL, its 487, and the next place."""
        bob, carol = await self.phone("bob"), await self.phone("carol")
        await self.prefers("bob", forward_no__answer="carol", forward_no__answer__after=str(RING))
        caller, invite = await self.calls("alice", "bob")
        await self.rings_out(caller, bob, carol)
        self.diverted(await self.takes(caller, invite, carol), "no-answer")
        self.assertEqual(self.heard(caller), [100, 180, 181, 200])

    async def test_not_registered(self) -> None:
        """No phone at all: the call goes on at once."""
        carol = await self.phone("carol")
        await self.prefers("bob", forward_unregistered="carol")
        caller, invite = await self.calls("alice", "bob")
        self.diverted(await self.takes(caller, invite, carol), "unavailable")

    @flow("RFC5359-2.12")
    async def test_find_me(self) -> None:
        """Four places: no answer, 480, 486 at the user's own phone, and an answer, which is all that the caller hears of them."""
        first, second, bob, fourth = [await self.phone(user) for user in ("home", "office", "bob", "mobile")]
        places = f"home {RING}, office 5, me 5, mobile 5"
        await self.prefers("bob", find__me=places)
        caller, invite = await self.calls("alice", "bob")
        await self.rings_out(caller, first, second)
        for phone, status in ((second, 480), (bob, 486)):
            phone.reply(await phone.expect("INVITE"), status)
            await phone.expect("ACK")
        arrived = await self.takes(caller, invite, fourth)
        self.diverted(arrived, "follow-me")
        self.assertIn(f"<sip:mobile@{self.domain};cause=404>;index=1.3;mp=1", arrived.lines("history-info"))
        self.assertEqual([s for s in self.heard(caller) if s >= 200], [200])

    @flow("RFC5359-2.13")
    async def test_incoming_screening(self) -> None:
        """By who calls: 403, 603, the voicemail, or through to the phone."""
        bob, box = await self.phone("bob"), await self.phone("box")
        rules = f"deny:mallory@{self.domain}, decline:eve, voicemail:trent@*"
        await self.prefers("bob", voicemail="box", screen_incoming=rules)
        for user, status in (("mallory", 403), ("eve", 603)):
            caller, invite = await self.calls(user, "bob")
            await self.refused(caller, invite, status)
        caller, invite = await self.calls("trent", "bob")
        self.diverted(await self.takes(caller, invite, box), "deflection")
        await bob.silence("INVITE")
        caller, invite = await self.calls("alice", "bob")
        self.assertNotIn("diversion", await self.takes(caller, invite, bob))

    @flow("RFC5359-2.14")
    async def test_outgoing_screening(self) -> None:
        """After the right password it may still be 403, by whom the user may call; also where he has calls go."""
        bob, outside = await self.phone("bob"), self.udp("outside")
        await self.prefers("dave", screen_outgoing="deny:outside", forward_always=outside.uri)
        caller, invite = await self.calls("dave", outside.uri)
        refused = await self.refused(caller, invite, 403)
        self.assertIn("preferences of the caller", refused["warning"])
        caller, invite = await self.calls("alice", "dave")
        await self.refused(caller, invite, 403)
        await outside.silence()
        caller, invite = await self.calls("dave", "bob")
        await self.takes(caller, invite, bob)
