"""What the page can do: each request as a browser sends it, and as somebody else might."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from tests.unit.fake_node import NUMBER_ROUTE, FakeNode
from tests.unit.web.site_case import Answer, SiteCase
from voipcluster.errors import PeerError, UsageError
from voipcluster.services.commands import perform
from voipcluster.web.actions import MOST
from voipcluster.web.gate import Gate, GateOptions
from voipcluster.web.guesses import OF_SOURCE
from voipcluster.web.passwords import SALT, hashed

PASSWORD = "correct horse"
KEPT = hashed(PASSWORD, bytes(SALT), 10)


class ActionCase(SiteCase):
    secure = False
    read = "open"

    def make_gate(self) -> Gate:
        self.now = 1000.0
        self.kept = KEPT
        return Gate(
            GateOptions(session=3600.0, read=self.read, secure=self.secure),
            bytes(range(32)),
            lambda: self.kept,
            lambda command, arguments: perform(self.node, command, arguments),
            wall=lambda: self.now,
            seconds=lambda: self.now,
        )

    def log_in(self) -> str:
        """@return: the header lines of what a page of ours sends."""
        answer = self.post("/api/login", {"password": PASSWORD})
        self.assertEqual(answer.code, 200, answer.body)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        return f"Cookie: {cookie}\r\nX-Form-Token: {answer.json['token']}\r\n"

    def nothing_done(self) -> None:
        self.assertEqual([asked for asked in self.node.asked if asked[0] == "drain"], [])

    def error(self, answer: Answer, code: int, words: str = "") -> None:
        self.assertEqual(answer.code, code, answer.body)
        self.assertIn(words, answer.json["error"])
        self.nothing_done()


class LoginTests(ActionCase):
    def test_right(self) -> None:
        """The answer has the cookie, out of reach of scripts and other sites, and what a page needs to know."""
        answer = self.post("/api/login", {"password": PASSWORD})
        name, *attributes = answer.headers["set-cookie"].split("; ")
        self.assertTrue(name.startswith("voipcluster="))
        self.assertEqual(attributes, ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Strict"])
        self.assertEqual(answer.headers["cache-control"], "no-store")
        session = self.get("/api/session", more=f"Cookie: {name}\r\n").json
        self.assertEqual(session, answer.json)
        self.assertEqual((session["logged_in"], session["until"], session["read"]), (True, 4600, "open"))

    def test_wrong(self) -> None:
        """A wrong one opens nothing, and some of them shut the source out, also from the right one."""
        for _ in range(OF_SOURCE):
            answer = self.post("/api/login", {"password": "wrong horse"})
            self.assertEqual((answer.code, answer.json), (401, {"error": "that is not the password"}))
            self.assertNotIn("set-cookie", answer.headers)
        answer = self.post("/api/login", {"password": PASSWORD})
        self.error(answer, 429, "too many wrong passwords")
        self.assertEqual(answer.headers["retry-after"], "601")

    def test_log(self) -> None:
        """It tells of each password that was tried; what is not even looked at anybody could say without end."""
        with capturedLogs() as told:
            for _ in range(OF_SOURCE + 20):
                self.post("/api/login", {"password": "wrong horse"})
            self.kept = ""
            self.post("/api/login", {"password": PASSWORD})
        lines = [formatEvent(event) for event in told if event["log_namespace"] == "voipcluster.web.actions"]
        self.assertEqual(len(lines), OF_SOURCE)
        self.assertIn("that is not the password", lines[0])

    def test_not_set(self) -> None:
        self.kept = ""
        self.error(self.post("/api/login", {"password": PASSWORD}), 403, "voipctl web-password")
        self.assertEqual(
            self.get("/api/session").json,
            {"logged_in": False, "token": None, "until": None, "can_log_in": False, "read": "open"},
        )

    def test_other_site(self) -> None:
        """No page of another site can log somebody in, nor try passwords through his browser."""
        for header in ("Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"):
            self.error(
                self.post("/api/login", {"password": PASSWORD}, more=f"{header}\r\n"), 403, "another site"
            )
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ):
            answer = self.post("/api/login", {"password": PASSWORD}, kind=kind)
            self.assertIn(answer.code, (415, 400), kind)
            self.assertNotIn("set-cookie", answer.headers)
        self.assertEqual(dict(self.gate.logins), {})

    def test_prices(self) -> None:
        """What a carrier asks is for those who have logged in, also where all else is open to read."""
        self.assertNotIn("price", self.get("/api/routes?number=030").json[0])
        self.assertNotIn(
            "price", self.get("/api/routes?number=030", more="Cookie: voipcluster=forged\r\n").json[0]
        )
        more = self.log_in()
        self.assertEqual(self.get("/api/routes?number=030", more=more).json, [NUMBER_ROUTE])

    def test_log_out(self) -> None:
        """The session ends, not only the cookie."""
        more = self.log_in()
        answer = self.post("/api/logout", {}, more=more)
        self.assertEqual((answer.code, answer.json["logged_in"]), (200, False))
        self.assertIn("Max-Age=0", answer.headers["set-cookie"])
        self.error(self.post("/api/drain", {"node": "a", "on": True}, more=more), 401, "log in again")
        self.error(self.post("/api/logout", {}, more=more), 401)


class SecureTests(ActionCase):
    secure = True

    def test_cookie(self) -> None:
        """Over TLS it never travels without, and nobody but this host sets it."""
        cookie = self.post("/api/login", {"password": PASSWORD}).headers["set-cookie"]
        self.assertTrue(cookie.startswith("__Host-voipcluster="))
        self.assertTrue(cookie.endswith("; Secure"))


class ClosedTests(ActionCase):
    read = "login"

    def test_nothing_to_read(self) -> None:
        """Without log-in there is only the page that lets one log in; with it all is as usual."""
        for path in (
            "/api/status",
            "/api/%73tatus",
            "/metrics",
            "/api/history",
            "/api/explain/1/2@host",
            "/nothing",
        ):
            answer = self.get(path)
            self.assertEqual(answer.code, 401, path)
            self.assertIn("web.read", answer.json["error"])
        self.assertEqual(self.node.asked, [])
        for path in (
            "/",
            "/static/dashboard.js",
            "/static/uplot/uPlot.min.css",
            "/api/session",
            "//api/status",
        ):
            self.assertEqual(self.get(path).code, 200, path)
        self.assertNotIn(b"handed_over", self.get("//api/status").body)
        more = self.log_in()
        for path in ("/api/status", "/metrics"):
            self.assertEqual(self.get(path, more=more).code, 200, path)
        self.now += 3600.0
        self.assertEqual(self.get("/api/status", more=more).code, 401)


class DrainTests(ActionCase):
    def test_drain(self) -> None:
        """It is the command of voipctl, and the answer says what is so now."""
        more = self.log_in()
        answer = self.post("/api/drain", {"node": "a", "on": True}, more=more)
        self.assertEqual((answer.code, answer.json), (200, {"done": "a takes no new requests; calls go on"}))
        self.assertEqual(self.node.asked, [("drain", "a", True)])

    def test_as_it_is_already(self) -> None:
        """A node that is not there, drains already, or does not drain."""
        more = self.log_in()
        self.error(self.post("/api/drain", {"node": "x", "on": True}, more=more), 404, "there are a, b")
        self.error(self.post("/api/drain", {"node": "a", "on": False}, more=more), 409, "a is not draining")
        self.node.states["a"] = "drain"
        self.error(
            self.post("/api/drain", {"node": "a", "on": True}, more=more), 409, "a is draining already"
        )
        answer = self.post("/api/drain", {"node": "a", "on": False}, more=more)
        self.assertEqual((answer.code, answer.json), (200, {"done": "a takes requests again"}))

    def test_it_fails(self) -> None:
        """What the other node or the link to it says reaches who asked; a fault of ours shows nothing."""
        more = self.log_in()
        for error, code in ((PeerError("node b is not\nreachable", 503), 503), (UsageError("no"), 409)):
            self.node.drained = fail(error)
            answer = self.post("/api/drain", {"node": "b", "on": True}, more=more)
            self.assertEqual((answer.code, answer.json["error"]), (code, " ".join(str(error).split())))
        self.node.drained = fail(KeyError("secret"))
        answer = self.post("/api/drain", {"node": "b", "on": True}, more=more)
        self.assertEqual(answer.code, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_without_the_token(self) -> None:
        """A cookie alone changes nothing: a form of another site would send it, too, if browsers let it."""
        more = self.log_in()
        cookie = more.partition("X-Form")[0]
        for lines in (cookie, f"{cookie}X-Form-Token: x\r\n", f"{cookie}X-Form-Token: \xff\r\n"):
            self.error(self.post("/api/drain", {"node": "a", "on": True}, more=lines), 403, "token")
        foreign = f"{more}Origin: http://127.0.0.1:9090\r\n"
        self.error(self.post("/api/drain", {"node": "a", "on": True}, more=foreign), 403, "another site")
        self.error(self.post("/api/drain", {"node": "a", "on": True}), 401, "log in")
        self.assertEqual(self.gate.refused, {"cross-site": 4, "no session": 1})

    def test_time_is_over(self) -> None:
        more = self.log_in()
        self.now += 3600.0
        self.error(self.post("/api/drain", {"node": "a", "on": True}, more=more), 401, "session has ended")
        self.assertEqual(self.get("/api/session", more=more).json["logged_in"], False)


class BadInputTests(ActionCase):
    PATHS = ("/api/login", "/api/logout", "/api/drain")

    def test_bodies(self) -> None:
        """What is no JSON object in UTF-8, or too long a one, is told so and does nothing."""
        more = self.log_in()
        bodies: list[tuple[bytes, int]] = [
            (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'"x"', 400), (b"\xff\xfe{}", 400), (b'{"x": "\xe9"}', 400),
            (b"[" * MOST, 400), (b"{" + b" " * MOST + b"}", 413), (b"x" * 60_000, 413),
        ]  # fmt: skip
        for path in self.PATHS:
            for body, code in bodies:
                self.error(self.post(path, body, more=more), code)
        self.assertEqual(self.gate.logins, {"accepted": 1})

    def test_fields(self) -> None:
        """Fields that are missing, of another type, or not ours."""
        more = self.log_in()
        login: tuple[Any, ...] = (
            {},
            {"password": 1},
            {"password": None},
            {"password": [PASSWORD]},
            {"password": PASSWORD, "x": 1},
        )
        for given in login:
            self.error(self.post("/api/login", given), 400, "the body is")
        drain: tuple[Any, ...] = (
            {}, {"node": "a"}, {"on": True}, {"node": "a", "on": 1}, {"node": None, "on": True}, {"node": ["a"], "on": True},
            {"node": "a", "on": True, "stop": True},
        )  # fmt: skip
        for given in drain:
            self.error(self.post("/api/drain", given, more=more), 400, "the body is")
        for name in ("<script>", "a\n", "\ud800", "x" * 3000):
            self.error(
                self.post("/api/drain", {"node": name, "on": True}, more=more), 404, "there is no node"
            )

    def test_methods(self) -> None:
        """What changes something is a POST, and nothing else is."""
        more = self.log_in()
        for path in self.PATHS:
            for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
                answer = self.get(path, method=method, more=more)
                self.assertEqual((answer.code, answer.headers["allow"]), (405, "POST"))
        self.assertEqual(self.post("/api/session", {}, more=more).code, 405)
        self.nothing_done()

    def test_headers(self) -> None:
        """Answers to changes are protected as all others are."""
        answer = self.post("/api/drain", {"node": "a", "on": True})
        self.assertIn("frame-ancestors 'none'", answer.headers["content-security-policy"])
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")

    def test_client_leaves(self) -> None:
        """A browser that is closed while the node works on its wish gets no answer, and the wish is done."""
        more = self.log_in()
        self.node.drained = Deferred()
        body = b'{"node": "a", "on": true}'
        head = f"POST /api/drain HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        transport = self.send(f"{head}{more}\r\n".encode() + body)
        self.channels.pop().connectionLost(Failure(ConnectionDone()))
        self.node.drained.callback(None)
        self.assertEqual(transport.value(), b"")
        self.assertEqual(self.node.asked, [("drain", "a", True)])


class ScriptTests(ActionCase):
    """What docs/web.md says to who asks the page by a script."""

    def setUp(self) -> None:
        super().setUp()
        text = (Path(__file__).parents[3] / "docs" / "web.md").read_text("utf-8")
        self.section = text.partition("## Ask it from a script")[2].partition("\n## ")[0]
        self.lines = [line for line in self.section.splitlines() if "curl" in line]

    def test_all_are_there(self) -> None:
        """Each path under /api is in the table, and the table has no other."""
        api = self.site.resource.children[b"api"]
        told = re.findall(r"^\| `(?:GET|POST) /api/([a-z]+)[`/?]", self.section, re.MULTILINE)
        self.assertEqual(sorted(told), sorted(name.decode() for name in api.children))

    def test_parameters(self) -> None:
        """Each field of a query in the table is one that the page looks at: one that it cannot be is refused."""
        asked = re.findall(r"^\| `GET (/api/[a-z]+)\?([a-z_]+)=", self.section, re.MULTILINE)
        self.assertEqual(len(asked), 4)
        for path, field in asked:
            self.error(self.get(f"{path}?{field}=%00"), 400, f"{field}: ")

    def test_lines(self) -> None:
        """They do what they say, in their order: read, log in, drain, take requests again, log out."""
        token = cookie = ""
        done = []
        for line in self.lines:
            call, pipe, _ = line.removeprefix("token=$(").partition(" | jq -r .token)")
            words = shlex.split(call.replace("$node", "").replace("$token", token))
            headers = [value for word, value in pairwise(words) if word == "-H"]
            (path,) = (word for word in words if word.startswith(("/api/", "/metrics")))
            if "-b" in words:
                headers.append(f"Cookie: {cookie}")
            kind = next((one.partition(": ")[2] for one in headers if one.startswith("Content-Type")), "")
            more = "".join(f"{one}\r\n" for one in headers if not one.startswith("Content-Type"))
            if "-d" in words:
                body = words[words.index("-d") + 1]
                body = json.dumps({"password": PASSWORD}) if body == "@login.json" else body
                answer = self.post(path, body.encode(), kind=kind, more=more)
            else:
                answer = self.get(path, more=more)
            self.assertEqual(answer.code, 200, (line, answer.body))
            done.append(path.split("?")[0])
            if path == "/api/drain":
                self.node.states["b"] = "drain" if '"on": true' in line else "open"
            if pipe:
                token, cookie = answer.json["token"], answer.headers["set-cookie"].partition(";")[0]
        self.assertEqual(done[-4:], ["/api/login", "/api/drain", "/api/drain", "/api/logout"])
        self.assertGreater(len(done), 7)
        self.assertEqual(
            [asked for asked in self.node.asked if asked[0] == "drain"],
            [("drain", "b", True), ("drain", "b", False)],
        )

    def test_no_such_path(self) -> None:
        """It is not there for anybody, by whatever method, and nothing is said of reading only."""
        more = self.log_in()
        for path in ("/api/undrain", "/api", "/static/drain", "/nothing"):
            self.assertEqual(self.post(path, {"node": "b"}, more=more).code, 404, path)
            for method in ("GET", "PUT", "DELETE"):
                answer = self.get(path, method=method, more=more)
                self.assertEqual((answer.code, answer.json), (404, {"error": "no such page"}), (path, method))
        answer = self.post("/api/status", {}, more=more)
        self.assertEqual((answer.code, answer.json), (405, {"error": "this page takes GET only"}))


class OrderTests(SiteCase):
    def test_no_orders(self) -> None:
        """A gate that was given no node to order about says so."""
        self.assertRaises(UsageError, Gate().order, "drain", {"node": "a", "on": True})
        self.assertIsInstance(self.node, FakeNode)
