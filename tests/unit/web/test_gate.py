"""Who may see what, and who has logged in."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.test.requesthelper import DummyChannel

from voipcluster.web.gate import LOGIN, METRICS, Gate, GateOptions, Refusal
from voipcluster.web.guesses import OF_SOURCE
from voipcluster.web.hosts import Hosts
from voipcluster.web.passwords import SALT, hashed

PASSWORD = "correct horse"
KEPT = hashed(PASSWORD, bytes(SALT), 10)


class GateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.kept = KEPT
        self.told: list[tuple[str, int]] = []

    def gate(self, **options: Any) -> Gate:
        return Gate(
            GateOptions(**options),
            bytes(range(32)),
            lambda: self.kept,
            ended=lambda number, until: self.told.append((number, until)),
            wall=lambda: self.now,
            seconds=lambda: self.now,
        )

    def request(self, path: str = "/api/status", **headers: str) -> Request:
        channel: Any = DummyChannel()
        channel.site = Site(Resource())
        request = Request(channel, False)
        request.postpath = path[1:].encode().split(b"/")
        for name, value in {"host": "127.0.0.1:8080", **headers}.items():
            request.requestHeaders.addRawHeader(name.replace("_", "-"), value)
        request.parseCookies()
        return request

    def logged_in(self, gate: Gate, source: str = "192.0.2.1") -> Any:
        return self.successResultOf(gate.log_in(PASSWORD, source))

    def refused(self, call: Any, *given: Any) -> tuple[int, str]:
        failure = self.failureResultOf(maybeDeferred(call, *given), Refusal)
        return failure.value.code, str(failure.value)


class ReadingTests(GateCase):
    def test_open(self) -> None:
        """By default everybody who reaches it may read everything."""
        for path in ("/", "/api/status", "/metrics"):
            self.gate().check_reading(self.request(path))

    def test_login(self) -> None:
        """With read = login only the page itself and what logs in is shown; how a path is written makes no difference."""
        gate = self.gate(read=LOGIN)
        for path in ("/", "/static/dashboard.js", "/sip", "/api/session", "/api/login", "/api/logout"):
            gate.check_reading(self.request(path))
        for path in ("/api/status", "/api/calls", "/metrics", "/api/drain", "/api", "/x", "/apis/session"):
            self.assertEqual(self.refused(gate.check_reading, self.request(path))[0], 401, path)
        session = self.logged_in(gate)
        gate.check_reading(self.request("/api/status", cookie=f"voipcluster={session.token}"))
        self.assertEqual(gate.refused["no session"], 7)

    def test_metrics(self) -> None:
        """With read = metrics a scraper is let in, and only there."""
        gate = self.gate(read=METRICS)
        gate.check_reading(self.request("/metrics"))
        for path in ("/api/status", "/metrics/x"):
            self.assertEqual(self.refused(gate.check_reading, self.request(path))[0], 401)

    def test_host(self) -> None:
        gate = self.gate(hosts=Hosts(["page.example"]))
        gate.check_reading(self.request(host="page.example:8080"))
        code, why = self.refused(gate.check_reading, self.request(host="evil.example"))
        self.assertEqual(code, 403)
        self.assertIn("web.hosts", why)


class SessionTests(GateCase):
    def test_cookie(self) -> None:
        """Over TLS the cookie has a name that only TLS may set, and one of the other name is none."""
        for secure, name, other in ((False, "voipcluster", "x"), (True, "__Host-voipcluster", "voipcluster")):
            gate = self.gate(secure=secure)
            session = self.logged_in(gate)
            self.assertEqual(gate.session(self.request(cookie=f"a=b; {name}={session.token}")), session)
            self.assertIsNone(gate.session(self.request(cookie=f"{other}={session.token}")))
            self.assertIsNone(gate.session(self.request(cookie=f"{name}=\xff")))
            self.assertIsNone(gate.session(self.request()))

    def test_log_in(self) -> None:
        """The right password opens a session for its time, and a wrong one does not; both are counted."""
        gate = self.gate(session=60.0)
        session = self.logged_in(gate)
        self.assertEqual(session.until, 1060)
        self.assertEqual(
            self.refused(gate.log_in, "wrong horse", "192.0.2.1"), (401, "that is not the password")
        )
        self.assertEqual(dict(gate.logins), {"accepted": 1, "wrong": 1})
        request = self.request(cookie=f"voipcluster={session.token}")
        self.now = 1060.0
        self.assertIsNone(gate.session(request))

    def test_no_password(self) -> None:
        """While none is set nobody can log in, whatever he sends; one that is set anew ends sessions."""
        gate = self.gate()
        session = self.logged_in(gate)
        self.kept = ""
        self.assertFalse(gate.has_password)
        code, why = self.refused(gate.log_in, "", "192.0.2.1")
        self.assertEqual(code, 403)
        self.assertIn("voipctl web-password", why)
        self.assertIsNone(gate.session(self.request(cookie=f"voipcluster={session.token}")))

    def test_guessing(self) -> None:
        """Behind some wrong ones even the right one is not looked at; it is from the rest of the same IPv6 network, neither."""
        gate = self.gate()
        for _ in range(OF_SOURCE):
            self.refused(gate.log_in, "wrong horse", "2001:db8::1")
        failure = self.failureResultOf(maybeDeferred(gate.log_in, PASSWORD, "2001:db8::2"), Refusal)
        self.assertEqual((failure.value.code, failure.value.headers), (429, {"Retry-After": "601"}))
        self.assertIn("in 10 minutes", str(failure.value))
        self.assertEqual(gate.logins["too many"], 1)
        self.logged_in(gate, "2001:db8:0:1::1")
        self.now += 600.0
        self.logged_in(gate, "2001:db8::1")

    def test_many_at_once(self) -> None:
        """Tries that run at the same time count, too, and are looked at one after the other."""
        running: list[Deferred[Any]] = []

        def later(work: Any) -> Deferred[Any]:
            running.append(Deferred())
            return running[-1]

        gate = Gate(cluster_key=bytes(32), password=lambda: KEPT, in_thread=later, seconds=lambda: 0.0)
        answers: list[Any] = []
        for n in range(20):
            maybeDeferred(gate.log_in, f"guess {n}", "192.0.2.1").addErrback(answers.append)
        self.assertEqual((len(running), len(answers)), (1, 20 - OF_SOURCE))
        for n in range(OF_SOURCE):
            running[n].callback(False)
        self.assertEqual(Counter(one.value.code for one in answers), {429: 20 - OF_SOURCE, 401: OF_SOURCE})

    def test_log_out(self) -> None:
        """The session ends here, the others are told, and what they tell counts here."""
        gate, other = self.gate(), self.gate()
        session = self.logged_in(gate)
        request = self.request(cookie=f"voipcluster={session.token}")
        self.assertEqual(other.session(request), session)
        gate.log_out(session)
        self.assertIsNone(gate.session(request))
        self.assertEqual(self.told, [(session.number, session.until)])
        other.log_out_elsewhere(*self.told[0])
        self.assertIsNone(other.session(request))


class ChangingTests(GateCase):
    def test_origin(self) -> None:
        """What a browser says of another site is refused; what is no browser says nothing."""
        gate = self.gate()
        for headers in (
            {},
            {"origin": "http://127.0.0.1:8080"},
            {"sec_fetch_site": "same-origin"},
            {"sec_fetch_site": "none"},
        ):
            gate.check_origin(self.request(**headers))
        foreign = (
            {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": ""}, {"origin": "http://127.0.0.1:8081"},
            {"origin": "http://127.0.0.1:8080.evil.example"}, {"origin": "http://[oops"},
            {"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"},
            {"origin": "http://127.0.0.1:8080", "sec_fetch_site": "cross-site"},
        )  # fmt: skip
        for headers in foreign:
            self.assertEqual(self.refused(gate.check_origin, self.request(**headers))[0], 403, headers)
        self.assertEqual(gate.refused["cross-site"], len(foreign))

    def test_change(self) -> None:
        """It takes a session, and the token that only a page of ours has read."""
        gate = self.gate()
        session, other = self.logged_in(gate), self.logged_in(gate)
        cookie, token = f"voipcluster={session.token}", gate.sessions.form_token(session)
        self.assertEqual(gate.check_change(self.request(cookie=cookie, x_form_token=token)), session)
        self.assertEqual(self.refused(gate.check_change, self.request(x_form_token=token))[0], 401)
        for wrong in ("", "x", gate.sessions.form_token(other), session.token):
            code, why = self.refused(gate.check_change, self.request(cookie=cookie, x_form_token=wrong))
            self.assertEqual((code, "load it again" in why), (403, True), wrong)
        self.assertEqual(self.refused(gate.check_change, self.request(cookie=cookie))[0], 403)
