"""What a REGISTER asks for and what it is answered: RFC 3261 section 10.3, with Path and Service-Route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from attrs import evolve

from voipcluster.errors import ParseError, PeerError
from voipcluster.sip.contact import (
    MAX_CALL_ID,
    MAX_PARAMS,
    MAX_PATH,
    MAX_URI,
    UNSAFE,
    binding_of,
    clean,
    contact_value,
    placed,
)
from voipcluster.sip.location import Binding
from voipcluster.sip.message import Request
from voipcluster.sip.registration import Change, Kind, Refused, RegisterResult, Settings, Source
from voipcluster.sip.uri import SipUri, parse_uri, scheme_of
from voipcluster.sip.values import parse_name_addr

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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
            raise Refused(403, "Not The Registrar Of This Domain")
    except PeerError as error:
        return _refusal(error)
    try:
        _check_extensions(request, settings)
        aor = _checked_aor(request, user, aor_of, is_known)
        _check_contacts(request, aor_of)
        wanted, changes = _changed(request, aor, current, source, settings, now)
    except ParseError:
        return RegisterResult(400)  # also for another scheme: 416 speaks of the Request-URI only
    except Refused as refused:
        return _refusal(refused)
    given = gruus if settings.gruu and "gruu" in _words(request, "supported") else _no_gruus
    headers = [("contact", contact_value(b, now) + (given(b) if b.instance else "")) for b in wanted]
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
    if isinstance(error, Refused):
        return RegisterResult(error.status_hint, error.reason, error.headers)
    return RegisterResult(error.status_hint)


def _checked_aor(
    request: Request,
    user: str | None,
    aor_of: Callable[[SipUri], str | None],
    is_known: Callable[[str], bool],
) -> str:
    """Steps 4 and 5: an address of record in a domain of ours, that this user may register, and that exists."""
    aor = address_of_record(request, aor_of)
    if aor is None:
        raise Refused(404)
    clean(aor, MAX_URI)
    if user is not None and user != aor:
        raise Refused(403, "Not Your Address Of Record")
    if not is_known(aor):
        raise Refused(404)
    return aor


def _words(request: Request, key: str) -> list[str]:
    return [word.lower() for word in request.values(key)]


def _check_extensions(request: Request, settings: Settings) -> None:
    """Step 2: Require names nothing that we do not do; a Path is one the client knows of (RFC 3327 section 5.3)."""
    unknown = [word for word in request.values("require") if word.lower() not in settings.extensions]
    if unknown:
        raise Refused(420, None, ("unsupported", clean(", ".join(unknown), MAX_PARAMS)))
    if request.has("path"):
        path = request.values("path")
        if len(path) > MAX_PATH:
            raise ParseError(f"more than {MAX_PATH} Path values")
        for value in path:
            parse_name_addr(clean(value, MAX_URI)).sip_uri()
        if settings.require_path_support and "path" not in _words(request, "supported"):
            raise Refused(420, None, ("unsupported", "path"))


def _check_contacts(request: Request, aor_of: Callable[[SipUri], str | None]) -> None:
    """A GRUU of ours leads to a Contact and is none: it would lead to itself (RFC 5627 section 5.1)."""
    for value in request.values("contact"):
        if ";gr" in value:
            contact = parse_name_addr(clean(value, 2 * MAX_URI))
            uri = contact.sip_uri() if scheme_of(contact.uri) in ("sip", "sips") else None
            if uri is not None and uri.has_param("gr") and aor_of(uri) is not None:
                raise Refused(403, "A GRUU Is No Contact")


def _changed(
    request: Request, aor: str, current: Sequence[Binding], source: Source, settings: Settings, now: float
) -> tuple[list[Binding], list[Change]]:
    """Steps 6 and 7: all bindings as the request wants them, and what is new about them."""
    contacts = request.values("contact")
    call_id, (cseq, _) = clean(request.call_id, MAX_CALL_ID), request.cseq
    if not call_id:
        raise ParseError("no Call-ID")
    if "*" in contacts:
        if len(contacts) > 1 or (request.get("expires") or "").strip("0") or not request.has("expires"):
            raise Refused(400, "Contact * Is Alone And With Expires 0")
        for binding in current:
            _check_order(binding, call_id, cseq)
        return [], [Change(Kind.REMOVED, binding) for binding in current]
    most = max(settings.bindings_per_aor, len(current))
    if len(contacts) > 2 * most:  # to take all back and give as many anew; each is compared with each
        raise Refused(403, "Too Many Contacts")
    template = Binding(
        aor=aor,
        contact="",
        expires_at=now,
        registered_at=now,
        call_id=call_id,
        cseq=cseq,
        path=tuple(request.values("path")),
        user_agent=UNSAFE.sub("", request.get("user-agent") or "")[:128],
        node=source.node,
        flow_token=source.flow_token,
        flow=source.flow,
        source=source.remote,
    )
    asked = [placed(binding_of(value, request, settings, template), request, source) for value in contacts]
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
        raise Refused(403, "Too Many Contacts")
    return wanted, _difference(current, wanted)


def _check_order(binding: Binding, call_id: str, cseq: int) -> None:
    """A request of the same Call-ID that is not newer changes nothing at all (10.3 steps 6 and 7)."""
    if binding.call_id == call_id and cseq <= binding.cseq:
        raise Refused(400, "CSeq Is Not Above The Last One")


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


def _check_outbound(request: Request, asked: Sequence[Binding], source: Source, settings: Settings) -> None:
    """RFC 5626 section 6: one contact when there is a reg-id, and a first hop that knows of outbound."""
    if not any(b.reg_id for b in asked):
        return
    if sum(b.expires_at > b.registered_at for b in asked) > 1:
        raise Refused(400, "More Than One Contact With A Reg-Id")
    if settings.outbound and not source.first_hop and "outbound" in _words(request, "supported"):
        path = request.values("path")
        if not path or not parse_name_addr(path[0]).sip_uri().has_param("ob"):
            raise Refused(439)


def _uses_outbound(request: Request, changes: Sequence[Change]) -> bool:
    return "outbound" in _words(request, "supported") and any(
        c.kind is not Kind.REMOVED and c.binding.reg_id for c in changes
    )
