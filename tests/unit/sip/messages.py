"""Messages for the tests of the SIP core, written as they stand on the wire."""

from __future__ import annotations

from collections.abc import Sequence

from voipcluster.sip.message import Request, Response, parse

VIA = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKalice1"


def request(
    method: str = "INVITE",
    uri: str = "sip:bob@example.com",
    *,
    via: str = VIA,
    headers: Sequence[str] = (),
    cseq: str | None = None,
    to_tag: str = "",
    without: Sequence[str] = (),
) -> Request:
    """A request of Alice to Bob; C{headers} are more lines, C{without} names usual ones to leave out."""
    to = f"<sip:bob@example.com>{';tag=' + to_tag if to_tag else ''}"
    usual = [
        f"Via: {via}",
        "Max-Forwards: 70",
        "From: <sip:alice@example.com>;tag=a1",
        f"To: {to}",
        "Call-ID: call-1",
        f"CSeq: {cseq or '7 ' + method}",
    ]
    kept = [line for line in usual if line.split(":")[0] not in without]
    kept += [*headers, "Content-Length: 0"]
    message = parse("\r\n".join([f"{method} {uri} SIP/2.0", *kept, "", ""]).encode())
    assert isinstance(message, Request)
    return message


def response(
    status: int,
    reason: str = "Any",
    *,
    vias: Sequence[str] = ("SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKours", VIA),
    cseq: str = "7 INVITE",
    to_tag: str = "b1",
    headers: Sequence[str] = (),
) -> Response:
    """A response of Bob; the first of C{vias} is the proxy's own."""
    lines = [
        *(f"Via: {via}" for via in vias),
        "From: <sip:alice@example.com>;tag=a1",
        f"To: <sip:bob@example.com>;tag={to_tag}",
        "Call-ID: call-1",
        f"CSeq: {cseq}",
        *headers,
        "Content-Length: 0",
    ]
    message = parse("\r\n".join([f"SIP/2.0 {status} {reason}", *lines, "", ""]).encode())
    assert isinstance(message, Response)
    return message
