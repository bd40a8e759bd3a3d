"""What comes to a media port or, as keep-alive, to the SIP port: RTP, RTCP (RFC 3550) and STUN (RFC 8489)."""

from __future__ import annotations

from ipaddress import ip_address

from tests.properties.outcome import failed, outcome
from voipcluster.media.latch import Accept, Aim, Arrived, Connect
from voipcluster.media.offer_answer import Side
from voipcluster.media.quality import Passed, Received, StreamQuality, opinion
from voipcluster.media.rtp import Kind, is_rtcp, kind_of, parse_rtp
from voipcluster.media.sdp import SessionDescription
from voipcluster.media.stream import SPOTS, Spot, Stream
from voipcluster.media.target import Address, Targets
from voipcluster.net.stun import binding_response

HOSTS = (
    "198.51.100.7", "198.51.100.8", "10.0.0.5", "203.0.113.9", "2001:db8::7", "fc00::7", "0.0.0.0", "::", "224.0.0.1",
    "127.0.0.1", "192.0.2.1", "240.0.0.1", "fe80::1", "::ffff:198.51.100.7",
)  # fmt: skip
PORTS = (4000, 4001, 4002, 30000, 0)
LINES = ("RTP/AVP 0", "RTP/AVP 0\na=rtcp:4002", "RTP/AVP 0\na=rtcp-mux", "udptl t38", "RTP/AVP 0\na=inactive")
KINDS = list(Kind)
OURS = Targets(frozenset({"192.0.2.1"}), range(30000, 40000), loopback=False)
WINDOW = 3.0  # seconds
EVENTS = 60  # of one line


def check_media_packet(octets: bytes) -> None:
    kind, header = kind_of(octets), outcome(lambda: parse_rtp(octets))
    assert (kind is Kind.RTCP) == is_rtcp(octets)
    if kind is Kind.RTP:
        assert not failed(header)
        assert 0 <= header.payload_type < 128 and header.sequence < 1 << 16 and header.ssrc < 1 << 32
        assert octets[4:12] == header.timestamp.to_bytes(4, "big") + header.ssrc.to_bytes(4, "big")
    if failed(header):
        assert kind is not Kind.RTP


def check_rtcp(octets: bytes) -> None:
    """
    Whatever both ends tell of a stream, what is made of it is possible: losses of what was expected, times that passed.

    C{octets}: one for who sends and when, then a datagram, cut at 0xff 0xff.
    """
    quality, now = StreamQuality(), 0.0
    for told in octets.split(b"\xff\xff")[:EVENTS]:
        side = list(Side)[told[0] & 1] if told else Side.CALLER
        now += (told[0] >> 1) / 100 if told else 0.0
        measured = outcome(
            lambda told=told, side=side, now=now: quality.feed(Passed(side, told[1:], 8000), now)
        )
        if failed(measured):
            continue
        for one in measured:
            if isinstance(one, Received):
                assert 0 <= one.lost < 1 and (one.jitter is None or 0 <= one.jitter < 1 << 20)
            else:
                assert 0 <= one.seconds <= now
    for hearing in quality.hearings.values():
        assert 0 <= hearing.lost <= hearing.expected
        loss = hearing.loss
        if loss is not None:
            assert 0 <= loss <= 1
            score = opinion("PCMU", loss, hearing.jitter.mean, quality.round_trip(), hearing.metrics)
            assert 1 <= score.mos <= 4.5 and 0 <= score.r <= 100 and 0 <= score.lost <= 100
        assert all(0 <= point.lost < 1 for point in hearing.trace)


def check_stun(octets: bytes) -> None:
    for source in (("192.0.2.7", 4711), ("2001:db8::7", 65535), ("fe80::1%eth0", 1)):
        answer = binding_response(octets, source)
        if answer is None:
            continue
        assert kind_of(octets) is Kind.STUN
        assert len(answer) <= 48 and len(answer) <= 3 * len(octets), "no amplifier"
        assert answer[4:20] == octets[4:20], "cookie and transaction"
        assert len(answer) == 20 + int.from_bytes(answer[2:4], "big") and len(answer) % 4 == 0
        assert answer[:2] in (b"\x01\x01", b"\x01\x11")
        assert binding_response(answer, source) is None, (
            "an answer is not answered: no loop between two nodes"
        )


def check_stream(octets: bytes) -> None:
    """
    C{octets}: three for each thing that happens to one relayed line: it is described, a datagram comes, time passes.

    Media goes only where it may, and where signalling or a packet of the phone says; a firm latch believes nobody else (RFC 7362
    section 5).
    """
    stream, now = Stream(OURS, WINDOW), 0.0
    firm: dict[Spot, Address] = {}
    signallers: dict[Side, str] = {}
    octets = octets[: 3 * EVENTS]
    for first, second, third in zip(octets[::3], octets[1::3], octets[2::3], strict=False):
        side = list(Side)[first >> 1 & 1]
        now += (first >> 3 & 7) / 2
        host, port = HOSTS[second % len(HOSTS)], PORTS[third % len(PORTS)]
        if first & 1:
            source = HOSTS[third // len(PORTS) % 4]
            form = LINES[(first >> 5) % len(LINES)]
            family = "IP6" if ":" in host else "IP4"
            text = f"v=0\nc=IN {family} {host}\nm=audio {port or 9} {form}\n"
            line = SessionDescription.parse(text.encode()).media[0]
            signallers[side] = source
            before = {spot: stream.latch(spot).signalled for spot in SPOTS[side]}
            effects = stream.described(side, line, source, now)
            for spot in SPOTS[side]:
                if stream.latch(spot).signalled != before[spot]:
                    firm.pop(spot, None)
            arrived = None
        else:
            spot = SPOTS[side][first >> 2 & 1]
            arrived = Address(host, port)
            event = Arrived(arrived, KINDS[third // len(PORTS) % len(KINDS)])
            effects = stream.arrived(spot, event, now)
            # the other port of that side learns at most that the address it was told is good, or that a third host is not
            for directed in effects:
                if directed.spot != spot:
                    other = stream.latch(directed.spot)
                    assert directed.spot.side is side
                    assert directed.effect in (Aim(other.signalled), Aim(None))
            if spot in firm and arrived != firm[spot]:
                assert not effects, "a firm latch hears nobody else"
        for directed in effects:
            effect, latch = directed.effect, stream.latch(directed.spot)
            if isinstance(effect, Accept):
                assert arrived is not None and arrived == latch.remote
                continue
            address = effect.address
            assert address == latch.remote
            if address is None:
                continue
            assert OURS.usable(*address) == address, "never to a group, to ourselves or into the void"
            if isinstance(effect, Connect):
                assert address == arrived
                firm[directed.spot] = address
            elif arrived is None:
                assert address.host == source or OURS.trusted(source), "a third host has to speak first"
            elif directed.spot == spot:
                assert isinstance(effect, Aim) and address == arrived
                believed = address.host == signallers[directed.spot.side]
                public = latch.signalled is not None and ip_address(latch.signalled.host).is_global
                assert believed or not public, "a public address is meant as it is written"
        for spot in SPOTS[side]:
            if spot in firm:
                assert stream.remote(spot) in (firm[spot], None)
