"""Requests that belong to the hop of an INVITE: the ACK for a non-2xx answer, and CANCEL."""

from __future__ import annotations

from voipcluster.sip.message import MAX_HEADERS, Request, Response, header_line, parse


def build_ack(invite: bytes, response: Response) -> bytes:
    """
    The ACK for a 300 to 699 (RFC 3261 section 17.1.1.3): the INVITE's Request-URI, top Via, Route, From, Call-ID and CSeq
    number, the response's To.
    """
    return _hop_request(invite, "ACK", response.get("to"))


def build_cancel(invite: bytes) -> bytes:
    """The CANCEL of a pending INVITE (RFC 3261 section 9.1), with the branch of its hop."""
    return _hop_request(invite, "CANCEL", None)


def _hop_request(invite: bytes, method: str, to: str | None) -> bytes:
    request = parse(invite, 2 * MAX_HEADERS)  # with what we added
    assert isinstance(request, Request), "an INVITE that we sent"
    lines = [header_line("via", str(request.top_via)), header_line("max-forwards", "70")]
    lines += [header_line("route", route) for route in request.get_all("route")]
    lines.append(header_line("from", request.get("from") or ""))
    lines.append(header_line("to", to if to is not None else request.get("to") or ""))
    lines.append(header_line("call-id", request.call_id))
    lines.append(header_line("cseq", f"{request.cseq[0]} {method}"))
    lines.append(header_line("content-length", "0"))
    start = f"{method} {request.uri} SIP/2.0".encode("utf-8", "surrogateescape")
    return b"\r\n".join([start, *lines, b"", b""])
