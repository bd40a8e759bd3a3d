"""What else a proxy reads of a message: session timers (RFC 4028), Max-Breadth (RFC 5393), and whose a Contact is."""

from __future__ import annotations

from tests.properties.message import OURS
from tests.properties.outcome import failed, outcome
from voipcluster.sip.message import MAX_HEADERS, MalformedMessage, Request, parse
from voipcluster.sip.outgoing import forward_request
from voipcluster.sip.own_contact import is_own_contact
from voipcluster.sip.proxy.breadth import incoming_breadth
from voipcluster.sip.session_timer import SMALLEST, Session, SessionTimer, agreed
from voipcluster.sip.values import parse_name_addr

TIMERS = (SessionTimer(), SessionTimer(1800), SessionTimer(600, 300))


def check_session(octets: bytes) -> None:
    """C{octets}: a message, whole."""
    try:
        message = parse(octets)
    except MalformedMessage:
        return
    if not isinstance(message, Request):
        for session in (None, Session(1800, True), Session(1800, False)):
            response = parse(octets)
            interval = agreed(session, response)
            assert interval == 0 or interval >= SMALLEST
            assert parse(response.to_bytes(), MAX_HEADERS + 2).lines == response.lines
        return
    for timer in TIMERS:
        check_onward(timer, message)
    breadth = outcome(lambda: incoming_breadth(message))
    assert breadth is None or (failed(breadth) and breadth[1] in (400, 440)) or breadth >= 1
    check_contacts(message)


def check_onward(timer: SessionTimer, request: Request) -> None:
    """The copy asks for the one interval that is remembered, and a second proxy of ours changes nothing of it (section 8.1)."""
    session = outcome(lambda: timer.onward(request))
    if failed(session):
        assert session[1] == 422
        return
    if session is None or failed(outcome(lambda: request.top_via)):
        return
    wire = forward_request(
        request, uri="sip:next.example.net", via=OURS, max_forwards=69, drop_lines=session.drop, add=session.add
    )  # fmt: skip
    copy = parse(wire, MAX_HEADERS + 16)
    assert isinstance(copy, Request)
    [value] = copy.get_all("session-expires")
    assert int(value.partition(";")[0]) == session.interval
    again = outcome(lambda: timer.onward(copy))
    assert isinstance(again, Session) and (again.interval, again.of_caller) == (
        session.interval,
        session.of_caller,
    )
    assert again.add == (), again


def check_contacts(request: Request) -> None:
    contacts = outcome(lambda: request.values("contact"))
    for value in () if failed(contacts) else contacts:
        uri = outcome(lambda value=value: parse_name_addr(value).sip_uri())
        if failed(uri):
            continue
        for source, transport in (("192.0.2.7", "UDP"), ("10.0.0.7", "TCP"), ("2001:db8::7", "TLS")):
            own = is_own_contact(uri, "phone.example.com", source, transport)
            assert isinstance(own, bool)
            assert is_own_contact(uri, uri.param("maddr") or uri.host, source, transport) or not own
        assert is_own_contact(uri, "x", "192.0.2.7", "WS")
