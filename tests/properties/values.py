"""Header values and URIs (RFC 3261 sections 19, 20 and 25.1): what is read is written and read again as the same."""

from __future__ import annotations

from tests.properties.outcome import failed, outcome, text_of
from voipcluster.sip.route import contact_hash, route_uri
from voipcluster.sip.uri import parse_uri, scheme_of, unescape
from voipcluster.sip.values import (
    LWS,
    address_uri,
    format_params,
    parse_name_addr,
    parse_params,
    parse_via,
    quote,
    split_list,
    unquote,
)


def check_uri(octets: bytes) -> None:
    text = text_of(octets)
    scheme_of(text), contact_hash(text)
    uri = outcome(lambda: parse_uri(text))
    if failed(uri):
        assert uri[1] in (400, 416)
        return
    assert uri.port is None or 1 <= uri.port <= 65535
    assert parse_uri(str(uri)) == uri
    assert uri.equivalent(uri)
    user = unescape(uri.user or "")
    assert unescape(user) == user, "escapes are decoded once (RFC 4475 section 3.1.1.5)"
    bare = uri.request_uri()
    assert not bare.headers and not bare.has_param("method")
    assert parse_uri(str(bare)) == bare
    named = uri.with_param("lr")
    assert parse_uri(str(named)) == named and named.has_param("lr") and named.transport == uri.transport
    assert uri.aor().endswith(f"@{uri.host}")


def check_name_addr(octets: bytes) -> None:
    text = text_of(octets)
    address = outcome(lambda: parse_name_addr(text))
    short = outcome(lambda: address_uri(text))
    if failed(address):
        return
    assert short == address.uri, (short, address)
    again = parse_name_addr(str(address))
    assert again == address, (again, address)
    outcome(address.sip_uri)


def check_via(octets: bytes) -> None:
    text = text_of(octets)
    via = outcome(lambda: parse_via(text))
    assert via == outcome(lambda: parse_via(f" {text}")), "white space around a value changes nothing"
    assert via == outcome(lambda: parse_via(text.replace("SIP/2.0/", "SIP / 2.0 / ", 1)))
    if failed(via):
        return
    assert parse_via(str(via)) == via
    seen = via.with_source("192.0.2.7", 4711)
    assert seen.rport in (None, 4711)
    assert seen.received == "192.0.2.7" or via.host == "192.0.2.7"
    assert seen.branch == via.branch
    assert parse_via(str(seen)) == seen
    assert seen.with_source("192.0.2.7", 4711) == seen


def check_list(octets: bytes) -> None:
    text = text_of(octets).strip(LWS)
    parts = outcome(lambda: split_list(text))
    if failed(parts):
        return
    assert all(part and part == part.strip(LWS) for part in parts)
    assert split_list(", ".join(parts)) == parts
    assert (
        outcome(lambda: split_list(f"{text},<sip:a,b>")) in ([*parts, "<sip:a,b>"], ("fault", 400))
        or "<" in text
    )


def check_params(octets: bytes) -> None:
    text = text_of(octets)
    params = outcome(lambda: parse_params(text))
    assert failed(params) == failed(outcome(lambda: parse_params(text, quoted=True)))
    if not failed(params):
        assert all(name and name == name.lower() for name, _ in params)
        assert parse_params(format_params(params)) == params


def check_quoted(octets: bytes) -> None:
    text = text_of(octets)
    assert unquote(quote(text)) == text
    assert split_list(quote(text)) == [quote(text)]


def check_route(octets: bytes) -> None:
    text = text_of(octets)
    uri = outcome(lambda: route_uri(text))
    assert uri == outcome(lambda: route_uri(f" {text}")), "our own spelling is no other grammar"
    if not failed(uri):
        assert route_uri(f"<{uri}>") == uri
