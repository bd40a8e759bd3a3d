"""The attacks on the relay, played from hosts of their own against each path that media takes (docs/security.md)."""

from __future__ import annotations

import contextlib
import secrets

from OpenSSL import SSL

from tests.certificates import Authority
from tests.conformance.case import Dialog, Peer
from tests.conformance.marks import attack
from tests.conformance.network_case import (
    BEHIND,
    BEHIND6,
    PORTS,
    RELAY6,
    ROUTER,
    ROUTER6,
    SPRAY,
    NetworkTestCase,
)
from tests.conformance.rtp import Address

_ROUNDS = 40  # of packets, in tests that send some at a time
_SILENCE_BEFORE_ANSWER = 3.5  # seconds of ringing; longer than a learned address is tentative


class AttackTests(NetworkTestCase):
    """Through the process itself, over IPv4."""

    def all_ports(self) -> list[Address]:
        return [(self.node_host, port) for port in range(PORTS[0], PORTS[1] + 1)]

    def natted(self) -> Peer:
        """A phone behind the router, whose Contact and SDP say its private address."""
        return self.udp("alice", host=BEHIND6 if self.six else BEHIND)

    def assert_stranger_heard_nothing(self, stranger_host: str) -> None:
        self.assertEqual(self.sent_by_relay(stranger_host), [])

    @attack("M1", "M2")
    async def test_bleed_and_injection(self) -> None:
        """
        A third address sprays all ports at ten times the rate of the call, then with the victim's SSRC and next number: nothing
        goes to it, nothing of it to the parties, and these lose nothing.
        """
        talk = await self.talk(self.alice(), await self.bob())
        mallory = self.stranger()
        await self.settled(talk)
        spoken, answered = talk.spoken, talk.answered
        said, replied, injected = list[bytes](), list[bytes](), list[bytes]()
        for _ in range(_ROUNDS):
            mallory.send(SPRAY, *self.all_ports())
            injected += [spoken.packet(), answered.packet()]  # with numbers that the phones then leave out
            mallory.send(injected[-2], talk.for_caller)
            mallory.send(injected[-1], talk.for_callee)
            said.append(spoken.say(talk.for_caller))
            replied.append(answered.say(talk.for_callee))
            await self.until(
                lambda: said[-1] in answered.raw and replied[-1] in spoken.raw, "both hear", 30.0
            )
        self.assertEqual([packet for packet in answered.raw if packet in said], said)
        self.assertEqual([packet for packet in spoken.raw if packet in replied], replied)
        self.assertEqual({*injected, SPRAY} & {*answered.raw, *spoken.raw}, set())
        self.assert_stranger_heard_nothing(mallory.host)
        self.assertEqual(mallory.heard(), [])
        self.took_the_path(talk, 2 * _ROUNDS)
        await self.hangs_up(talk.caller, talk.callee)

    @attack("M1", "M3")
    async def test_race_for_a_phone_behind_a_nat(self) -> None:
        """
        Whoever sprays while it rings, and goes on, wins nothing: the phone behind the router is heard when it speaks half a
        second after the answer, and hears; at no time a packet goes to the sprayer.
        """
        alice, bob, mallory = self.natted(), await self.bob(), self.stranger()
        spoken = self.media(alice)
        invite = alice.invite("bob", body=spoken.sdp(), via=";rport")
        alice.send(invite)
        arrived = await bob.expect("INVITE")
        bob.reply(arrived, 180)

        def spray() -> bool:
            mallory.send(SPRAY, *self.all_ports())
            return True

        await self.hold(_SILENCE_BEFORE_ANSWER, spray, "spraying")
        answered = self.media(bob)
        ok = bob.reply(arrived, 200, body=answered.sdp())
        final = await alice.final(invite)
        ours, theirs = Dialog.of_caller(alice, invite, final), Dialog.of_callee(bob, arrived, ok)
        ours.ack()
        for_alice, for_bob = self.relayed(final.body), self.relayed(arrived.body)

        def both() -> bool:
            answered.say(for_bob)
            return spray()

        await self.hold(0.5, both, "bob speaks, alice not yet")
        spoken.say(for_alice)
        await spoken.reaches(for_alice, answered)
        spray()
        await answered.reaches(for_bob, spoken)
        self.assertEqual({payload[:8] for payload, _ in answered.heard}, {spoken.word})
        self.assertEqual({payload[:8] for payload, _ in spoken.heard}, {answered.word})

        def reports() -> bool:  # alice sends none, so nobody knows where she would take them
            answered.send(b"\x80\xc9\x00\x01" + answered.word[:4], (for_bob[0], for_bob[1] + 1))
            mallory.send(b"\x80\xc9\x00\x01evil", *self.all_ports())
            return both()

        await self.hold(_SILENCE_BEFORE_ANSWER, reports, "bob sends receiver reports, and mallory others")
        self.assert_stranger_heard_nothing(mallory.host)
        self.assertEqual(
            {sent.destination[0] for sent in self.sent_by_relay(*self.routers)}, {self.routers[0]}
        )
        await self.hangs_up(theirs, ours)

    @property
    def routers(self) -> tuple[str, ...]:
        return (ROUTER6 if self.six else ROUTER, BEHIND6 if self.six else BEHIND)

    @attack("M3")
    async def test_race_on_the_phone_s_own_host(self) -> None:
        """Another program on the phone's own host sprays from before the answer on: what the phone signalled wins."""
        alice, bob = self.alice(), await self.bob()
        rival = self.media(bob)
        spoken, answered = self.media(alice), self.media(bob)
        invite = alice.invite("bob", body=spoken.sdp())
        alice.send(invite)
        arrived = await bob.expect("INVITE")
        for_bob = self.relayed(arrived.body)
        bob.reply(arrived, 183, body=answered.sdp())
        await alice.expect(183)

        def spray() -> bool:
            rival.say(for_bob)
            return True

        await self.hold(_SILENCE_BEFORE_ANSWER, spray, "spraying")
        ok = bob.reply(arrived, 200, body=answered.sdp())
        final = await alice.final(invite)
        ours = Dialog.of_caller(alice, invite, final)
        ours.ack()
        await bob.expect("ACK")
        await self.hold(0.5, spray, "spraying behind the answer")
        await answered.reaches(for_bob, spoken)
        await spoken.reaches(self.relayed(final.body), answered)
        spoken.heard.clear()
        rival.heard.clear()
        for _ in range(_ROUNDS):
            spray()
            spoken.say(self.relayed(final.body))
        await answered.reaches(for_bob, spoken)
        self.assertEqual({payload[:8] for payload, _ in spoken.heard}, {answered.word})
        self.assertEqual(rival.heard, [])
        await self.hangs_up(ours, Dialog.of_callee(bob, arrived, ok))

    @attack("M4")
    async def test_rtcp(self) -> None:
        """RTCP of four octets, with a length beyond its end, and a forged BYE, of strangers and of a party: no effect."""
        talk = await self.talk(self.alice(), await self.bob())
        await self.settled(talk)
        mallory = self.stranger()
        ssrc = talk.spoken.packet()[8:12]
        hostile = (
            b"\x80\xc8\x00\x00",  # a sender report without a sender
            b"\x80\xc8\xff\xff" + ssrc + bytes(20),
            b"\x81\xcb\x00\x01" + ssrc,  # BYE
            b"\x81\xcb\x00\x01" + talk.answered.packet()[8:12],
        )
        heard = [len(port.raw) for port in (talk.spoken, talk.answered)]
        for host, number in (talk.for_caller, talk.for_callee):
            for packet in hostile:
                mallory.send(packet, (host, number), (host, number + 1))
        for packet in hostile:
            talk.spoken.send(packet, talk.for_caller)
            talk.spoken.send(packet, (talk.for_caller[0], talk.for_caller[1] + 1))
        for _ in range(3):
            await self.both_hear(talk)
        self.assertEqual(self.sent_by_relay(mallory.host), [])
        new = [port.raw[count:] for port, count in zip((talk.spoken, talk.answered), heard, strict=True)]
        # what a party says itself is for the other one to judge; nothing else passed, and the call goes on
        self.assertEqual([packet for packet in new[0] if len(packet) < 100], [])
        self.assertLessEqual({packet for packet in new[1] if len(packet) < 100}, set(hostile[1:]))
        (call,) = await self.node.ask("calls", call_id=talk.caller.call_id)
        self.assertEqual(call["state"], "up")
        await self.hangs_up(talk.callee, talk.caller)

    @attack("M5")
    async def test_srtp_that_nobody_can_verify(self) -> None:
        """A thousand SRTP packets with a wrong tag, of a stranger and of the party itself: the call lives."""
        key = secrets.token_urlsafe(30)
        self.profile, self.attributes = "RTP/SAVP", [f"crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}"]
        talk = await self.talk(self.alice(), await self.bob())
        await self.settled(talk)
        mallory = self.stranger()
        for _ in range(250):
            bad = talk.spoken.packet()[:-10] + secrets.token_bytes(10)
            mallory.send(bad, talk.for_caller, talk.for_callee)
            for _ in range(2):
                talk.spoken.send(bad, talk.for_caller)
            await self.tick(0)
        await self.both_hear(talk)
        self.assertEqual(self.sent_by_relay(mallory.host), [])
        (call,) = await self.node.ask("calls", call_id=talk.caller.call_id)
        self.assertEqual(call["state"], "up")
        self.took_the_path(talk, 400)
        await self.hangs_up(talk.caller, talk.callee)

    @attack("M6")
    async def test_hello_of_somebody_else(self) -> None:
        """A forged DTLS ClientHello is there before the phones': it reaches nobody, and their handshake completes."""
        alice, bob, mallory = self.alice(), await self.bob(), self.stranger()
        self.profile = "UDP/TLS/RTP/SAVPF"
        self.attributes = ["setup:actpass", f"fingerprint:sha-256 {':'.join(['AB'] * 32)}"]
        spoken, answered = self.media(alice), self.media(bob)
        invite = alice.invite("bob", body=spoken.sdp())
        alice.send(invite)
        arrived = await bob.expect("INVITE")
        ok = bob.reply(arrived, 200, body=answered.sdp())
        final = await alice.final(invite)
        ours, theirs = Dialog.of_caller(alice, invite, final), Dialog.of_callee(bob, arrived, ok)
        ours.ack()
        client, server = _handshake(Authority(self.folder))
        forged = _flight(_handshake(Authority(self.folder))[0])
        for_alice, for_bob = self.relayed(final.body), self.relayed(arrived.body)
        mallory.send(forged[0], for_alice, for_bob)
        done: set[SSL.Connection] = set()

        def shaken() -> bool:
            for end, port, to in ((client, spoken, for_alice), (server, answered, for_bob)):
                for datagram in port.raw:
                    end.bio_write(datagram)
                port.raw.clear()
                try:
                    end.do_handshake()
                    done.add(end)
                except SSL.WantReadError:
                    pass
                for datagram in _flight(end):
                    port.send(datagram, to)
                mallory.send(forged[0], for_alice, for_bob)
            return len(done) == 2

        await self.until(shaken, "the handshake completes", 30.0)
        self.assertEqual(self.sent_by_relay(mallory.host), [])
        await self.hangs_up(ours, theirs)


def _handshake(authority: Authority) -> tuple[SSL.Connection, SSL.Connection]:
    """Both ends of a DTLS association (RFC 5764) that has not begun."""
    pair = authority.issue("phone")
    context = SSL.Context(SSL.DTLS_METHOD)
    context.use_certificate_file(str(pair.certificate))
    context.use_privatekey_file(str(pair.key))
    client, server = SSL.Connection(context, None), SSL.Connection(context, None)
    client.set_connect_state()
    server.set_accept_state()
    for end in (client, server):
        end.set_ciphertext_mtu(1200)
    return client, server


def _flight(end: SSL.Connection) -> list[bytes]:
    """What one end of it has to say now, one datagram each."""
    with contextlib.suppress(SSL.WantReadError):
        end.do_handshake()
    said = []
    while True:
        try:
            said.append(end.bio_read(65535))
        except SSL.WantReadError:
            return said


class Ipv6AttackTests(AttackTests):
    node_host = RELAY6
