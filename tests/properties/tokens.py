"""Sealed tokens: anything a stranger writes, and what a node of another version might have sealed."""

from __future__ import annotations

import base64
import re

from tests.properties.outcome import failed, outcome, text_of
from voipcluster.balance.handover import HandoverTokens
from voipcluster.seal import Concealer, Sealer
from voipcluster.sip.gruu import PREFIX, Gruus
from voipcluster.sip.route import CallTokens, FlowTokens, pack_flow, route_uri, route_value, unpack_flow
from voipcluster.sip.uri import SipUri

KEY = bytes(range(32))
HANDOVERS, FLOWS, GRUUS = HandoverTokens(KEY), FlowTokens(KEY), Gruus(KEY)
_IN_URI = re.compile(r"[A-Za-z0-9_\-]*")


def check_foreign(octets: bytes) -> None:
    """Text from outside opens nothing, also when it is a token but for one octet."""
    text = text_of(octets)
    calls = CallTokens(KEY)
    for ask in (lambda: HANDOVERS.open(text, "c", 100.0), lambda: FLOWS.open(text), lambda: calls.open(text)):
        assert outcome(ask) == ("fault", 403)
    sealer = Sealer(KEY, b"flow")
    token = sealer.seal(octets)
    assert _IN_URI.fullmatch(token), "it fits into a URI parameter"
    assert sealer.open(token) == octets
    assert failed(outcome(lambda: Sealer(KEY, b"call").open(token))), "of one purpose only"
    place = len(octets) % len(token)
    other = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    assert failed(outcome(lambda: sealer.open(other)))


def check_handover(octets: bytes) -> None:
    """C{octets}: what is sealed. What opens is sealed again as the same."""
    token = Sealer(KEY, b"handover").seal(octets)
    now = float(int.from_bytes(octets[4:8], "big"))
    call_id = "call-1"
    handover = outcome(lambda: HANDOVERS.open(token, call_id, now))
    if failed(handover):
        assert handover[1] == 403
        return
    again = HANDOVERS.open(HANDOVERS.seal(handover, call_id, now), call_id, now)
    assert again == handover, (again, handover)
    assert failed(outcome(lambda: HANDOVERS.open(token, "call-2", now)))
    assert failed(outcome(lambda: HANDOVERS.open(token, call_id, now + 33)))
    onward = handover.onward("a")
    assert onward.visited[-1] == "a" and onward.hops == handover.hops + 1


def check_flow(octets: bytes) -> None:
    token = Sealer(KEY, b"flow").seal(octets)
    opened = outcome(lambda: FLOWS.open(token))
    if failed(opened):
        assert opened[1] == 403
        return
    flow, epoch = opened
    _, _, end = unpack_flow(octets)
    assert unpack_flow(pack_flow(flow, epoch)) == (flow, epoch, end)
    if flow.remote[1]:
        value = route_value(flow.remote, flow.transport, f"flow={token}")
        assert route_uri(value) == route_uri(f" {value}")
        assert route_uri(value).param("flow") == token


def check_call(octets: bytes) -> None:
    """What one node sealed another one opens, and the copy that the sealing node kept is no other."""
    text = Sealer(KEY, b"call").seal(octets)
    opened = outcome(lambda: CallTokens(KEY).open(text))
    if failed(opened):
        assert opened[1] == 403
        return
    if len(opened.dialog) == 8 and all(
        party is None or len(party.contact) == 4 for party in (opened.caller, opened.callee)
    ):
        tokens = CallTokens(KEY)
        again = tokens.seal(opened)
        assert tokens.open(again) == CallTokens(KEY).open(again) == opened


def check_gruu(octets: bytes) -> None:
    """A temporary GRUU of anybody's making is none; what was concealed comes back (RFC 5627 section 5.4)."""
    text, concealed = text_of(octets), Concealer(KEY, b"gruu").seal(octets)
    assert Concealer(KEY, b"gruu").open(concealed) == octets
    for user in (text, PREFIX + text, PREFIX + concealed[:-1], PREFIX + concealed):
        for instance in (None, text):
            uri = SipUri("sip", "example.com", user, params=(("gr", instance),))
            found = outcome(lambda uri=uri, user=user: GRUUS.read(uri, f"{user}@example.com"))
            if failed(found):
                assert found[1] == 404
            elif not instance:
                assert user == PREFIX + concealed and found.aor.endswith("@example.com")


def check_text(octets: bytes) -> None:
    """base64 of the octets, and of the octets with a character that does not belong."""
    text = base64.urlsafe_b64encode(octets).decode()
    assert outcome(lambda: FLOWS.open(text)) == ("fault", 403)
    assert outcome(lambda: FLOWS.open(text.replace("A", "\u0391"))) == ("fault", 403)
