"""One SIP message (RFC 3261 section 7), asked for all that anybody asks of one."""

from __future__ import annotations

import re
from typing import Any

from tests.properties.outcome import failed, outcome
from voipcluster.address import Flow
from voipcluster.errors import ParseError, PeerError
from voipcluster.sip.layout import learned
from voipcluster.sip.message import (
    MAX_HEADERS,
    MalformedMessage,
    Message,
    Request,
    Response,
    header_line,
    key_of,
    parse,
    tag_of,
)
from voipcluster.sip.outgoing import build_request, forward_request, forward_response, reply, trying
from voipcluster.sip.proxy.routing import Names, own_call_token, preprocess_route
from voipcluster.sip.proxy.validation import check_request
from voipcluster.sip.registrar import register
from voipcluster.sip.registration import Settings, Source
from voipcluster.sip.transaction.matching import client_key, server_key
from voipcluster.sip.values import parse_name_addr, parse_via

OURS = "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours"
NAMES = Names(
    frozenset({("192.0.2.1", 5060), ("2001:db8::1", 5060)}),
    frozenset({("192.0.2.1", 5060), ("192.0.2.2", 5060)}),
    ("example.com", "example.net"),
)
SOURCE = Source("a", "token", Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.7", 5060)), "udp:192.0.2.7:5060")
ASKED = (
    "call_id",
    "contact_uri",
    "cseq",
    "cseq_method",
    "from_uri",
    "from_tag",
    "to_tag",
    "top_via",
    "top_branch",
)
_NAMED = re.compile(rb"([A-Za-z0-9\-.!%*_+`'~]+)[ \t]*:")


def parsed(data: bytes, most_headers: int = MAX_HEADERS) -> Request | Response | None:
    """A message that can be served, or L{None}; what is broken must have an answer."""
    try:
        return parse(data, most_headers)
    except MalformedMessage as error:
        assert error.status_hint in (400, 505, 513), error.status_hint
        if error.request is not None:
            reply(error.request, error.status_hint, to_tag="t").to_bytes()
        return None


def check_message(data: bytes) -> None:
    message = parsed(data)
    if message is None:
        return
    check_learned(data, message)
    check_bytes(message)
    check_answers(message)
    check_spelling(message)
    if isinstance(message, Request):
        check_decisions(message)
    top = outcome(lambda: message.top_via)
    if failed(top):
        return
    if isinstance(message, Request):
        check_forwarded_request(message)
        check_reply(message)
    else:
        check_forwarded_response(message)


def check_learned(data: bytes, message: Message) -> None:
    """What was learned from earlier messages changes nothing (L{voipcluster.sip.layout})."""
    answers = all_answers(message)
    known = dict(learned)
    learned.clear()
    for _ in range(2):  # the second one learned from the first one
        again = parse(data)
        assert (again.start, again.keys, again.lines, again.body) == (
            message.start,
            message.keys,
            message.lines,
            message.body,
        )
        assert all_answers(again) == answers
    learned.update(known)


def check_bytes(message: Message) -> None:
    """What was parsed is sent as it came, and read again as the same (7.3.1, 16.6)."""
    wire = message.to_bytes()
    assert message.wire_size == len(wire)
    again = parse(wire)
    assert type(again) is type(message)
    for name in ("start", "keys", "lines", "body"):
        assert getattr(again, name) == getattr(message, name), name
    assert outcome(lambda: all_answers(again)) == outcome(lambda: all_answers(message))


def all_answers(message: Message) -> dict[str, Any]:
    """What the message says, or what is wrong with it, by the name of the question."""
    found: dict[str, Any] = {name: outcome(lambda name=name: getattr(message, name)) for name in ASKED}
    for key in {*message.keys, "via", "contact"}:
        found["get", key] = message.get(key)
        found["get_all", key] = message.get_all(key)
        found["values", key] = outcome(lambda key=key: message.values(key))
    return found


def check_answers(message: Message) -> None:
    """The short ways to a value give what the long ones give."""
    repr(message)
    for key in set(message.keys):
        assert message.has(key) and key == key_of(key)
        lines = message.get_all(key)
        assert lines and lines[0] == message.get(key)
        for value in lines:
            assert "\r" not in value and "\n" not in value, value
            header_line(key, value)  # it may be put into a header of ours
    cseq = outcome(lambda: message.cseq)
    if not failed(cseq):
        number, method = cseq
        assert message.cseq_method == method
        assert 0 <= number < 1 << 31
        assert re.fullmatch(rf"0*{number}\s+{re.escape(method)}", message.get("cseq") or "", re.ASCII)
    for key, tag in (("from", message.from_tag), ("to", message.to_tag)):
        assert tag == tag_of(message.get(key)), key
        address = outcome(lambda key=key: parse_name_addr(message.get(key) or ""))
        if not failed(address) and [name for name, _ in address.params].count("tag") < 2:
            assert tag == (address.param("tag") or None), (key, tag, address)
    address = outcome(lambda: parse_name_addr(message.get("from") or ""))
    if not failed(address):
        assert message.from_uri == address.uri
    check_top_via(message)


def check_top_via(message: Message) -> None:
    vias = outcome(lambda: message.values("via"))
    if failed(vias) or not vias or not message.get("via"):
        return
    top = outcome(lambda: message.top_via)
    if failed(top):
        return
    assert top == parse_via(vias[0]), (top, vias[0])
    first = message.lines[message.keys.index("via")]
    if b"," not in first and b'"' not in first and first.lower().count(b"branch") == 1:
        assert top.branch.startswith(message.top_branch), (top.branch, message.top_branch)


def respelled(message: Message) -> bytes:
    """The same message as hardly anybody writes it: version and header names in odd case, white space at each colon."""
    start, version = message.start, len("SIP/2.0")
    if isinstance(message, Request):
        before, after = start[:-version], start[-version:].lower()
    else:
        before, after = start[:version].lower(), start[version:]
    lines = []
    for line in message.lines:
        named = _NAMED.match(line)
        assert named is not None, line
        lines.append(named[1].swapcase() + b" \t: \t" + line[named.end() :])
    return b"\r\n".join([before + after, *lines, b"", message.body])


def check_spelling(message: Message) -> None:
    """Ways for what nearly everybody writes say the same as the whole grammar, which the odd spelling needs."""
    odd = parse(respelled(message))
    assert type(odd) is type(message)
    assert (odd.keys, odd.body) == (message.keys, message.body)
    if isinstance(message, Request):
        assert isinstance(odd, Request)
        assert (odd.method, odd.uri) == (message.method, message.uri)
    elif isinstance(message, Response):
        assert isinstance(odd, Response)
        assert (odd.status, odd.reason) == (message.status, message.reason)
        if not failed(outcome(lambda: message.cseq)):
            assert client_key(odd) == client_key(message)
    ours, theirs = all_answers(message), all_answers(odd)
    if failed(ours["cseq"]):
        del ours["cseq_method"], theirs["cseq_method"]  # not checked: whatever stands last
    assert ours == theirs, {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
    if isinstance(message, Request) and isinstance(odd, Request):
        assert outcome(lambda: check_request(message)) == outcome(lambda: check_request(odd))
        assert outcome(lambda: server_key(message)) == outcome(lambda: server_key(odd))
        assert outcome(lambda: preprocess_route(message, NAMES)) == outcome(
            lambda: preprocess_route(odd, NAMES)
        )
    pairs = [pair for pair in lines_without(message) if pair[0] != "content-length"]
    tags = [line.replace(b">;tag=", b"> ;tag=") for _, line in pairs]
    spaced = parse(b"\r\n".join([message.start, *tags, b"", b""]))
    assert (spaced.from_tag, spaced.to_tag) == (message.from_tag, message.to_tag)


def check_decisions(request: Request) -> None:
    """What proxy and registrar make of it is a decision or a L{PeerError}, and can be answered."""
    hops = outcome(lambda: check_request(request))
    if not failed(hops):
        assert 0 < hops <= 255
    routed = outcome(lambda: preprocess_route(request, NAMES))
    token = own_call_token(request, NAMES)
    if token is not None and not failed(routed):
        assert routed.own is not None and routed.own.param("call") == token, (token, routed)
        assert routed.routes == []
    elif token is not None:
        raise AssertionError(f"a call token in {request.get('route')!r}, which is no Route")
    if request.has("via") and not failed(outcome(lambda: request.top_via)):
        result = register(
            request, [], SOURCE, Settings(outbound=True), now=100.0, date="now", aor_of=NAMES.aor
        )
        assert result.status in (200, 400, 403, 404, 416, 420, 423, 439), result.status
        answer = reply(request, result.status, result.reason, to_tag="t", headers=result.headers)
        again = parse(answer.to_bytes(), 2 * MAX_HEADERS)
        assert isinstance(again, Response) and again.status == result.status


def lines_without(message: Message, *indexes: int) -> list[tuple[str, bytes]]:
    pairs = zip(message.keys, message.lines, strict=True)
    return [pair for index, pair in enumerate(pairs) if index not in indexes]


def first_of(message: Message, key: str) -> int:
    return message.keys.index(key) if key in message.keys else -1


def check_forwarded_request(request: Request) -> None:
    """The copy has our Via on top, one hop less and the new Request-URI; all else is the same octets (16.6)."""
    copy = parse(
        forward_request(request, uri="sip:next.example.net", via=OURS, max_forwards=69), MAX_HEADERS + 8
    )
    assert isinstance(copy, Request)
    assert (copy.method, copy.uri, copy.body) == (request.method, "sip:next.example.net", request.body)
    assert copy.get("max-forwards") == "69"
    ours = copy.lines.index(b"Via: " + OURS.encode())
    assert ours == copy.keys.index("via")
    gone = {ours, first_of(copy, "max-forwards")}
    if "content-length" not in request.keys:
        assert copy.get("content-length") == str(len(request.body))
        gone.add(first_of(copy, "content-length"))
    assert lines_without(copy, *gone) == lines_without(request, first_of(request, "max-forwards"))

    seen = request.top_via.with_source("2001:db8::1", 4711)
    vias, routes = outcome(lambda: request.values("via")), ["<sip:one.example.net;lr>", "<sip:two>"]
    other = parse(
        forward_request(
            request,
            uri="sip:next.example.net",
            via=OURS,
            max_forwards=1,
            received_via=seen,
            record_route="<sip:10.0.0.1;lr>",
            routes=routes,
            add=[("x-added", "value")],
            body=b"other body",
        ),
        MAX_HEADERS + 16,
    )
    assert isinstance(other, Request)
    assert (other.body, other.get("content-length")) == (b"other body", "10")
    assert other.keys.count("content-length") == 1
    assert (other.values("route"), other.lines[-1]) == (routes, b"X-Added: value")
    assert other.lines[0] == b"Record-Route: <sip:10.0.0.1;lr>" or "record-route" in other.keys
    if not failed(vias):
        assert [parse_via(OURS), seen] == [parse_via(value) for value in other.values("via")[:2]]
        assert other.values("via")[2:] == vias[1:]


def check_forwarded_response(response: Response) -> None:
    """Exactly the topmost Via is gone (16.7 step 3)."""
    vias = outcome(lambda: response.values("via"))
    if failed(vias):
        return
    wire = forward_response(response)
    copy = parse(wire, MAX_HEADERS + 8)
    assert isinstance(copy, Response)
    assert (copy.status, copy.reason, copy.body) == (response.status, response.reason, response.body)
    assert copy.values("via") == vias[1:]
    not_via = [pair for pair in lines_without(response) if pair[0] != "via"]
    if "content-length" not in response.keys:
        not_via.append(("content-length", b"Content-Length: %d" % len(response.body)))
    assert [pair for pair in lines_without(copy) if pair[0] != "via"] == not_via
    other = parse(forward_response(response, b"new"), MAX_HEADERS + 8)
    assert (other.body, other.get_all("content-length")) == (b"new", ["3"])
    assert other.values("via") == vias[1:]


def check_reply(request: Request) -> None:
    """Our own answer is a message, goes back along the same Vias, and has a tag (8.2.6.2)."""
    answer = parse(reply(request, 486, to_tag="ours").to_bytes(), MAX_HEADERS + 8)
    assert isinstance(answer, Response) and answer.status == 486 and answer.body == b""
    assert outcome(lambda: answer.values("via")) == outcome(lambda: request.values("via"))
    assert (answer.call_id, answer.from_tag) == (request.call_id, request.from_tag)
    assert outcome(lambda: answer.cseq) == outcome(lambda: request.cseq)
    if request.to_tag is not None:
        assert answer.to_tag == request.to_tag
    elif not failed(outcome(lambda: parse_name_addr(request.get("to") or ""))):
        assert answer.to_tag == "ours", (request.get("to"), answer.get("to"))
    assert trying(request) == reply(request, 100).to_bytes()
    seen = request.top_via.with_source("198.51.100.7", 5)
    vias = outcome(lambda: request.values("via"))
    if not failed(vias):
        noted = parse(reply(request, 200, to_tag="ours", received_via=seen).to_bytes(), MAX_HEADERS + 8)
        assert noted.top_via == seen
        assert noted.values("via")[1:] == vias[1:]


def check_built(name: str, value: str) -> None:
    """A header of ours is one line, whatever its value is, or nothing is built."""
    try:
        built = build_request("OPTIONS", "sip:example.com", [(name, value)])
    except (AssertionError, ParseError, PeerError):
        assert "\r" in value or "\n" in value
        return
    assert len(parse(built.to_bytes()).lines) == 2
