"""Who a request of the web page is from, what it may see, and whether it may change something."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, frozen
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred
from twisted.web import http
from twisted.web.server import Request

from voipcluster.address import source_of
from voipcluster.errors import UsageError
from voipcluster.web.guesses import Guesses
from voipcluster.web.hosts import Hosts
from voipcluster.web.passwords import matches
from voipcluster.web.sessions import NUMBER, Session, Sessions
from voipcluster.web.view import Later

OPEN, METRICS, LOGIN = READ = ("open", "metrics", "login")
FORM_TOKEN = b"x-form-token"
TOO_MANY_REQUESTS = 429  # RFC 6585 section 4
_ALWAYS = ((b"",), (b"static",), (b"sip",), (b"api", b"session"), (b"api", b"login"), (b"api", b"logout"))


class Refusal(Exception):
    """
    A request is not served.

    @ivar code: an HTTP status; C{headers} go with it.
    """

    def __init__(self, code: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.code, self.headers = code, dict(headers or {})


@frozen(kw_only=True)
class GateOptions:
    """
    @ivar read: what is shown without log-in: L{OPEN} everything, L{METRICS} only C{/metrics}, L{LOGIN} nothing.
    @ivar session: seconds after which one has to log in again.
    @ivar hosts: by which names the page may be asked for.
    @ivar secure: it is served over TLS.
    """

    read: str = OPEN
    session: float = 28_800.0
    hosts: Hosts = Factory(Hosts)
    secure: bool = False


def _no_orders(command: str, arguments: Mapping[str, Any]) -> Later:
    raise UsageError("this node takes no orders from its page")


def _at_once(work: Callable[[], Any]) -> Deferred[Any]:
    return maybeDeferred(work)


class Gate:
    """
    @param cluster_key: as of L{Sessions}; sessions of no other process are known without one.
    @param password: what is kept of the password now; empty: nobody can log in.
    @param order: does a command of C{voipctl}, by name and arguments.
    @param in_thread: runs what takes a tenth of a second.
    @param ended: told the number of a session that has logged out, and when it would have ended.
    @param wall: unix seconds; C{seconds} of a clock that only goes forward.
    @ivar logins: by result; C{refused}: requests, by reason.
    """

    def __init__(
        self,
        options: GateOptions = GateOptions(),
        cluster_key: bytes = b"",
        password: Callable[[], str] = lambda: "",
        order: Callable[[str, Mapping[str, Any]], Later] = _no_orders,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]] = _at_once,
        ended: Callable[[str, int], object] = lambda number, until: None,
        wall: Callable[[], float] = time.time,
        seconds: Callable[[], float] = time.monotonic,
        octets: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.options, self.order = options, order
        self.sessions = Sessions(cluster_key or octets(32), options.session)
        self._guesses, self._trying = Guesses(), DeferredLock()
        self._password, self._in_thread, self._ended = password, in_thread, ended
        self._wall, self._seconds, self._octets = wall, seconds, octets
        self.logins: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        # a browser takes a cookie of this name only over TLS, for the whole host and from the host itself
        self.cookie = "__Host-voipcluster" if options.secure else "voipcluster"

    def use(self, options: GateOptions) -> None:
        """From now on; sessions that are open keep their time."""
        self.options = options
        self.sessions.lifetime = options.session

    @property
    def has_password(self) -> bool:
        return bool(self._password())

    # -- reading

    def session(self, request: Request) -> Session | None:
        """Who sent the request has logged in with this session."""
        token = request.getCookie(self.cookie.encode("ascii"))
        if not token:
            return None
        return self.sessions.check(token.decode("latin-1"), self._wall(), self._password())

    def check_reading(self, request: Request) -> None:
        """@raise Refusal: it was not asked for by a name of ours, or who asked has to log in."""
        if not self.options.hosts.allows(request.getRequestHostname().decode("latin-1")):
            self.refused["host"] += 1
            raise Refusal(
                http.FORBIDDEN,
                "the Host of the request is not an address of this node; its operator can allow the name with web.hosts",
            )
        if self.options.read == OPEN:
            return
        path = tuple(request.postpath or ())
        if self.options.read == METRICS and path == (b"metrics",):
            return
        if not any(path[: len(way)] == way for way in _ALWAYS) and self.session(request) is None:
            self.refused["no session"] += 1
            raise Refusal(
                http.UNAUTHORIZED,
                "this node shows nothing without log-in (web.read); use its page, or voipctl there",
            )

    # -- changing

    def check_origin(self, request: Request) -> None:
        """@raise Refusal: a page of another site has sent this (it cannot read what we answer, but it could change something)."""
        headers = request.requestHeaders
        host = headers.getRawHeaders(b"host", [b""])[0].decode("latin-1").lower()
        origins = [origin.decode("latin-1").lower() for origin in headers.getRawHeaders(b"origin", [])]
        # which of the two schemes it is, is known only to a proxy in front of us
        foreign = [origin for origin in origins if origin not in (f"http://{host}", f"https://{host}")]
        sites = set(headers.getRawHeaders(b"sec-fetch-site", [])) - {b"same-origin", b"none"}
        if foreign or sites:
            self.refused["cross-site"] += 1
            raise Refusal(http.FORBIDDEN, "this was sent by a page of another site")

    def check_change(self, request: Request) -> Session:
        """
        @return: the session in which the change was asked for.
        @raise Refusal: there is none, or it was not our page that asked.
        """
        session = self.session(request)
        if session is None:
            self.refused["no session"] += 1
            raise Refusal(http.UNAUTHORIZED, "you are not logged in, or your session has ended: log in again")
        token = request.requestHeaders.getRawHeaders(FORM_TOKEN, [b""])[0].decode("latin-1")
        if not self.sessions.is_form_token(session, token):
            self.refused["cross-site"] += 1
            raise Refusal(http.FORBIDDEN, "the request lacks the token of your page: load it again")
        return session

    def log_in(self, password: str, address: str) -> Deferred[Session]:
        """
        @param address: where the request came from.
        @return: a new session; fails with L{Refusal}.
        """
        kept = self._password()
        if not kept:
            raise Refusal(http.FORBIDDEN, "nobody can log in yet: set a password with voipctl web-password")
        source = source_of(address)
        wait = self._guesses.begin(source, self._seconds())
        if wait > 0:
            self.logins["too many"] += 1
            minutes = max(1, round(wait / 60))
            raise Refusal(
                TOO_MANY_REQUESTS,
                f"too many wrong passwords; try again in {minutes} {'minute' if minutes == 1 else 'minutes'}",
                {"Retry-After": str(int(wait) + 1)},
            )

        def checked(right: bool) -> Session:
            if not right:
                self.logins["wrong"] += 1
                raise Refusal(http.UNAUTHORIZED, "that is not the password")
            self._guesses.right(source)
            self.logins["accepted"] += 1
            return self.sessions.open(self._wall(), kept, self._octets(NUMBER))

        # one at a time: each takes 32 MiB, and a part of the CPU that calls need
        tried: Deferred[bool] = self._trying.run(self._in_thread, lambda: matches(password, kept))
        return tried.addCallback(checked)

    def log_out(self, session: Session) -> None:
        """The session is none any more, here at once and at the other nodes as soon as they hear."""
        self.sessions.end(session.number, session.until, self._wall())
        self._ended(session.number, session.until)

    def log_out_elsewhere(self, number: str, until: float) -> None:
        """Another node tells of a session that has ended."""
        self.sessions.end(number, until, self._wall())
