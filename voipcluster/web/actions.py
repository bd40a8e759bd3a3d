"""What the page can do, and not only show: log in and out, drain a node. Each is a POST with a small JSON object."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.server import Request

from voipcluster.web.gate import Gate, Refusal
from voipcluster.web.pages import Answer, write_json, write_refusal
from voipcluster.web.sessions import Session
from voipcluster.web.view import INodeView, Later, Row

MOST = 4096  # octets of a body; the longest real one has a password
_log = Logger()


class SessionPage(Answer):
    """C{/api/session}: whether one has logged in, or can."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def render_GET(self, request: Request) -> bytes | int:
        return write_json(request, self.row(self._gate.session(request)))

    def row(self, session: Session | None) -> Row:
        """What a page has to know; C{token} goes into the header X-Form-Token of each change."""
        gate = self._gate
        return {
            "logged_in": session is not None,
            "token": None if session is None else gate.sessions.form_token(session),
            "until": None if session is None else session.until,
            "can_log_in": gate.has_password,
            "read": gate.options.read,
        }


class Action(Answer):
    """Checks where a request is from and what it holds; what to do with it is for the subclass."""

    methods = (b"POST",)
    unable = http.CONFLICT

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def render_POST(self, request: Request) -> bytes | int:
        try:
            self._gate.check_origin(request)
            return self._reply(request, lambda: self.act(request, self._object(request)), write_json)
        except Refusal as refusal:
            return write_refusal(request, refusal)

    def act(self, request: Request, given: Row) -> Later:
        """@return: what is answered. @raise Refusal: and L{VoipclusterError}, with a text for who asked."""
        raise NotImplementedError("for the action to say")

    def _object(self, request: Request) -> Row:
        """The body. @raise Refusal: it is not what it must be."""
        kind = request.requestHeaders.getRawHeaders(b"content-type", [b""])[0]
        if kind.partition(b";")[0].strip().lower() != b"application/json":
            # which no form of another site can send without being asked about it first (Fetch standard, CORS)
            raise Refusal(http.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
        assert request.content is not None, "the request is complete"
        octets = request.content.read(MOST + 1)
        if len(octets) > MOST:
            raise Refusal(http.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {MOST} octets")
        try:
            given = json.loads(octets.decode("utf-8"))
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise Refusal(http.BAD_REQUEST, "the body is not a JSON object in UTF-8")
        return given


class Login(Action):
    """C{/api/login}: a password for a session."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self._page = SessionPage(gate)

    def act(self, request: Request, given: Row) -> Later:
        password = given.get("password")
        if not isinstance(password, str) or set(given) != {"password"}:
            raise Refusal(http.BAD_REQUEST, 'the body is {"password": "..."}')
        source = where_from(request)

        def opened(session: Session) -> Row:
            set_cookie(request, self._gate, session.token, int(self._gate.options.session))
            _log.info("{source} has logged in at the web page", source=source)
            return self._page.row(session)

        def refused(failure: Failure) -> Any:
            # those are few (see guesses); with what was not looked at a stranger could fill the log
            if isinstance(failure.value, Refusal) and failure.value.code == http.UNAUTHORIZED:
                _log.info(
                    "log-in at the web page refused to {source}: {why}",
                    source=source,
                    why=failure.getErrorMessage(),
                )
            return failure

        return maybeDeferred(self._gate.log_in, password, source).addCallbacks(opened, refused)


class Logout(Action):
    """C{/api/logout}: the session ends, at all nodes, and the browser forgets it."""

    def act(self, request: Request, given: Row) -> Later:
        session = self._gate.check_change(request)
        self._gate.log_out(session)
        set_cookie(request, self._gate, "", 0)
        _log.info("{source} has logged out of the web page", source=where_from(request))
        return SessionPage(self._gate).row(None)


class Drain(Action):
    """C{/api/drain}: a node takes no new requests, or takes them again, as with C{voipctl drain} and C{undrain}."""

    def __init__(self, gate: Gate, view: INodeView) -> None:
        super().__init__(gate)
        self._view = view

    def act(self, request: Request, given: Row) -> Later:
        self._gate.check_change(request)
        name, on = given.get("node"), given.get("on")
        if not isinstance(name, str) or not isinstance(on, bool) or set(given) != {"node", "on"}:
            raise Refusal(http.BAD_REQUEST, 'the body is {"node": name, "on": true or false}')

        def known(status: Row) -> Later:
            states = {node["name"]: node["state"] for node in status["nodes"]}
            if name not in states:
                raise Refusal(http.NOT_FOUND, f"there is no node {name[:64]}; there are {', '.join(states)}")
            if on == (states[name] == "drain"):
                raise Refusal(http.CONFLICT, f"{name} is {'draining already' if on else 'not draining'}")
            return self._gate.order("drain", {"node": name, "on": on})

        def done(result: object) -> Row:
            text = f"{name} takes no new requests; calls go on" if on else f"{name} takes requests again"
            _log.info("by the web page, from {source}: {text}", source=where_from(request), text=text)
            return {"done": text}

        return maybeDeferred(self._view.status).addCallback(known).addCallback(done)


def where_from(request: Request) -> str:
    address = request.getClientAddress()
    return address.host if isinstance(address, IPv4Address | IPv6Address) else "?"


def set_cookie(request: Request, gate: Gate, value: str, seconds: int) -> None:
    """Not to be read by scripts, and not sent along when another site leads here."""
    secure = "; Secure" if gate.options.secure else ""
    request.responseHeaders.setRawHeaders(
        "Set-Cookie", [f"{gate.cookie}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"]
    )
