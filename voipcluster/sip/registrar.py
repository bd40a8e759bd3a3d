"""What a REGISTER asks for and what it is answered: RFC 3261 section 10.3, with Path and Service-Route."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from attrs import evolve, frozen

from voipcluster.address import TCP, TLS, UDP, Flow
from voipcluster.errors import ParseError, PeerError
from voipcluster.sip.location import Binding
from voipcluster.sip.message import Request
from voipcluster.sip.own_contact import is_own_contact
from voipcluster.sip.uri import SipUri, parse_uri, scheme_of
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
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # no text: control characters, broken UTF-8
_OTHER_URI = re.compile(r"[^\s<>\"]+")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@frozen
class Settings:
    """
    What the registrar grants.

    @ivar min_expires: seconds; less is answered with 423. C{max_expires}: more is cut to it.
    @ivar default_expires: seconds, when the client names none.
    @ivar bindings_per_aor: contacts that one address of record may have at a time.
    @ivar require_path_support: answer a Path that the client has no C{Supported: path} for with 420 (RFC 3327 section 5.3
        recommends it; by default it is accepted, for few phones name it).
    @ivar outbound: promise RFC 5626 to clients that ask for it; the binding's key follows its section 6 in any case.
    @ivar flow_timer: seconds in which a client of outbound is to send something over TCP or TLS (RFC 5626 section 4.4), 0: it is
        not told. Over UDP it is left to send STUN every 24 to 29 s, for a NAT holds its port no longer; a browser sends none.
    @ivar gruu: give GRUUs to clients that ask for them (RFC 5627).
    @ivar shorten: share of the time asked for that is not granted, though C{min_expires} always is: with another share for each
        client those who came together do not come together again.
    """

    min_expires: int = 60
    max_expires: int = 3600
    default_expires: int = 3600
    bindings_per_aor: int = 10
    require_path_support: bool = False
    outbound: bool = True
    flow_timer: int = 0
    gruu: bool = True
    shorten: float = 0.0

    @property
    def extensions(self) -> tuple[str, ...]:
        """The option tags that we support."""
        return ("path", *(("outbound",) if self.outbound else ()), *(("gruu",) if self.gruu else ()))


@frozen
class Source:
    """
    Where a REGISTER came from: what its bindings say of the way back.

    @ivar node: the node that owns the client's flow, C{flow_token} names the flow to it.
    @ivar flow: when it is a flow of this process. C{remote}: the client's own address as text, for people. C{host}: its IP
        literal; when it is empty every contact is the client's own.
    @ivar first_hop: no proxy outside the cluster is between the client and us. C{transport}: of the client.
    """

    node: str
    flow_token: str = ""
    flow: Flow | None = None
    remote: str = ""
    first_hop: bool = True
    transport: str = UDP
    host: str = ""

    @property
    def watched(self) -> bool:
        """Whether we notice that the client sends no keep-alives: over a connection of this process that is its own."""
        return self.flow is not None and self.transport in (TCP, TLS) and self.first_hop


class Kind(Enum):
    ADDED = auto()
    REFRESHED = auto()
    REMOVED = auto()


@frozen
class Change:
    kind: Kind
    binding: Binding


@frozen
class RegisterResult:
    """
    The answer to a REGISTER, and what it changes: all of it or, with a status above 299, nothing.

    @ivar headers: (key, value) to go with the response, one line each.
    @ivar flow_timer: seconds in which the client has been told to send something over its connection, 0: it was not.
    """

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    changes: tuple[Change, ...] = ()
    flow_timer: int = 0


class _Refused(PeerError):
    """An answer other than 200; C{headers} go with it."""

    def __init__(self, status: int, reason: str | None = None, *headers: tuple[str, str]) -> None:
        super().__init__(reason or str(status), status)
        self.reason, self.headers = reason, headers


def date_text(seconds: float) -> str:
    """The Date header of a time in unix seconds (20.17); GMT, whatever the locale is."""
    at = datetime.fromtimestamp(seconds, UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year} "
        f"{at.hour:02}:{at.minute:02}:{at.second:02} GMT"
    )


def address_of_record(request: Request, aor_of: Callable[[SipUri], str | None] = SipUri.aor) -> str | None:
    """
    The key of the address of record that a REGISTER is for: its To without parameters, escapes decoded (10.3 step 5).

    @param aor_of: what a URI means here, L{None} when its domain is not ours.
    @raise ParseError: no To, or one that is no SIP or SIPS URI; C{status_hint} is 400.
    """
    try:
        uri = parse_name_addr(request.get("to") or "").sip_uri()
    except ParseError as error:
        raise ParseError(str(error), 400) from None  # 416 speaks of the Request-URI only
    if not uri.user:
        raise ParseError("To names no user")
    return aor_of(uri)


def register(
    request: Request,
    current: Sequence[Binding],
    source: Source,
    settings: Settings,
    *,
    now: float,
    date: str,
    user: str | None = None,
    aor_of: Callable[[SipUri], str | None] = SipUri.aor,
    is_known: Callable[[str], bool] = lambda aor: True,
    service_route: Sequence[str] = (),
    gruus: Callable[[Binding], str] = lambda binding: "",
) -> RegisterResult:
    """
    Decide about one REGISTER.

    @param current: the bindings of L{address_of_record} that have not run out.
    @param now: seconds, the clock of C{Binding.expires_at}; C{date}: the Date header (L{date_text}).
    @param user: the authenticated user as C{user@domain}, L{None} when nobody needs to authenticate.
    @param aor_of: see L{address_of_record}; C{is_known}: whether an address of record exists.
    @param service_route: values of Service-Route for the 200 (RFC 3608).
    @param gruus: Contact parameters with the GRUUs of a binding that has an instance (RFC 5627 section 5.3).
    """
    try:
        if aor_of(evolve(parse_uri(request.uri), user="any")) is None:
            raise _Refused(403, "Not The Registrar Of This Domain")
    except PeerError as error:
        return _refusal(error)
    try:
        _check_extensions(request, settings)
        aor = _checked_aor(request, user, aor_of, is_known)
        _check_contacts(request, aor_of)
        wanted, changes = _changed(request, aor, current, source, settings, now)
    except ParseError:
        return RegisterResult(400)  # also for another scheme: 416 speaks of the Request-URI only
    except _Refused as refused:
        return _refusal(refused)
    given = gruus if settings.gruu and "gruu" in _words(request, "supported") else _no_gruus
    headers = [("contact", _contact_value(b, now) + (given(b) if b.instance else "")) for b in wanted]
    headers += [("path", value) for value in request.values("path")]
    headers += [("service-route", value) for value in service_route]
    flow_timer = 0
    if settings.outbound and _uses_outbound(request, changes):
        headers.append(("require", "outbound"))
        if settings.flow_timer and source.watched:
            flow_timer = settings.flow_timer
            headers.append(("flow-timer", str(flow_timer)))
    headers.append(("date", date))
    return RegisterResult(200, None, tuple(headers), tuple(changes), flow_timer)


def _no_gruus(binding: Binding) -> str:
    return ""


def _refusal(error: PeerError) -> RegisterResult:
    if isinstance(error, _Refused):
        return RegisterResult(error.status_hint, error.reason, error.headers)
    return RegisterResult(error.status_hint)


def _clean(text: str, longest: int) -> str:
    """@raise ParseError: text that no header or table may hold, or too much of it."""
    if len(text) > longest or _UNSAFE.search(text):
        raise ParseError(f"unsafe or too long: {text[:80]!r}")
    return text


def _checked_aor(
    request: Request,
    user: str | None,
    aor_of: Callable[[SipUri], str | None],
    is_known: Callable[[str], bool],
) -> str:
    """Steps 4 and 5: an address of record in a domain of ours, that this user may register, and that exists."""
    aor = address_of_record(request, aor_of)
    if aor is None:
        raise _Refused(404)
    _clean(aor, MAX_URI)
    if user is not None and user != aor:
        raise _Refused(403, "Not Your Address Of Record")
    if not is_known(aor):
        raise _Refused(404)
    return aor


def _words(request: Request, key: str) -> list[str]:
    return [word.lower() for word in request.values(key)]


def _check_extensions(request: Request, settings: Settings) -> None:
    """Step 2: Require names nothing that we do not do; a Path is one the client knows of (RFC 3327 section 5.3)."""
    unknown = [word for word in request.values("require") if word.lower() not in settings.extensions]
    if unknown:
        raise _Refused(420, None, ("unsupported", _clean(", ".join(unknown), MAX_PARAMS)))
    if request.has("path"):
        path = request.values("path")
        if len(path) > MAX_PATH:
            raise ParseError(f"more than {MAX_PATH} Path values")
        for value in path:
            parse_name_addr(_clean(value, MAX_URI)).sip_uri()
        if settings.require_path_support and "path" not in _words(request, "supported"):
            raise _Refused(420, None, ("unsupported", "path"))


def _check_contacts(request: Request, aor_of: Callable[[SipUri], str | None]) -> None:
    """A GRUU of ours leads to a Contact and is none: it would lead to itself (RFC 5627 section 5.1)."""
    for value in request.values("contact"):
        if ";gr" in value:
            contact = parse_name_addr(_clean(value, 2 * MAX_URI))
            uri = contact.sip_uri() if scheme_of(contact.uri) in ("sip", "sips") else None
            if uri is not None and uri.has_param("gr") and aor_of(uri) is not None:
                raise _Refused(403, "A GRUU Is No Contact")


def _changed(
    request: Request, aor: str, current: Sequence[Binding], source: Source, settings: Settings, now: float
) -> tuple[list[Binding], list[Change]]:
    """Steps 6 and 7: all bindings as the request wants them, and what is new about them."""
    contacts = request.values("contact")
    call_id, (cseq, _) = _clean(request.call_id, MAX_CALL_ID), request.cseq
    if not call_id:
        raise ParseError("no Call-ID")
    if "*" in contacts:
        if len(contacts) > 1 or (request.get("expires") or "").strip("0") or not request.has("expires"):
            raise _Refused(400, "Contact * Is Alone And With Expires 0")
        for binding in current:
            _check_order(binding, call_id, cseq)
        return [], [Change(Kind.REMOVED, binding) for binding in current]
    most = max(settings.bindings_per_aor, len(current))
    if len(contacts) > 2 * most:  # to take all back and give as many anew; each is compared with each
        raise _Refused(403, "Too Many Contacts")
    template = Binding(
        aor=aor,
        contact="",
        expires_at=now,
        registered_at=now,
        call_id=call_id,
        cseq=cseq,
        path=tuple(request.values("path")),
        user_agent=_UNSAFE.sub("", request.get("user-agent") or "")[:128],
        node=source.node,
        flow_token=source.flow_token,
        flow=source.flow,
        source=source.remote,
    )
    asked = [_placed(_asked(value, request, settings, template), request, source) for value in contacts]
    _check_outbound(request, asked, source, settings)
    wanted = list(current)
    for binding in asked:
        old = next((b for b in wanted if b.is_of(binding.contact, binding.instance, binding.reg_id)), None)
        if old is not None:
            if any(old is b for b in current):
                _check_order(old, call_id, cseq)
            place = wanted.index(old)
            wanted[place : place + 1] = [binding] if binding.expires_at > now else []
        elif binding.expires_at > now:
            wanted.append(binding)
    if len(wanted) > most:
        raise _Refused(403, "Too Many Contacts")
    return wanted, _difference(current, wanted)


def _check_order(binding: Binding, call_id: str, cseq: int) -> None:
    """A request of the same Call-ID that is not newer changes nothing at all (10.3 steps 6 and 7)."""
    if binding.call_id == call_id and cseq <= binding.cseq:
        raise _Refused(400, "CSeq Is Not Above The Last One")


def _difference(before: Sequence[Binding], after: Sequence[Binding]) -> list[Change]:
    kept = {id(b) for b in before}
    new = [b for b in after if id(b) not in kept]
    left = {id(b) for b in after}
    changes: list[Change] = []
    for old in before:
        if id(old) not in left:
            match = next((b for b in new if b.is_of(old.contact, old.instance, old.reg_id)), None)
            if match is None:
                changes.append(Change(Kind.REMOVED, old))
            else:
                new = [b for b in new if b is not match]
                changes.append(Change(Kind.REFRESHED, match))
    return changes + [Change(Kind.ADDED, b) for b in new]


def _asked(value: str, request: Request, settings: Settings, template: Binding) -> Binding:
    """One Contact value as a binding; one to be removed runs out at once."""
    contact = parse_name_addr(_clean(value, 2 * MAX_URI))
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
        contact=_clean(contact.uri, MAX_URI),
        expires_at=template.registered_at + _expires(contact, request, settings),
        q=_q(contact),
        params=_clean(format_params(kept), MAX_PARAMS),
        instance=instance,
        reg_id=reg_id,
    )


def _placed(binding: Binding, request: Request, source: Source) -> Binding:
    """A contact that is not the client itself has not got its flow; with a reg-id it always has (RFC 5626 section 6)."""
    if not source.host or binding.reg_id or scheme_of(binding.contact) not in ("sip", "sips"):
        return binding
    via = parse_via(request.values("via")[-1])  # that of the client; proxies and nodes put theirs on top
    if is_own_contact(parse_uri(binding.contact), via.host, source.host, source.transport):
        return binding
    return evolve(binding, flow_token="", flow=None)


def _instance(contact: NameAddr) -> tuple[str, int]:
    """C{+sip.instance} and C{reg-id}; the latter means nothing without the former (RFC 5626 section 6)."""
    instance = _clean(contact.param("+sip.instance") or "", MAX_INSTANCE)
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
        raise _Refused(423, None, ("min-expires", str(settings.min_expires)))
    return _shortened(min(seconds, settings.max_expires), settings)


def _shortened(seconds: int, settings: Settings) -> int:
    if not settings.shorten or seconds <= settings.min_expires:
        return seconds
    return max(settings.min_expires, int(seconds * (1.0 - settings.shorten)))


def _check_outbound(request: Request, asked: Sequence[Binding], source: Source, settings: Settings) -> None:
    """RFC 5626 section 6: one contact when there is a reg-id, and a first hop that knows of outbound."""
    if not any(b.reg_id for b in asked):
        return
    if sum(b.expires_at > b.registered_at for b in asked) > 1:
        raise _Refused(400, "More Than One Contact With A Reg-Id")
    if settings.outbound and not source.first_hop and "outbound" in _words(request, "supported"):
        path = request.values("path")
        if not path or not parse_name_addr(path[0]).sip_uri().has_param("ob"):
            raise _Refused(439)


def _uses_outbound(request: Request, changes: Sequence[Change]) -> bool:
    return "outbound" in _words(request, "supported") and any(
        c.kind is not Kind.REMOVED and c.binding.reg_id for c in changes
    )


def _contact_value(binding: Binding, now: float) -> str:
    q = "" if binding.q == 1.0 else f";q={binding.q:g}"
    left = max(1, round(binding.expires_at - now))
    return f"<{binding.contact}>;expires={left}{q}{binding.params}"
