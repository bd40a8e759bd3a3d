"""Who is believed about the address of a phone: each race between signalling, NAT and strangers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.latch import Accept, Aim, Arrived, Connect, HeardFrom, Latch, Signalled, State
from voipcluster.media.rtp import Kind
from voipcluster.media.target import Address

PUBLIC = Address("198.51.100.7", 4000)  # signalled, and where the signalling came from
PRIVATE = Address("192.168.1.5", 4000)  # signalled from behind a NAT
MAPPED = Address("198.51.100.7", 61234)  # the same phone through its NAT
STRANGER = Address("203.0.113.66", 4000)
ATTACKER_ON_HOST = Address("198.51.100.7", 5555)


def rtp(source: Address) -> Arrived:
    return Arrived(source, Kind.RTP)


class LatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.latch = Latch(window=3.0)

    def signalled(self, address: Address | None, source: str = PUBLIC.host, now: float = 0.0) -> None:
        self.assertEqual(self.latch.feed(Signalled(address, source), now), [Aim(address)])

    def test_shut_before_signalling(self) -> None:
        """What comes before any description is not forwarded (attack M3)."""
        self.assertEqual(self.latch.feed(rtp(STRANGER), 0), [])
        self.assertIs(self.latch.state, State.SHUT)

    def test_signalled_address_latches_at_once(self) -> None:
        """The first packet from the signalled address makes the latch firm."""
        self.signalled(PUBLIC)
        self.assertEqual(self.latch.feed(rtp(PUBLIC), 0.1), [Accept(), Connect(PUBLIC)])
        self.assertIs(self.latch.state, State.LATCHED)

    def test_sends_to_signalled_address_before_a_packet(self) -> None:
        """Media goes to the signalled address at once: the peer may only listen (RFC 3264 section 5.1)."""
        self.signalled(PUBLIC)
        self.assertEqual(self.latch.remote, PUBLIC)

    def test_nat_is_learned_from_the_signalling_host(self) -> None:
        """A private address in the description, packets from the host that sent it (RFC 7362 section 5)."""
        self.signalled(PRIVATE)
        self.assertEqual(self.latch.feed(rtp(MAPPED), 0.1), [Accept(), Aim(MAPPED)])
        self.assertEqual(self.latch.feed(rtp(MAPPED), 3.0), [Accept()])
        self.assertEqual(self.latch.feed(rtp(MAPPED), 3.1), [Accept(), Connect(MAPPED)])
        self.assertEqual(self.latch.remote, MAPPED)

    def test_true_peer_wins_within_the_window(self) -> None:
        """A learned source on the right host gives way to the signalled address (attack M3)."""
        self.signalled(PUBLIC)
        self.latch.feed(rtp(ATTACKER_ON_HOST), 0.0)
        self.assertEqual(self.latch.feed(rtp(PUBLIC), 0.5), [Accept(), Connect(PUBLIC)])
        self.assertEqual(self.latch.feed(rtp(ATTACKER_ON_HOST), 0.6), [])

    def test_only_one_is_learned(self) -> None:
        """A second source on the same host is dropped while one is learned."""
        self.signalled(PRIVATE)
        self.latch.feed(rtp(MAPPED), 0.0)
        self.assertEqual(self.latch.feed(rtp(ATTACKER_ON_HOST), 0.1), [])
        self.assertEqual(self.latch.remote, MAPPED)

    def test_nobody_takes_over_a_firm_latch(self) -> None:
        """Once firm, packets from elsewhere are neither forwarded nor learned (attacks M1, M2)."""
        self.signalled(PUBLIC)
        self.latch.feed(rtp(PUBLIC), 0.1)
        for now in (1.0, 10.0, 1000.0):
            self.assertEqual(self.latch.feed(rtp(STRANGER), now), [])
            self.assertEqual(self.latch.feed(rtp(ATTACKER_ON_HOST), now), [])
        self.assertEqual(self.latch.feed(rtp(PUBLIC), 1001.0), [Accept()])

    def test_late_packet_of_the_signalled_address_after_the_window(self) -> None:
        """After the window the learned address is firm, even against the signalled one."""
        self.signalled(PRIVATE)
        self.latch.feed(rtp(MAPPED), 0.0)
        self.latch.feed(rtp(MAPPED), 3.0)
        self.assertEqual(self.latch.feed(rtp(PRIVATE), 3.1), [])

    def test_strangers_have_no_chance_without_a_nat(self) -> None:
        """A phone that names its public address is never replaced by a third host, however long it is silent."""
        self.signalled(PUBLIC)
        self.assertEqual(self.latch.feed(rtp(STRANGER), 1000.0), [])

    def test_third_host_after_the_window_behind_a_nat(self) -> None:
        """Behind a NAT with another address for media a third host is learned, but only after the window."""
        self.signalled(PRIVATE)
        self.assertEqual(self.latch.feed(rtp(STRANGER), 2.9), [])
        self.assertEqual(self.latch.feed(rtp(STRANGER), 3.0), [Accept(), Aim(STRANGER)])
        self.assertEqual(self.latch.feed(rtp(PRIVATE), 3.1), [Accept(), Connect(PRIVATE)])

    def test_third_host_that_was_meant(self) -> None:
        """Left-overs of the phone are not learned at once when media was pointed elsewhere (RFC 5359 section 2.3)."""
        music = Address("203.0.113.99", 8000)
        self.signalled(music)
        self.assertEqual(self.latch.feed(rtp(PUBLIC), 2.9), [])
        self.assertEqual(self.latch.feed(rtp(STRANGER), 9.0), [])
        self.assertEqual(self.latch.feed(rtp(PUBLIC), 3.0), [Accept(), Aim(PUBLIC)])
        self.assertEqual(self.latch.feed(rtp(music), 3.1), [Accept(), Connect(music)])

    def test_handshakes_of_third_hosts_teach_nothing(self) -> None:
        """A DTLS or STUN packet from a third host is dropped also after the window (attack M6)."""
        self.signalled(PRIVATE)
        for kind in (Kind.DTLS, Kind.STUN, Kind.ZRTP, Kind.OTHER):
            self.assertEqual(self.latch.feed(Arrived(STRANGER, kind), 10.0), [])
        self.assertEqual(self.latch.feed(Arrived(MAPPED, Kind.DTLS), 10.0), [Accept(), Aim(MAPPED)])

    def test_junk_teaches_nothing_on_rtp_lines(self) -> None:
        """Not even the signalled address latches with something that is no media (attack M4)."""
        self.signalled(PUBLIC)
        self.assertEqual(self.latch.feed(Arrived(PUBLIC, Kind.OTHER), 0.1), [])
        self.latch.checked = False  # T.38, for instance: we cannot read it
        self.assertEqual(self.latch.feed(Arrived(PUBLIC, Kind.OTHER), 0.1), [Accept(), Connect(PUBLIC)])

    def test_same_address_again_changes_nothing(self) -> None:
        """A refresh with the same description keeps the latch (RFC 4028)."""
        self.signalled(PUBLIC)
        self.latch.feed(rtp(PUBLIC), 0.1)
        self.assertEqual(self.latch.feed(Signalled(PUBLIC, PUBLIC.host), 900.0), [])
        self.assertIs(self.latch.state, State.LATCHED)

    def test_new_address_opens_again(self) -> None:
        """New signalling opens a firm latch (RFC 3264 section 8.3.1)."""
        moved = Address("203.0.113.9", 7000)
        self.signalled(PUBLIC)
        self.latch.feed(rtp(PUBLIC), 0.1)
        self.signalled(moved, moved.host, 10.0)
        self.assertEqual(self.latch.feed(rtp(PUBLIC), 10.1), [])
        self.assertEqual(self.latch.feed(rtp(moved), 10.2), [Accept(), Connect(moved)])

    def test_unusable_address(self) -> None:
        """Nothing is sent to a forbidden address; the phone can still be learned on its signalling host (attack M7)."""
        self.signalled(None)
        self.assertIsNone(self.latch.remote)
        self.assertEqual(self.latch.feed(rtp(MAPPED), 0.1), [Accept(), Aim(MAPPED)])


class BeforeTheAnswerTests(SynchronousTestCase):
    """Attack M3: who sends while it rings, to be the first, has won nothing."""

    def setUp(self) -> None:
        self.latch = Latch(window=3.0)

    def test_same_host(self) -> None:
        """Another port of the phone's host is not firm before the answer, nor in the window behind it."""
        self.latch.feed(Signalled(PUBLIC, PUBLIC.host, due=False), 0)
        for now in range(20):
            self.assertNotIn(Connect(ATTACKER_ON_HOST), self.latch.feed(rtp(ATTACKER_ON_HOST), now))
        self.assertEqual(self.latch.feed(Signalled(PUBLIC, PUBLIC.host), 20.0), [])
        self.assertEqual(self.latch.feed(rtp(ATTACKER_ON_HOST), 20.2), [Accept()])
        self.assertEqual(self.latch.feed(rtp(PUBLIC), 20.5), [Accept(), Connect(PUBLIC)])

    def test_third_host(self) -> None:
        """A third host is not heard at all before the answer and in the window behind it, though the phone has a NAT."""
        self.latch.feed(Signalled(PRIVATE, PUBLIC.host, vouched=False, due=False), 0)
        for now in (0.1, 3.1, 20.0):
            self.assertEqual(self.latch.feed(rtp(STRANGER), now), [])
        self.latch.feed(Signalled(PRIVATE, PUBLIC.host, vouched=False), 20.0)
        self.assertEqual(self.latch.feed(rtp(STRANGER), 22.9), [])
        self.assertEqual(self.latch.feed(rtp(MAPPED), 22.95), [Accept(), Aim(MAPPED)])
        self.assertEqual(self.latch.feed(rtp(STRANGER), 30.0), [])

    def test_third_host_never_becomes_firm(self) -> None:
        """However long it was the only one: what comes from the phone's own host takes its place."""
        self.latch.feed(Signalled(PRIVATE, PUBLIC.host), 0)
        self.assertEqual(self.latch.feed(rtp(STRANGER), 3.0), [Accept(), Aim(STRANGER)])
        for now in (4.0, 7.0, 100.0):
            self.assertEqual(self.latch.feed(rtp(STRANGER), now), [Accept()])
        self.assertEqual(self.latch.feed(rtp(MAPPED), 101.0), [Accept(), Aim(MAPPED)])
        self.assertEqual(self.latch.feed(rtp(STRANGER), 101.1), [])

    def test_nat_that_keeps_ports(self) -> None:
        """Of two sources behind one NAT the one with the port that was signalled is believed."""
        kept = Address(MAPPED.host, PRIVATE.port)
        self.latch.feed(Signalled(PRIVATE, PUBLIC.host), 0)
        self.latch.feed(rtp(MAPPED), 0.1)
        self.assertEqual(self.latch.feed(rtp(kept), 0.2), [Accept(), Aim(kept)])
        self.assertEqual(self.latch.feed(rtp(MAPPED), 0.3), [])

    def test_nat_that_changes_its_mind(self) -> None:
        """A learned port that is silent for the window makes room for another one of the same host (attack M2: only of that)."""
        self.latch.feed(Signalled(PRIVATE, PUBLIC.host, due=False), 0)
        self.latch.feed(rtp(MAPPED), 1.0)
        self.latch.feed(rtp(MAPPED), 2.0)
        self.assertEqual(self.latch.feed(rtp(ATTACKER_ON_HOST), 4.9), [])
        self.assertEqual(self.latch.feed(rtp(STRANGER), 9.0), [])
        self.assertEqual(self.latch.feed(rtp(ATTACKER_ON_HOST), 9.0), [Accept(), Aim(ATTACKER_ON_HOST)])


class ThirdPartyTests(SynchronousTestCase):
    """Attack M7: the relay sends nothing to a host that only a description names."""

    music = Address("203.0.113.99", 8000)

    def setUp(self) -> None:
        self.latch = Latch(window=3.0)
        self.assertEqual(self.latch.feed(Signalled(self.music, PUBLIC.host, vouched=False), 0), [Aim(None)])

    def test_until_it_speaks(self) -> None:
        """Its own first packet is what opens it."""
        self.assertIsNone(self.latch.remote)
        self.assertEqual(self.latch.feed(rtp(self.music), 9.0), [Accept(), Connect(self.music)])

    def test_other_port(self) -> None:
        """So does RTCP from the same host, of one that only listens (RFC 3550 section 6)."""
        self.assertEqual(self.latch.feed(HeardFrom(STRANGER.host, media=False), 1.0), [])
        self.assertEqual(self.latch.feed(HeardFrom(self.music.host, media=False), 1.0), [Aim(self.music)])
        self.assertEqual(self.latch.remote, self.music)
        self.assertEqual(self.latch.feed(HeardFrom(self.music.host, media=False), 2.0), [])

    def test_vouched_later(self) -> None:
        """The same address from somebody who may name it."""
        self.assertEqual(self.latch.feed(Signalled(self.music, self.music.host), 1.0), [Aim(self.music)])


class RtcpTests(SynchronousTestCase):
    """RTCP comes from where RTP comes (attack M1: receiver reports, and whom a third host learns to know by them)."""

    def setUp(self) -> None:
        self.latch = Latch(window=3.0)
        self.latch.feed(Signalled(PRIVATE, PUBLIC.host), 0)

    def test_no_third_host_beside_a_phone_that_speaks(self) -> None:
        """A third host is not learned for RTCP however long the phone sends none, once its RTP has come from elsewhere."""
        self.assertEqual(self.latch.feed(HeardFrom(MAPPED.host, media=True), 1.0), [])
        for now in (3.0, 30.0, 300.0):
            self.assertEqual(self.latch.feed(Arrived(STRANGER, Kind.RTCP), now), [])
        self.assertEqual(self.latch.feed(Arrived(MAPPED, Kind.RTCP), 301.0), [Accept(), Aim(MAPPED)])

    def test_third_host_that_was_first(self) -> None:
        """One that was learned before the phone spoke is forgotten."""
        self.latch.feed(Arrived(STRANGER, Kind.RTCP), 3.0)
        self.assertEqual(self.latch.remote, STRANGER)
        self.assertEqual(self.latch.feed(HeardFrom(MAPPED.host, media=True), 4.0), [Aim(PRIVATE)])
        self.assertEqual(self.latch.feed(Arrived(STRANGER, Kind.RTCP), 5.0), [])

    def test_media_from_a_third_host(self) -> None:
        """Where RTP itself comes from a third host, RTCP does so, too, and RTCP alone says nothing about RTP."""
        self.latch.feed(HeardFrom(STRANGER.host, media=False), 1.0)
        self.latch.feed(HeardFrom(STRANGER.host, media=True), 3.0)
        self.assertEqual(self.latch.feed(Arrived(STRANGER, Kind.RTCP), 3.1), [Accept(), Aim(STRANGER)])
        self.assertEqual(self.latch.feed(HeardFrom(STRANGER.host, media=True), 4.0), [])
        rtp_latch = Latch(window=3.0)
        rtp_latch.feed(Signalled(PRIVATE, PUBLIC.host), 0)
        rtp_latch.feed(HeardFrom(MAPPED.host, media=False), 1.0)
        self.assertEqual(rtp_latch.feed(rtp(STRANGER), 3.0), [Accept(), Aim(STRANGER)])

    def test_new_signalling(self) -> None:
        """With another description all begins anew."""
        self.latch.feed(HeardFrom(MAPPED.host, media=True), 1.0)
        self.latch.feed(Signalled(Address("10.0.0.9", 4000), PUBLIC.host), 2.0)
        self.assertEqual(self.latch.feed(Arrived(STRANGER, Kind.RTCP), 5.0), [Accept(), Aim(STRANGER)])
