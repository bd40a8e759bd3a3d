"""The call flows of RFC 3666: users, the telephone network behind gateways, and a PBX."""

from __future__ import annotations

from twisted.names import dns

from tests.conformance.case import Dialog, Message, Peer
from tests.conformance.gateway_case import ENUM, LOCAL, NUMBER, GatewayFlowCase
from tests.conformance.marks import flow
from tests.conformance.rtp import MediaPort, media_of

PORTS = "voipcluster_media_ports_free"
_LATE = 15.0  # seconds that what is due may be late on a busy machine


class ToNumbersTests(GatewayFlowCase):
    """Section 2: SIP to the telephone network."""

    def at(self, gateway: Peer, number: str = NUMBER) -> str:
        return f"sip:{number}@{gateway.host}:5060;user=phone"

    async def early(
        self, caller: Peer, invite: Message, spoken: MediaPort, gateway: Peer
    ) -> tuple[Message, MediaPort]:
        """The gateway has tones or an announcement for the caller before it answers (183 with a description)."""
        arrived = await gateway.expect("INVITE", where=lambda m: m.call_id == invite.call_id)
        tones = self.media(gateway)
        gateway.reply(arrived, 183, body=tones.sdp())
        progress = await caller.expect(183)
        await tones.reaches(self.relayed(arrived.body), spoken)
        self.assertEqual(self.relayed(progress.body), media_of(progress.body))
        return arrived, tones

    @flow("RFC3666-2.1")
    async def test_to_the_telephone_network(self) -> None:
        """A number goes to a gateway as E.164 with user=phone; what it says before the answer is heard at once."""
        alice = self.udp("alice")
        await self.add_users("alice")
        spoken = self.media(alice)
        uri = f"sip:{LOCAL}@{self.domain};user=phone"
        invite = await self.invites(alice, uri, body=spoken.sdp())
        arrived, tones = await self.early(alice, invite, spoken, self.one)
        self.assertEqual((arrived.uri, arrived["max-forwards"]), (self.at(self.one), "69"))
        self.assertNotIn("proxy-authorization", arrived)
        ok = self.one.reply(arrived, 200, body=tones.sdp())
        final = await alice.final(invite)
        ours, theirs = Dialog.of_caller(alice, invite, final), Dialog.of_callee(self.one, arrived, ok)
        ours.ack()
        await self.one.expect("ACK")
        await spoken.reaches(self.relayed(final.body), tones)
        await self.hangs_up(ours, theirs)
        await self.two.silence("INVITE")

    @flow("RFC3666-2.2")
    async def test_to_a_pbx(self) -> None:
        """A private extension goes to the PBX as it was dialled."""
        alice = self.udp("alice")
        await self.add_users("alice")
        spoken = self.media(alice)
        invite = await self.invites(alice, "7123", body=spoken.sdp())
        talk = await self.take(alice, invite, spoken, self.pbx)
        self.assertEqual(talk.invite.uri.partition("@")[0], "sip:7123")
        await self.hangs_up(talk.callee, talk.caller)

    @flow("RFC3666-2.3")
    async def test_overflow(self) -> None:
        """The first gateway has no circuit left (503): the caller hears nothing of it, the next one has the call."""
        alice = self.udp("alice")
        await self.add_users("alice")
        spoken = self.media(alice)
        invite = await self.invites(alice, LOCAL, body=spoken.sdp())
        await self.fails(self.one, 503, ("Reason", "Q.850;cause=34"))
        talk = await self.take(alice, invite, spoken, self.two)
        self.assertEqual(talk.invite.uri, self.at(self.two))
        self.assertEqual(self.statuses(alice, invite), [100, 180, 200])
        await self.hangs_up(talk.caller, talk.callee)

    @flow("RFC3666-2.4")
    async def test_enum(self) -> None:
        """The DNS knows a SIP URI of the number (RFC 6116): the call goes there, and to no gateway."""
        number = "+49897654321"
        name = ".".join(reversed(number[1:])) + f".{ENUM}"
        bob = await self.phone("bob")
        self.dns.add(
            name,
            dns.Record_NAPTR(100, 10, b"u", b"E2U+sip", f"!^.*$!sip:bob@{self.domain}!".encode(), b""),
        )
        alice = self.udp("alice")
        await self.add_users("alice")
        spoken = self.media(alice)
        invite = await self.invites(alice, number, body=spoken.sdp())
        talk = await self.take(alice, invite, spoken, bob)
        self.assertIn(f"NAPTR of {name}", self.dns.asked)
        await self.hangs_up(talk.callee, talk.caller)
        for gateway in (self.one, self.two):
            await gateway.silence("INVITE")

    @flow("RFC3666-2.5")
    async def test_announcement(self) -> None:
        """The network says in words what is wrong; the caller hangs up: CANCEL, 487, and the ports are free again."""
        base = await self.counts()
        alice = self.udp("alice")
        await self.add_users("alice")
        spoken = self.media(alice)
        invite = await self.invites(alice, LOCAL, body=spoken.sdp())
        arrived, _ = await self.early(alice, invite, spoken, self.one)
        cancel = alice.cancel(invite)
        self.assertEqual((await alice.expect(200, "CANCEL")).status, 200)
        self.assertEqual(cancel.branch, invite.branch)
        self.one.reply(await self.one.expect("CANCEL"), 200)
        self.one.reply(arrived, 487)
        await self.one.expect("ACK")
        await self.refused(alice, invite, 487)
        await self.two.silence("INVITE")

        async def ports_are_free() -> bool:
            return (await self.counts())[PORTS] >= base[PORTS]

        await self.until(ports_are_free, "the relay has closed")

    @flow("RFC3666-2.6")
    async def test_release_with_a_cause(self) -> None:
        """The network releases the call with a cause: what the gateway makes of it goes up unchanged, at once."""
        for status, cause in ((404, "1"), (484, "28"), (486, "17"), (480, "18"), (603, "21")):
            caller, invite = await self.calls("alice", LOCAL)
            reason = f'Q.850;cause={cause};text="as the network says"'
            await self.fails(self.one, status, ("Reason", reason))
            final = await self.refused(caller, invite, status)
            self.assertEqual(final["reason"], reason)
        await self.two.silence("INVITE")

    @flow("RFC3666-2.7")
    async def test_nobody_answers(self) -> None:
        """The gateway gives up by a timer of its own (480); the proxy has not done so before: Timer C is above three minutes."""
        caller, invite = await self.calls("alice", LOCAL)
        arrived = await self.one.expect("INVITE")
        self.one.reply(arrived, 183)
        await caller.expect(183)
        await self.hold(1.0, lambda: all(m.method != "CANCEL" for m in self.one.inbox), "nobody gives up")
        self.one.reply(arrived, 480)
        await self.refused(caller, invite, 480)
        await self.one.expect("ACK")
        await self.two.silence("INVITE")


class FromNumbersTests(GatewayFlowCase):
    """Section 3: the telephone network to SIP."""

    @flow("RFC3666-3.1")
    async def test_from_the_telephone_network(self) -> None:
        """A call of a gateway goes to where the user is registered, without a password."""
        bob = await self.phone("bob")
        spoken = self.media(self.one)
        invite = self.from_number(self.one, "bob", body=spoken.sdp())
        self.one.send(invite)
        talk = await self.take(self.one, invite, spoken, bob)
        self.assertEqual((talk.invite.uri, talk.invite["from"]), (bob.uri, invite["from"]))
        await self.hangs_up(talk.callee, talk.caller)

    @flow("RFC3666-3.2")
    async def test_fast_answer(self) -> None:
        """The phone answers without ringing."""
        bob = await self.phone("bob")
        invite = self.from_number(self.one, "bob", body=self.one.sdp())
        self.one.send(invite)
        arrived = await bob.expect("INVITE")
        ok = bob.reply(arrived, 200, body=bob.sdp())
        final = await self.one.final(invite)
        ours, theirs = Dialog.of_caller(self.one, invite, final), Dialog.of_callee(bob, arrived, ok)
        ours.ack()
        await bob.expect("ACK")
        self.assertEqual(self.statuses(self.one, invite), [100, 200])
        await self.hangs_up(ours, theirs)

    @flow("RFC3666-3.3")
    async def test_from_a_pbx(self) -> None:
        """The PBX proves its password, and may then say which of its extensions calls; a stranger at another address may not."""
        bob = await self.phone("bob")
        await self.add_users("pbx")
        spoken = self.media(self.pbx)
        invite = self.pbx.invite("bob", body=spoken.sdp())
        challenge = await self.pbx.exchange(invite)
        self.assertEqual(challenge.status, 407)
        await bob.silence("INVITE")
        invite = self.pbx.authorized(invite, challenge)
        self.pbx.send(invite)
        talk = await self.take(self.pbx, invite, spoken, bob)
        self.assertNotIn("proxy-authorization", talk.invite)
        await self.hangs_up(talk.caller, talk.callee)
        stranger = self.udp("stranger")
        invite = self.from_number(stranger, NUMBER)
        stranger.send(invite)
        await self.refused(stranger, invite, 403)
        await self.one.silence("INVITE")

    @flow("RFC3666-3.4")
    async def test_unknown_user(self) -> None:
        """Nobody has that address: 404, which the gateway makes a cause of."""
        invite = self.from_number(self.one, "nobody")
        self.one.send(invite)
        await self.refused(self.one, invite, 404)

    @flow("RFC3666-3.5")
    async def test_busy(self) -> None:
        """486 of the phone goes to the gateway."""
        bob = await self.phone("bob")
        invite = self.from_number(self.one, "bob")
        self.one.send(invite)
        await self.fails(bob, 486)
        await self.refused(self.one, invite, 486)

    @flow("RFC3666-3.6")
    async def test_error_that_becomes_a_tone(self) -> None:
        """Of two phones one is busy and one knows nobody: one answer goes to the gateway, and it is one of theirs."""
        bob = await self.phone("bob")
        other = self.udp("bob")
        await other.register()
        invite = self.from_number(self.one, "bob")
        self.one.send(invite)
        await self.fails(bob, 486)
        await self.fails(other, 604)
        await self.refused(self.one, invite, 604)
        self.assertEqual(self.statuses(self.one, invite), [100, 604])

    @flow("RFC3666-3.9")
    async def test_caller_hangs_up(self) -> None:
        """The caller abandons while the phone rings: CANCEL, 487."""
        bob = await self.phone("bob")
        invite = self.from_number(self.one, "bob")
        self.one.send(invite)
        arrived = await bob.expect("INVITE")
        bob.reply(arrived, 180)
        await self.one.expect(180)
        self.one.cancel(invite)
        await self.one.expect(200, "CANCEL")
        bob.reply(await bob.expect("CANCEL"), 200)
        bob.reply(arrived, 487)
        await self.refused(self.one, invite, 487)
        await bob.expect("ACK")


class SilentPhoneTests(GatewayFlowCase):
    fast = ("--set", "sip.t1=0.05")

    @flow("RFC3666-3.7")
    async def test_silence(self) -> None:
        """The phone says nothing until Timer B: 408 for the gateway, which has repeated its INVITE meanwhile in vain."""
        bob = await self.phone("bob")
        invite = self.from_number(self.one, "bob")
        self.one.send(invite)
        await bob.expect("INVITE")
        for _ in range(2):
            self.one.send(invite)
        final = await self.one.final(invite, seconds=3.2 + _LATE)
        self.one.ack(invite, final)
        self.assertEqual(final.status, 408)
        branches = {m.branch for m in bob.heard if m.method == "INVITE"}
        self.assertEqual(len(branches), 1)


class BetweenGatewaysTests(GatewayFlowCase):
    """Section 4: from one part of the telephone network to another one."""

    @flow("RFC3666-4.1")
    async def test_through_sip(self) -> None:
        """A call of one gateway to a number goes to another one; never back to where it came from; tones pass both ways."""
        spoken = self.media(self.one)
        invite = self.from_number(self.one, NUMBER, body=spoken.sdp())
        self.one.send(invite)
        arrived = await self.two.expect("INVITE")
        tones = self.media(self.two)
        self.two.reply(arrived, 183, body=tones.sdp())
        progress = await self.one.expect(183)
        await tones.reaches(self.relayed(arrived.body), spoken)
        await spoken.reaches(self.relayed(progress.body), tones)
        ok = self.two.reply(arrived, 200, body=tones.sdp())
        final = await self.one.final(invite)
        ours, theirs = Dialog.of_caller(self.one, invite, final), Dialog.of_callee(self.two, arrived, ok)
        ours.ack()
        await self.two.expect("ACK")
        await self.one.silence("INVITE")
        await self.hangs_up(theirs, ours)

    @flow("RFC3666-4.2")
    async def test_between_pbxs_with_overflow(self) -> None:
        """One PBX calls an extension of another one: the first gateway to that has no circuit left, the next one has."""
        await self.add_users("pbx")
        spoken = self.media(self.pbx)
        invite = await self.invites(self.pbx, "8456", body=spoken.sdp())
        await self.fails(self.one, 503)
        talk = await self.take(self.pbx, invite, spoken, self.two)
        self.assertEqual(talk.invite.uri.partition("@")[0], "sip:8456")
        self.assertEqual(self.statuses(self.pbx, invite), [100, 180, 200])
        await self.hangs_up(talk.callee, talk.caller)


class ScannerTests(GatewayFlowCase):
    fast = ("--set", "limits.refused_numbers=4", "--set", "allowance.destinations=['+49']")

    async def test_looking_for_numbers(self) -> None:
        """A stranger who tries numbers over TCP is banned with his address; over UDP, where he may be anybody, he is refused."""
        scanner = await self.tcp("scanner")
        for number in range(4):
            invite = self.from_number(scanner, f"+49900{number}")
            scanner.send(invite)
            await self.refused(scanner, invite, 403)
        bans = await self.node.ask("bans")
        self.assertIn(
            ("calls to numbers without permission", scanner.host), [(b["reason"], b["who"]) for b in bans]
        )
        await self.node.ask("unban", who=scanner.host)
        other = self.udp("other")
        for number in range(8):
            invite = self.from_number(other, f"+49900{number}")
            other.send(invite)
            await self.refused(other, invite, 403)
        self.assertEqual(await self.node.ask("bans"), [])
        for gateway in (self.one, self.two):
            await gateway.silence("INVITE")

    async def test_a_stolen_password(self) -> None:
        """A user who tries destinations that he may not call is told why, then banned; a gateway hears nothing of it."""
        for number in range(4):
            caller, invite = await self.calls("mallory", f"+48900{number}")
            final = await self.refused(caller, invite, 403)
            self.assertIn("is no destination that is allowed", final["warning"])
            self.assertIn("cause=21", final["reason"])
        bans = await self.node.ask("bans")
        self.assertEqual([ban["who"] for ban in bans], [f"mallory@{self.domain}"])
        await self.node.ask("unban", who=f"mallory@{self.domain}")
        await self.one.silence("INVITE")
