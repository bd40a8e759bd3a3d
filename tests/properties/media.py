"""Session descriptions (RFC 8866), bodies that hold one (RFC 2046), and offer/answer (RFC 3264)."""

from __future__ import annotations

from tests.properties.outcome import failed, outcome, text_of
from voipcluster.errors import ParseError
from voipcluster.media.body import find_sdp, replace_part
from voipcluster.media.offer_answer import Answered, Exchange, MessagePassed, OfferAnswer, Offered, Side
from voipcluster.media.rewriting import Shown, rewritten
from voipcluster.media.sdp import SessionDescription, Transport
from voipcluster.phone.sdp import read_audio

METHODS = ("INVITE", "ACK", "PRACK", "UPDATE", "BYE", "INFO")
STATUSES = (None, 100, 180, 183, 200, 202, 404, 487, 503)


def check_sdp(octets: bytes) -> None:
    """What the relay rewrites leads to the relay, and to nowhere else; the rest stays octet for octet."""
    audio = read_audio(octets)
    assert audio is None or 0 < audio.port < 65536
    try:
        description = SessionDescription.parse(octets)
    except ParseError as error:
        assert error.status_hint == 488
        return
    assert rewritten(description, "192.0.2.1", {}) == octets
    relayed = [n for n, line in enumerate(description.media) if line.relayed]
    for host in ("192.0.2.1", "2001:db8::1"):
        ports = {n: Shown(30000 + 2 * n, 30001 + 2 * n) for n in relayed}
        wire = rewritten(description, host, ports)
        again = SessionDescription.parse(wire)
        assert len(again.media) == len(description.media)
        for n, (before, after) in enumerate(zip(description.media, again.media, strict=True)):
            assert (before.kind, before.protocol, before.direction) == (
                after.kind,
                after.protocol,
                after.direction,
            )
            if n not in ports:
                assert (before.port, before.transport) == (after.port, after.transport)
                continue
            assert (after.port, after.rtcp_port) == ports[n][:2]
            assert after.host == host or before.held, (before, after)
            assert after.rtcp_host == after.host, "RTCP would lead past the relay"
            assert after.transport is not Transport.UNTOUCHED
        assert rewritten(again, host, ports) == wire, "a second relay of ours changes nothing"


def check_body(octets: bytes) -> None:
    """C{octets}: Content-Type, a line end, the body."""
    content_type, _, body = octets.partition(b"\n")
    try:
        part = find_sdp(text_of(content_type), body)
    except ParseError as error:
        assert error.status_hint == 488
        return
    if part is None:
        return
    assert 0 <= part.begin <= part.end <= len(body)
    assert replace_part(body, part, body[part.begin : part.end]) == body or part.length is not None
    other = replace_part(body, part, b"v=0\r\n")
    assert other.endswith(b"v=0\r\n" + body[part.end :])
    if part.length is None:
        assert other.startswith(body[: part.begin])
    again = outcome(lambda: find_sdp(text_of(content_type), other))
    assert not failed(again) and again is not None
    assert other[again.begin : again.end] == b"v=0\r\n", "the other end finds what we put in"


def check_offer_answer(octets: bytes) -> None:
    """C{octets}: two for each message that passes. An answer is to an offer, and each has one offerer."""
    machine, offers = OfferAnswer(), dict[Exchange, Side]()
    for first, second in zip(octets[::2], octets[1::2], strict=False):
        event = MessagePassed(
            Side.CALLER if first & 1 else Side.CALLEE,
            METHODS[(first >> 1) % len(METHODS)],
            STATUSES[(first >> 4) % len(STATUSES)],
            1 + (second & 3),
            bool(second & 4),
            (None, "x", "y", "z")[second >> 3 & 3],
        )
        for effect in machine.feed(event):
            if isinstance(effect, Offered):
                assert event.described and effect.offerer is event.sender
                offers[effect.exchange] = effect.offerer
            elif isinstance(effect, Answered):
                assert event.described and effect.offerer is event.sender.other
                assert offers[effect.exchange] is effect.offerer
