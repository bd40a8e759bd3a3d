"""What phones negotiate besides one line of audio: fax, late offers, early media of forks, MSRP, lines that are off."""

from __future__ import annotations

import re

from twisted.internet.protocol import Factory, Protocol

from tests.conformance.case import Dialog, Message, Peer
from tests.conformance.flow_case import FlowTestCase, Talk
from tests.conformance.rtp import Address, MediaPort, media_of

FRAGMENT = "application/trickle-ice-sdpfrag"
FREE = "voipcluster_media_ports_free"
BROKEN = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio\r\n"


class FaxPort(MediaPort):
    """UDPTL (ITU-T T.38 section 9.1): a sequence number, an IFP packet, and the one before once more."""

    def packet(self) -> bytes:
        self._sequence += 1
        packets = [
            b"\xc0\x01\x80\x00\x00\x03" + bytes([n % 256]) * 2 + b"\x00" + self.word
            for n in (self._sequence, self._sequence - 1)
        ]
        primary, secondary = (bytes([len(packet)]) + packet for packet in packets)
        return self._sequence.to_bytes(2, "big") + primary + b"\x00\x01" + secondary

    def sdp(self, *attributes: str, version: int = 1, host: str = "") -> bytes:
        lines = [
            "v=0", f"o=- {self.port} {version} IN IP4 {self.host}", "s=-", f"c=IN IP4 {self.host}", "t=0 0",
            f"m=image {self.port} udptl t38", "a=T38FaxVersion:0", "a=T38MaxBitRate:14400",
            "a=T38FaxRateManagement:transferredTCF", "a=T38FaxMaxDatagram:400", "a=T38FaxUdpEC:t38UDPRedundancy",
        ]  # fmt: skip
        return "".join(f"{line}\r\n" for line in lines).encode()


def lines_of(body: bytes) -> list[tuple[str, int]]:
    """Kind and port of each m= line."""
    return [(kind.decode(), int(port)) for kind, port in re.findall(rb"^m=(\w+) (\d+) ", body, re.MULTILINE)]


def others(body: bytes) -> list[bytes]:
    """All lines but those that say where."""
    return [line for line in body.splitlines() if line[:2] not in (b"c=", b"m=")]


class FaxTests(FlowTestCase):
    options = ("--set", "media.relay=userspace", "--set", "media.quarantine=0")

    def fax(self, body: bytes) -> Address:
        """Where the fax line of a description leads: to the node."""
        [(kind, port)] = lines_of(body)
        self.assertEqual(kind, "image")
        host = re.findall(rb"^c=IN IP4 (\S+)\r$", body, re.MULTILINE)[-1].decode()
        self.assertEqual(host, self.node.address)
        return host, port

    async def both_fax(self, one: FaxPort, for_one: Address, two: FaxPort, for_two: Address) -> None:
        """A page each way: what is sent arrives octet for octet, from the port that its receiver was told."""
        await one.reaches(for_one, two)
        await two.reaches(for_two, one)
        for sender, to, receiver, shown in ((one, for_one, two, for_two), (two, for_two, one, for_one)):
            before = len(receiver.raw)
            sent = [sender.say(to) for _ in range(50)]
            await self.until(lambda r=receiver, n=before: len(r.raw) >= n + 50, "all 50 packets have come")
            self.assertEqual(receiver.raw[before:], sent)
            self.assertEqual({source for _, source in receiver.heard[before:]}, {shown})

    async def test_fax_in_the_place_of_audio(self) -> None:
        """
        The called gateway turns an audio call into a fax by a re-INVITE, and back (ITU-T T.38 annex D): each time what is sent
        arrives at the other one, and the parameters of T.38 arrive as they were.
        """
        alice, bob = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(alice, bob)
        sheet, page = FaxPort(self, bob.host), FaxPort(self, alice.host)
        offer, answer = sheet.sdp(version=2), page.sdp(version=2)
        request, response = await self.passes(talk.callee, talk.caller, "INVITE", body=offer, answer=answer)
        self.assertEqual((others(request.body), others(response.body)), (others(offer), others(answer)))
        await self.both_fax(page, self.fax(request.body), sheet, self.fax(response.body))
        heard = len(talk.answered.heard)
        talk.spoken.say(talk.for_caller)  # audio has no way any more
        back = talk.answered.sdp(version=3), talk.spoken.sdp(version=3)
        request, response = await self.passes(
            talk.callee, talk.caller, "INVITE", body=back[0], answer=back[1]
        )
        self.assertEqual(len(talk.answered.heard), heard)
        await self.both_hear(
            talk._replace(for_caller=self.relayed(request.body), for_callee=self.relayed(response.body))
        )
        await self.hangs_up(talk.caller, talk.callee)

    async def test_fax_refused(self) -> None:
        """The phone knows no T.38 (488): they go on talking over the ports that they had (RFC 3261 section 14.1)."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(alice, bob)
        await self.passes(talk.callee, talk.caller, "INVITE", body=FaxPort(self, bob.host).sdp(), status=488)
        await self.both_hear(talk)
        await self.hangs_up(talk.caller, talk.callee)


class KernelFaxTests(FaxTests):
    """The audio before and behind it is relayed by the kernel."""

    options = ("--set", "media.relay=auto", "--set", "media.quarantine=0")


class OfferTests(FlowTestCase):
    options = FaxTests.options

    async def up(
        self, caller: Peer, callee: Peer, offer: bytes, answer: bytes
    ) -> tuple[Dialog, Dialog, Message, Message]:
        """A call with these descriptions: both sides of it, the INVITE as it arrived, and its 200."""
        invite = caller.invite(callee.user, body=offer)
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        ok = callee.reply(arrived, 200, body=answer)
        final = await caller.final(invite)
        ours = Dialog.of_caller(caller, invite, final)
        ours.ack()
        await callee.expect("ACK")
        return ours, Dialog.of_callee(callee, arrived, ok), arrived, final

    async def test_late_offer(self) -> None:
        """An INVITE without a description: the offer is in the 200, the answer in the ACK (RFC 3261 section 13.2.1)."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        spoken, answered = self.media(alice), self.media(bob)
        invite = alice.invite("bob", body=b"")
        alice.send(invite)
        arrived = await bob.expect("INVITE")
        self.assertEqual(arrived.body, b"")
        ok = bob.reply(arrived, 200, body=answered.sdp())
        final = await alice.final(invite)
        ours = Dialog.of_caller(alice, invite, final)
        ours.ack(spoken.sdp())
        ack = await bob.expect("ACK")
        theirs = Dialog.of_callee(bob, arrived, ok)
        talk = Talk(ours, theirs, spoken, answered, self.relayed(final.body), self.relayed(ack.body), arrived)
        await self.both_hear(talk)
        await self.hangs_up(ours, theirs)

    async def test_sound_of_two_phones_that_ring(self) -> None:
        """
        Both phones of bob ring with sound of their own: the caller hears the one that began last, then the one that answers,
        whichever that is; the other one hears nothing and cannot be heard (RFC 3960 section 3.2).
        """
        alice = self.udp("alice")
        desk, cell = await self.phone("bob"), await self.phone("bob")
        spoken, first, last = self.media(alice), self.media(desk), self.media(cell)
        invite = alice.invite("bob", body=spoken.sdp())
        alice.send(invite)
        at_desk, at_cell = await desk.expect("INVITE"), await cell.expect("INVITE")
        for_desk, for_cell = self.relayed(at_desk.body), self.relayed(at_cell.body)
        desk.reply(at_desk, 183, tag="desk", body=first.sdp())
        await alice.expect(183, where=lambda m: m.tag("to") == "desk")
        await first.reaches(for_desk, spoken)
        cell.reply(at_cell, 183, tag="cell", body=last.sdp())
        early = await alice.expect(183, where=lambda m: m.tag("to") == "cell")
        await last.reaches(for_cell, spoken)
        ok = desk.reply(at_desk, 200, tag="desk", body=first.sdp())
        final = await alice.final(invite)
        self.assertEqual(self.relayed(final.body), self.relayed(early.body))
        cancel = await cell.expect("CANCEL")
        cell.reply(cancel, 200)
        cell.reply(at_cell, 487, tag="cell")
        ours = Dialog.of_caller(alice, invite, final)
        ours.ack()
        await desk.expect("ACK")
        theirs = Dialog.of_callee(desk, at_desk, ok)
        talk = Talk(ours, theirs, spoken, first, self.relayed(final.body), for_desk, at_desk)
        await self.both_hear(talk)
        heard, other = len(spoken.heard), len(last.heard)
        last.say(for_cell)
        await self.both_hear(talk)
        self.assertNotIn(last.word, {payload[:8] for payload, _ in spoken.heard[heard:]})
        self.assertEqual(len(last.heard), other)
        await self.hangs_up(ours, theirs)

    async def test_lines_that_are_off(self) -> None:
        """
        Video that is offered and declined, comes with a re-INVITE and goes with another: port 0 stays port 0, takes no port
        of the relay, and gives back those that it had (RFC 3264 sections 6 and 8.2).
        """
        alice, bob = self.udp("alice"), await self.phone("bob")

        async def free() -> float:
            return (await self.node.numbers())[FREE]

        spoken, answered = self.media(alice), self.media(bob)
        seen, shown = self.media(alice), self.media(bob)

        def body(audio: MediaPort, video: MediaPort | None, version: int) -> bytes:
            port = 0 if video is None else video.port
            return audio.sdp(version=version) + b"m=video %d RTP/AVP 0\r\n" % port

        before = await free()
        up = await self.up(alice, bob, body(spoken, seen, 1), body(answered, None, 1))
        ours, theirs, arrived, final = up
        self.assertEqual(lines_of(final.body)[1], ("video", 0))
        talk = Talk(ours, theirs, spoken, answered, media_of(final.body), media_of(arrived.body), arrived)
        await self.both_hear(talk)
        self.assertEqual(before - await free(), 2)

        offer, answer = await self.passes(
            ours, theirs, "INVITE", body=body(spoken, seen, 2), answer=body(answered, shown, 2)
        )
        self.assertEqual((media_of(offer.body), media_of(answer.body)), (talk.for_callee, talk.for_caller))
        to_bob, to_alice = ((self.node.address, lines_of(message.body)[1][1]) for message in (answer, offer))
        await seen.reaches(to_bob, shown)
        await shown.reaches(to_alice, seen)
        self.assertEqual(before - await free(), 4)

        offer, answer = await self.passes(
            ours, theirs, "INVITE", body=body(spoken, None, 3), answer=body(answered, None, 3)
        )
        self.assertEqual([lines_of(message.body)[1] for message in (offer, answer)], [("video", 0)] * 2)
        await self.both_hear(talk)
        self.assertEqual(before - await free(), 2)
        await self.hangs_up(ours, theirs)

    async def test_msrp(self) -> None:
        """A session of messages beside audio goes past the relay: its line stays, its connection is theirs alone (RFC 4975)."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        spoken, answered = self.media(alice), self.media(bob)
        came: list[bytes] = []

        class Reader(Protocol):
            def dataReceived(self, data: bytes) -> None:
                came.append(data)

        listening = self.reactor.listenTCP(0, Factory.forProtocol(Reader), interface=bob.host)

        async def close() -> None:
            await listening.stopListening()

        self.at_end(close)

        def lines(peer: Peer, port: int) -> bytes:
            return (
                f"m=message {port} TCP/MSRP *\r\nc=IN IP4 {peer.host}\r\na=accept-types:text/plain\r\n"
                f"a=path:msrp://{peer.host}:{port}/s111271;tcp\r\n"
            ).encode()

        offered, given = lines(alice, 7654), lines(bob, listening.getHost().port)
        up = await self.up(alice, bob, spoken.sdp() + offered, answered.sdp() + given)
        ours, theirs, arrived, final = up
        self.assertTrue(arrived.body.endswith(offered), arrived.body)
        self.assertTrue(final.body.endswith(given), final.body)
        await spoken.reaches(self.first_line(final.body), answered)
        path = re.search(rb"a=path:msrp://([\d.]+):(\d+)/", final.body)
        assert path is not None
        talking = await alice.connect(path[1].decode(), int(path[2]))
        talking.write(b"MSRP d93kswow SEND\r\n-------d93kswow$\r\n")
        await self.until(lambda: b"".join(came).endswith(b"d93kswow$\r\n"), "the message has come")
        await talking.close()
        alice.connection = None
        await self.hangs_up(ours, theirs)

    def first_line(self, body: bytes) -> Address:
        """Where the audio of a description with several lines goes."""
        found = re.search(
            rb"^c=IN IP4 (\S+)\r\n(?:.*\r\n)*?m=audio (\d+)|^m=audio (\d+).*\r\nc=IN IP4 (\S+)\r$", body, re.M
        )
        assert found is not None, body
        host, port = (found[1], found[2]) if found[1] else (found[4], found[3])
        self.assertEqual(host.decode(), self.node.address)
        return host.decode(), int(port)


class BrokenAnswerTests(FlowTestCase):
    """A description that the relay can do nothing with, where no proxy may refuse it any more (docs/calls.md)."""

    options = FaxTests.options

    async def both_are_told(self, ours: Dialog, theirs: Dialog) -> None:
        """BYE to both, each in the name of the other one, and nothing is left of the call."""
        for told, other in ((ours, theirs), (theirs, ours)):
            bye = await told.peer.expect("BYE", where=lambda m: m.call_id == ours.call_id)
            self.assertEqual((bye.uri, bye["from"], bye["to"]), (told.peer.uri, other.local, told.local))
            self.assertIn("SIP;cause=488", bye["reason"])
            self.assertEqual(len(bye.values("via")), 1)
            told.peer.reply(bye, 200)
        [row] = await self.node.ask("calls", call_id=ours.call_id)
        self.assertTrue(row["reason"].startswith("not relayed (SDP line m="), row)

    async def test_answer(self) -> None:
        """The 200 arrives as it was sent, with its ACK, then each party hears BYE of the other one (RFC 3261 section 16.7)."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        base = await self.counts()
        invite = alice.invite("bob", body=self.media(alice).sdp())
        alice.send(invite)
        arrived = await bob.expect("INVITE")
        ok = bob.reply(arrived, 200, body=BROKEN)
        final = await alice.final(invite)
        self.assertEqual((final.status, final.body), (200, BROKEN))
        await alice.silence("BYE")
        ours, theirs = Dialog.of_caller(alice, invite, final), Dialog.of_callee(bob, arrived, ok)
        ours.ack()
        await bob.expect("ACK")
        await self.both_are_told(ours, theirs)
        await self.returns_to(base)

    async def test_answer_in_ack(self) -> None:
        """A late offer: the ACK arrives as it was sent, so that the callee repeats nothing (section 13.3.1.4)."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        invite = alice.invite("bob", body=b"")
        alice.send(invite)
        arrived = await bob.expect("INVITE")
        ok = bob.reply(arrived, 200, body=self.media(bob).sdp())
        final = await alice.final(invite)
        ours, theirs = Dialog.of_caller(alice, invite, final), Dialog.of_callee(bob, arrived, ok)
        ours.ack(BROKEN)
        self.assertEqual((await bob.expect("ACK")).body, BROKEN)
        await self.both_are_told(ours, theirs)

    async def test_later_answer(self) -> None:
        """A call in which both hear each other ends by the answer to a re-INVITE of the callee."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(alice, bob)
        offer = talk.answered.sdp(version=2)
        await self.passes(talk.callee, talk.caller, "INVITE", body=offer, answer=BROKEN)
        await self.both_are_told(talk.caller, talk.callee)

    async def test_reliable_answer(self) -> None:
        """A 183 with 100rel is the answer: it goes nowhere, and its branch is cancelled (RFC 3262 section 5)."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        invite = alice.invite("bob", ("Supported", "100rel"), body=self.media(alice).sdp())
        alice.send(invite)
        arrived = await bob.expect("INVITE")
        bob.reply(arrived, 183, ("Require", "100rel"), ("RSeq", "1"), body=BROKEN)
        bob.reply(await bob.expect("CANCEL"), 200)
        bob.reply(arrived, 487)
        final = await alice.final(invite)
        self.assertEqual(final.status, 502)
        alice.ack(invite, final)
        self.assertEqual([m for m in alice.heard if m.start.startswith("SIP/2.0 183")], [])


class KernelBrokenAnswerTests(BrokenAnswerTests):
    options = KernelFaxTests.options


class TrickleTests(FlowTestCase):
    """The relay is no ICE agent, so it lets pass what the phones say of theirs."""

    options = ("--set", "media.ice=pass")

    async def test_candidates_pass(self) -> None:
        """Candidates that come behind the offer arrive as they were sent, and so does what else an INFO has (RFC 8840)."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        ours, theirs = await self.call(alice, bob)
        for content_type, body in (
            (
                FRAGMENT,
                b"a=ice-ufrag:alic\r\na=mid:0\r\na=candidate:1 1 UDP 2130706431 192.0.2.9 4000 typ host\r\n",
            ),
            (FRAGMENT, b"a=mid:0\r\na=end-of-candidates\r\n"),
            ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n"),
        ):
            request = ours.request("INFO", ("Info-Package", "trickle-ice"), body=body)
            request.set("Content-Type", content_type)
            alice.send(request)
            arrived = await bob.expect("INFO")
            self.assertEqual((arrived.body, arrived["content-type"]), (body, content_type))
            bob.reply(arrived, 200)
            self.assertEqual((await alice.final(request)).status, 200)
        await self.hangs_up(ours, theirs)


class RelayedTrickleTests(FlowTestCase):
    """The relay is the agent of each side."""

    async def test_candidates_go_past_nobody(self) -> None:
        """The INFO arrives, without candidates that would lead past the relay (docs/sdp.md)."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        ours, theirs = await self.call(alice, bob)
        body = b"a=mid:0\r\na=candidate:1 1 UDP 2130706431 192.0.2.9 4000 typ host\r\na=end-of-candidates\r\n"
        request = ours.request("INFO", body=body)
        request.set("Content-Type", FRAGMENT)
        alice.send(request)
        arrived = await bob.expect("INFO")
        self.assertEqual(arrived.body, b"a=mid:0\r\na=end-of-candidates\r\n")
        bob.reply(arrived, 200)
        await alice.final(request)
        await self.hangs_up(ours, theirs)
