"""A SIP byte stream (RFC 3261 section 18.3): cut in any way it is the same messages, and the parser agrees where they end."""

from __future__ import annotations

from tests.properties.cutting import cut_of, pieces
from voipcluster.sip.framing import Framed, FramingFailed, MessageFramed, Ping, StreamFramer
from voipcluster.sip.message import MalformedMessage, parse


def framed(data: bytes, step: int) -> tuple[list[Framed], int, bool]:
    """Messages and the fault, the pings, and whether a message waits for its rest."""
    framer, events = StreamFramer(max_head=4096, max_body=4096), list[Framed]()
    for piece in pieces(data, step):
        events += framer.feed(piece)
    pings = sum(event.pings for event in events if isinstance(event, Ping))
    return (
        [event for event in events if isinstance(event, MessageFramed | FramingFailed)],
        pings,
        framer.partial,
    )


def check_stream(octets: bytes) -> None:
    """C{octets}: one that says how the rest is cut, and the rest."""
    step, data = cut_of(octets)
    whole, cut = framed(data, max(1, len(data))), framed(data, step)
    messages = [event for event in whole[0] if isinstance(event, MessageFramed)]
    assert [event for event in cut[0] if isinstance(event, MessageFramed)] == messages
    faults, cut_faults = whole[0][len(messages) :], cut[0][len(messages) :]
    assert [f.status_hint for f in faults] == [f.status_hint for f in cut_faults]
    assert whole[1:] == cut[1:]
    at = 0
    for event in messages:
        at = data.index(event.data, at) + len(event.data)
        try:
            message = parse(event.data)
        except MalformedMessage:
            continue
        # else the next hop would take the end of this one's body for a message
        assert message.to_bytes() == event.data, "framer and parser disagree where it ends"
