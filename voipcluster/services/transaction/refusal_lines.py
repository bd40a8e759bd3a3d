"""A line in the log for each kind of refusal: who was refused what, and why."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from voipcluster.address import Flow
from voipcluster.errors import ParseError
from voipcluster.services.notices import Notices
from voipcluster.sip.message import Request
from voipcluster.sip.uri import parse_uri, scheme_of
from voipcluster.sip.values import address_uri

_LONGEST = 120  # characters of what a peer says of itself


class RefusalLines:
    """
    At most a few lines of one kind, so that a flood fills no log; a kind is a status, of a REGISTER or of anything else.

    @param seconds: the clock.
    """

    _log = Logger()

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._notices = Notices(seconds, self._log)

    def note(self, request: Request, flow: Flow, status: int, why: str) -> None:
        """A request that came over a flow was refused; C{why}: in words."""
        if request.to_tag:
            return  # within a dialog: told of where dialogs are looked after
        registers = request.method == "REGISTER"
        self._notices.info(
            f"{'REGISTER' if registers else 'request'} {status}",
            "{what} over {flow} gets {status}: {why}",
            what=_Named(request),
            flow=flow,
            status=status,
            why=why,
            call=request.get("call-id") or "",
        )


class _Named:
    """A request by its parties, put into words by the few lines only that are written."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __str__(self) -> str:
        request = self._request
        if request.method == "REGISTER":
            return f"REGISTER of {_party(request.get('to'))} at {_party(request.uri)}"
        return f"{request.method[:32]!r} from {_party(request.get('from'))} to {_party(request.uri)}"


def _party(text: str | None) -> str:
    """Who a URI or a name with one is: without display name, parameters, or the password that a URI may hold."""
    try:
        written = text or ""
        uri = address_uri(written) if "<" in written else written.partition(";")[0]
        if scheme_of(uri) not in ("sip", "sips"):
            return repr(uri[:_LONGEST])
        parsed = parse_uri(uri)
    except ParseError:
        return "nobody named"
    return repr((f"{parsed.user}@{parsed.host}" if parsed.user else parsed.host)[:_LONGEST])
