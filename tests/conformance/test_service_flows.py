"""The call flows of RFC 5359 that phones do among themselves: a proxy passes on what they need (sections 2.4 to 2.18)."""

from __future__ import annotations

import re

from tests.conformance.case import Dialog, Peer
from tests.conformance.flow_case import FlowTestCase, Talk
from tests.conformance.marks import flow

_TRYING, _DONE = b"SIP/2.0 100 Trying\r\n", b"SIP/2.0 200 OK\r\n"
_FRAGMENT = ("Content-Type", "message/sipfrag;version=2.0")


def dialog_info(state: str, version: int, call_id: str = "x") -> bytes:
    """The state of a dialog (RFC 4235)."""
    return (
        f'<?xml version="1.0"?>\r\n<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="{version}" state="full"'
        f' entity="sip:bob@example.com"><dialog id="1" call-id="{call_id}"><state>{state}</state></dialog></dialog-info>\r\n'
    ).encode()


class ServiceFlowTests(FlowTestCase):
    async def with_instance(self, user: str) -> tuple[Peer, str]:
        """One more phone of a user, and its GRUU (RFC 5627)."""
        phone = self.udp(user)
        instance = f'"<urn:uuid:00000000-0000-4000-8000-{phone.host.rpartition(".")[2]:0>12}>"'
        contact = f"<{phone.uri}>;+sip.instance={instance}"
        response = await phone.register(("Supported", "gruu"), contact=contact)
        gruus = [re.search(r'pub-gruu="([^"]*)"', v) for v in response.values("contact") if instance in v]
        assert gruus[0] is not None, response.values("contact")
        return phone, gruus[0][1]

    async def refers(self, transferor: Dialog, transferee: Dialog, refer_to: str) -> None:
        """A REFER in a dialog arrives as it was sent, and the NOTIFYs come back (RFC 3515)."""
        referred_by = f"<{transferor.peer.aor}>"
        arrived, _ = await self.passes(
            transferor,
            transferee,
            "REFER",
            ("Refer-To", refer_to),
            ("Referred-By", referred_by),
            status=202,
        )
        self.assertEqual((arrived["refer-to"], arrived["referred-by"]), (refer_to, referred_by))
        await self.progress(transferee, transferor)

    async def progress(self, sender: Dialog, receiver: Dialog) -> None:
        await self.notified(sender, receiver, "refer", "active;expires=60", _TRYING)
        await self.notified(sender, receiver, "refer", "terminated;reason=noresource", _DONE)

    def replaces(self, dialog: Dialog) -> str:
        """A Replaces value (RFC 3891) that names a dialog, for who is at its other end."""
        local = dialog.local.partition("tag=")[2]
        remote = dialog.remote.partition("tag=")[2]
        return f"{dialog.call_id};to-tag={remote};from-tag={local}"

    async def replaced(self, by: Talk, old: Dialog, replaces: str) -> None:
        """A call that carried Replaces has come with it as it was sent."""
        self.assertEqual((by.invite["replaces"], by.invite["require"]), (replaces, "replaces"))
        self.assertIn(f"{old.call_id};", replaces)

    @flow("RFC5359-2.4")
    async def test_unattended_transfer(self) -> None:
        """Bob refers Alice to Carol: REFER and NOTIFY pass in the dialog, Referred-By in the new INVITE."""
        alice, bob, carol = self.udp("alice"), await self.phone("bob"), await self.phone("carol")
        talk = await self.talk(alice, bob)
        await self.refers(talk.callee, talk.caller, f"<{carol.aor}>")
        referred_by = ("Referred-By", f'<{bob.aor}>;cid="2UWQFN309shb3@{self.domain}"')
        new = await self.talk(alice, carol, referred_by)
        self.assertEqual(new.invite["referred-by"], referred_by[1])
        await self.hangs_up(talk.caller, talk.callee)
        await self.hangs_up(new.caller, new.callee)

    @flow("RFC5359-2.5")
    async def test_attended_transfer(self) -> None:
        """
        Refer-To names Carol's phone and the dialog to be replaced: the proxy does not act on the header that is escaped in it,
        and the INVITE with Replaces reaches that phone and no other one of hers.
        """
        alice, bob, other = self.udp("alice"), await self.phone("bob"), await self.phone("carol")
        carol, gruu = await self.with_instance("carol")
        talk = await self.talk(alice, bob)
        asked = await self.talk(bob, carol, uri=gruu)
        await other.silence("INVITE")
        replaces = self.replaces(asked.caller)
        escaped = replaces.replace(";", "%3B").replace("=", "%3D").replace("@", "%40")
        arrived, _ = await self.passes(
            talk.callee, talk.caller, "REFER", ("Refer-To", f"<{gruu}?Replaces={escaped}>"), status=202
        )
        self.assertEqual(arrived["refer-to"], f"<{gruu}?Replaces={escaped}>")
        self.assertNotIn("replaces", arrived)
        new = await self.talk(alice, carol, ("Require", "replaces"), ("Replaces", replaces), uri=gruu)
        await self.replaced(new, asked.caller, replaces)
        await self.hangs_up(asked.callee, asked.caller)
        await self.progress(talk.caller, talk.callee)
        await self.hangs_up(talk.callee, talk.caller)
        await self.both_hear(new)
        await other.silence("INVITE")

    @flow("RFC5359-2.6")
    async def test_instant_messaging_transfer(self) -> None:
        """MESSAGE and REFER out of a dialog go to where their user is registered; so does the INVITE that follows."""
        alice, bob, carol = self.udp("alice"), await self.phone("bob"), await self.phone("carol")
        text = "Hol mich bitte ab. ☎".encode()
        message = alice.request("MESSAGE", "bob", body=text)
        alice.send(message)
        arrived = await bob.expect("MESSAGE")
        self.assertEqual((arrived.body, arrived["content-type"]), (text, "text/plain"))
        bob.reply(arrived, 200)
        self.assertEqual((await alice.final(message)).status, 200)
        refer_to = f"<{carol.aor};method=INVITE>"
        asker, asked, arrived = await self.subscribed(
            alice, bob, ("Refer-To", refer_to), ("Referred-By", f"<{alice.aor}>"), method="REFER", status=202
        )
        self.assertEqual((arrived["refer-to"], arrived.uri), (refer_to, bob.uri))
        await self.talk(bob, carol, ("Referred-By", f"<{alice.aor}>"))
        await self.progress(asked, asker)

    @flow("RFC5359-2.10")
    async def test_conference_takes_a_third_one_in(self) -> None:
        """Bob says by a re-INVITE that he is a focus, and calls Carol as one: isfocus in his Contact stays (RFC 4579)."""
        alice, bob, carol = self.udp("alice"), await self.phone("bob"), await self.phone("carol")
        talk = await self.talk(alice, bob)
        focus = ("Contact", f"<{bob.uri}>;isfocus")
        request = talk.callee.request("INVITE", body=talk.answered.sdp(version=2)).set(*focus)
        bob.send(request)
        arrived = await alice.expect("INVITE")
        self.assertEqual(arrived.lines("contact"), [focus[1]])
        alice.reply(arrived, 200, body=talk.spoken.sdp(version=2))
        self.assertEqual((await bob.final(request)).status, 200)
        talk.callee.ack()
        await alice.expect("ACK")

        spoken = self.media(bob)
        invite = bob.invite("carol", body=spoken.sdp()).set(*focus)
        bob.send(invite)
        third = await self.take(bob, invite, spoken, carol)
        self.assertEqual(third.invite.lines("contact"), [focus[1]])
        await self.both_hear(talk)
        await self.hangs_up(third.callee, third.caller)
        await self.hangs_up(talk.callee, talk.caller)

    @flow("RFC5359-2.11")
    async def test_third_one_joins(self) -> None:
        """Carol learns Bob's dialog, and joins it with an INVITE whose Join arrives as it was sent (RFC 3911)."""
        alice, bob, carol = self.udp("alice"), await self.phone("bob"), self.udp("carol")
        talk = await self.talk(alice, bob)
        join = self.replaces(talk.callee)
        joined = await self.talk(carol, bob, ("Require", "join"), ("Join", join))
        self.assertEqual((joined.invite["join"], joined.invite["require"]), (join, "join"))
        await self.both_hear(talk)
        await self.hangs_up(joined.caller, joined.callee)
        await self.both_hear(talk)

    @flow("RFC5359-2.15")
    async def test_park(self) -> None:
        """
        Bob refers the park server to Alice: it takes her over with Replaces. Carol learns the call from the dialog state of the
        server, and takes her over in turn.
        """
        alice, bob, park = await self.phone("alice"), await self.phone("bob"), await self.phone("park")
        carol = self.udp("carol")
        talk = await self.talk(alice, bob)
        replaces = self.replaces(talk.caller)
        refer_to = f"<{alice.uri}?Replaces={replaces.replace(';', '%3B').replace('=', '%3D')}>"
        asker, server, arrived = await self.subscribed(
            bob, park, ("Refer-To", refer_to), method="REFER", status=202
        )
        self.assertEqual(arrived["refer-to"], refer_to)
        parked = await self.talk(park, alice, ("Require", "replaces"), ("Replaces", replaces))
        await self.replaced(parked, talk.caller, replaces)
        await self.hangs_up(talk.caller, talk.callee)
        await self.progress(server, asker)

        watcher, watched, arrived = await self.subscribed(carol, park, ("Event", "dialog"), ("Expires", "0"))
        self.assertEqual((arrived["event"], arrived["expires"]), ("dialog", "0"))
        info = dialog_info("confirmed", 1, parked.caller.call_id)
        await self.notified(watched, watcher, "dialog", "terminated;reason=timeout", info)
        replaces = self.replaces(parked.callee)
        fetched = await self.talk(carol, alice, ("Require", "replaces"), ("Replaces", replaces))
        await self.replaced(fetched, parked.callee, replaces)
        await self.hangs_up(parked.callee, parked.caller)
        await self.both_hear(fetched)

    @flow("RFC5359-2.16")
    async def test_pickup(self) -> None:
        """Carol sees by the dialog package that Bob's phone rings, and takes Alice's call there with Replaces: early-only."""
        alice, bob, carol = await self.phone("alice"), await self.phone("bob"), self.udp("carol")
        invite = alice.invite("bob")
        alice.send(invite)
        ringing = await bob.expect("INVITE")
        bob.reply(ringing, 180)
        early = Dialog.of_caller(alice, invite, await alice.expect(180))
        watcher, watched, _ = await self.subscribed(carol, bob, ("Event", "dialog"), ("Expires", "0"))
        info = dialog_info("early", 1, invite.call_id)
        await self.notified(watched, watcher, "dialog", "terminated;reason=timeout", info)
        replaces = f"{self.replaces(early)};early-only"
        taken = await self.talk(carol, alice, ("Require", "replaces"), ("Replaces", replaces))
        await self.replaced(taken, early, replaces)
        self.assertEqual((await alice.final(alice.cancel(invite))).status, 200)
        bob.reply(await bob.expect("CANCEL"), 200)
        bob.reply(ringing, 487)
        final = await alice.final(invite)
        alice.ack(invite, final)
        self.assertEqual(final.status, 487)
        await self.both_hear(taken)

    @flow("RFC5359-2.17")
    async def test_redial(self) -> None:
        """Alice finds Bob busy, subscribes to his dialogs, and calls again when a NOTIFY says that he is free."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        invite = alice.invite("bob")
        alice.send(invite)
        bob.reply(await bob.expect("INVITE"), 486)
        busy = await alice.final(invite)
        alice.ack(invite, busy)
        self.assertEqual(busy.status, 486)
        watcher, watched, _ = await self.subscribed(alice, bob, ("Event", "dialog"), ("Expires", "600"))
        await self.notified(watched, watcher, "dialog", "active;expires=600", dialog_info("confirmed", 1))
        await self.notified(watched, watcher, "dialog", "active;expires=590", dialog_info("terminated", 2))
        arrived, _ = await self.passes(
            watcher,
            watched,
            "SUBSCRIBE",
            ("Event", "dialog"),
            ("Expires", "0"),
            ("Contact", f"<{alice.uri}>"),
        )
        self.assertEqual(arrived["expires"], "0")
        await self.notified(
            watched, watcher, "dialog", "terminated;reason=timeout", dialog_info("terminated", 3)
        )
        talk = await self.talk(alice, bob)
        await self.hangs_up(talk.caller, talk.callee)


class AuthenticatedFlowTests(FlowTestCase):
    auth = True

    @flow("RFC5359-2.18")
    async def test_click_to_dial(self) -> None:
        """A REFER out of a dialog is asked for a password, then goes to Alice's phone, which calls Bob."""
        await self.add_users("web", "alice", "bob")
        web, alice, bob = self.udp("web"), await self.phone("alice"), await self.phone("bob")
        request = web.request("REFER", "alice", ("Refer-To", f"<{bob.aor}>"), ("Referred-By", f"<{web.aor}>"))
        challenge = await web.exchange(request)
        self.assertEqual(challenge.status, 407)
        await alice.silence("REFER")
        allowed = web.authorized(request, challenge)
        web.send(allowed)
        arrived = await alice.expect("REFER")
        self.assertEqual((arrived["refer-to"], arrived.uri), (f"<{bob.aor}>", alice.uri))
        self.assertNotIn("proxy-authorization", arrived)
        accepted = alice.reply(arrived, 202)
        asker = Dialog.of_caller(web, allowed, await web.expect(202))
        asked = Dialog.of_callee(alice, arrived, accepted)
        await self.notified(asked, asker, "refer", "active;expires=60", _TRYING)
        spoken = self.media(alice)
        invite = alice.invite("bob", ("Referred-By", f"<{web.aor}>"), body=spoken.sdp())
        invite = alice.authorized(invite, await alice.exchange(invite))
        alice.send(invite)
        talk = await self.take(alice, invite, spoken, bob)
        self.assertEqual(talk.invite["referred-by"], f"<{web.aor}>")
        await self.notified(asked, asker, "refer", "terminated;reason=noresource", _DONE)
        await self.hangs_up(talk.callee, talk.caller)
