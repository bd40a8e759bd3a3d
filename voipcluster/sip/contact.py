"""One Contact of a REGISTER as a binding, and a binding as a Contact of its answer (RFC 3261 sections 10.3 and 20.10)."""

from __future__ import annotations

import re
from typing import Final

from attrs import evolve

from voipcluster.errors import ParseError
from voipcluster.sip.location import Binding
from voipcluster.sip.message import Request
from voipcluster.sip.own_contact import is_own_contact
from voipcluster.sip.registration import Refused, Settings, Source
from voipcluster.sip.uri import parse_uri, scheme_of
from voipcluster.sip.values import NameAddr, format_params, parse_name_addr, parse_via

HOUR: Final = 3600  # seconds: what a broken expiry counts as (10.2.1.1), and never too brief (10.3 step 7)

# what a binding keeps, in characters; the cluster link and the store take no more
MAX_URI: Final = 1024
MAX_CALL_ID: Final = 256
MAX_INSTANCE: Final = 256
MAX_PARAMS: Final = 512
MAX_PATH: Final = 16  # values

_NOT_KEPT = frozenset({"q", "expires", "pub-gruu", "temp-gruu"})  # Contact parameters that we give ourselves
_QVALUE = re.compile(r"0?\.[0-9]{1,6}|0\.?|1(?:\.0{0,6})?")
UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # no text: control characters, broken UTF-8
_OTHER_URI = re.compile(r"[^\s<>\"]+")


def clean(text: str, longest: int) -> str:
    """@raise ParseError: text that no header or table may hold, or too much of it."""
    if len(text) > longest or UNSAFE.search(text):
        raise ParseError(f"unsafe or too long: {text[:80]!r}")
    return text


def binding_of(value: str, request: Request, settings: Settings, template: Binding) -> Binding:
    """
    One Contact value as a binding; one to be removed runs out at once.

    @param template: what all bindings of the request have in common.
    @raise ParseError: no contact that can be kept. @raise Refused: 423.
    """
    contact = parse_name_addr(clean(value, 2 * MAX_URI))
    if "<" not in value and "?" in value:
        raise ParseError("a URI with headers needs <> (20.10)")  # RFC 4475 section 3.1.2.13
    if scheme_of(contact.uri) in ("sip", "sips"):
        contact.sip_uri()
    elif not scheme_of(contact.uri) or not _OTHER_URI.fullmatch(contact.uri):
        raise ParseError(f"a contact that is no URI: {contact.uri[:80]!r}")
    instance, reg_id = _instance(contact)
    kept = tuple(p for p in contact.params if p[0] not in _NOT_KEPT)
    return evolve(
        template,
        contact=clean(contact.uri, MAX_URI),
        expires_at=template.registered_at + _expires(contact, request, settings),
        q=_q(contact),
        params=clean(format_params(kept), MAX_PARAMS),
        instance=instance,
        reg_id=reg_id,
    )


def placed(binding: Binding, request: Request, source: Source) -> Binding:
    """A contact that is not the client itself has not got its flow; with a reg-id it always has (RFC 5626 section 6)."""
    if not source.host or binding.reg_id or scheme_of(binding.contact) not in ("sip", "sips"):
        return binding
    via = parse_via(request.values("via")[-1])  # that of the client; proxies and nodes put theirs on top
    if is_own_contact(parse_uri(binding.contact), via.host, source.host, source.transport):
        return binding
    return evolve(binding, flow_token="", flow=None)


def _instance(contact: NameAddr) -> tuple[str, int]:
    """C{+sip.instance} and C{reg-id}; the latter means nothing without the former (RFC 5626 section 6)."""
    instance = clean(contact.param("+sip.instance") or "", MAX_INSTANCE)
    number = contact.param("reg-id")
    if not instance or number is None:
        return instance, 0
    if not (number.isascii() and number.isdigit() and len(number) <= 10 and 1 <= int(number) < 1 << 31):
        raise ParseError(f"not a reg-id: {number[:40]!r}")
    return instance, int(number)


def _q(contact: NameAddr) -> float:
    text = contact.param("q")
    if text is None:
        return 1.0
    if not _QVALUE.fullmatch(text):
        raise ParseError(f"not a q value: {text[:40]!r}")
    return float(text)


def _expires(contact: NameAddr, request: Request, settings: Settings) -> int:
    """Seconds that are granted: the parameter, else the header, else our default (10.3 step 7)."""
    text = contact.param("expires")
    if text is None:
        text = request.get("expires")
    if text is None:
        return _shortened(settings.default_expires, settings)
    number = text.isascii() and text.isdigit() and len(text) <= 10
    seconds = int(text) if number and int(text) < 1 << 32 else HOUR
    if 0 < seconds < min(settings.min_expires, HOUR):
        raise Refused(423, None, ("min-expires", str(settings.min_expires)))
    return _shortened(min(seconds, settings.max_expires), settings)


def _shortened(seconds: int, settings: Settings) -> int:
    if not settings.shorten or seconds <= settings.min_expires:
        return seconds
    return max(settings.min_expires, int(seconds * (1.0 - settings.shorten)))


def contact_value(binding: Binding, now: float) -> str:
    """What the answer says of a binding; C{now} in the clock of C{Binding.expires_at}."""
    q = "" if binding.q == 1.0 else f";q={binding.q:g}"
    left = max(1, round(binding.expires_at - now))
    return f"<{binding.contact}>;expires={left}{q}{binding.params}"
