"""The routes of a node as its operator sees them: all of them, or those that one number would take."""

from __future__ import annotations

from typing import Any

from voipcluster.errors import ParseError, UsageError
from voipcluster.gateway.numbers import Number
from voipcluster.gateway.permission import Party
from voipcluster.gateway.routing import Route
from voipcluster.services.gateway.routing import SCHEMES, NumberRouting
from voipcluster.sip.proxy.routing import Names
from voipcluster.sip.tel import parse_tel
from voipcluster.sip.uri import parse_uri, scheme_of
from voipcluster.web.view import Row

ASKED, PASSED_OVER = "asked", "passed over"


def route_rows(routing: NumberRouting) -> list[Row]:
    """All routes, the longest prefix first."""
    routes = routing.dialling.routes.routes
    return [
        _row(route)
        for route in sorted(routes, key=lambda route: (-len(route.prefix), route.prefix, route.priority))
    ]


def number_rows(routing: NumberRouting, names: Names, number: str, caller: str | None) -> list[Row]:
    """
    What would become of a call to a number now; those alike are drawn by weight each time.

    @param number: as it is dialled, or a tel or SIP URI.
    @param caller: the user of ours who calls, or L{None}: somebody whom no rule names.
    @raise UsageError: it is no number.
    """
    found = _number(routing, names, number)
    party = routing.user_of(f"sip:{caller.removeprefix('sip:')}" if caller else "") or Party()
    return [
        {
            **_row(candidate.route),
            "called": found.text,
            "sent": candidate.route.rewriting.rewrite(found.text),
            "price": candidate.price,
            "state": PASSED_OVER if candidate.refused else ASKED,
            "reason": candidate.refused,
        }
        for candidate in routing.candidates(found, party)
    ]


def _number(routing: NumberRouting, names: Names, text: str) -> Number:
    domain = names.domains[0]
    try:
        if scheme_of(text) in ("sip", "sips"):
            number = routing.number_of(parse_uri(text))
        else:
            phone = parse_tel(
                text if scheme_of(text) in SCHEMES else f"tel:{text.replace(' ', '').replace('#', '%23')}"
            )
            number = routing.dialling.plan.read(
                phone.number, "" if phone.context == domain else phone.context
            )
    except ParseError as error:
        raise UsageError(str(error)) from None
    if number is None:
        raise UsageError(f"{text[:80]!r} is no number of the number plan")
    return number


def _row(route: Route) -> dict[str, Any]:
    return {
        "prefix": route.prefix,
        "gateway": route.gateway,
        "priority": route.priority,
        "weight": route.weight,
        "strip": route.rewriting.strip,
        "prepend": route.rewriting.prepend,
        "stop": route.stop,
        "caller": route.caller.shown,
        "callers": list(route.caller.allowed),
    }
