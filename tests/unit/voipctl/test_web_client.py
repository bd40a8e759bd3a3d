"""Asking a node over its web page: what is sent, and one line for whatever goes wrong."""

from __future__ import annotations

import errno
import http.client
import io
import urllib.error
from email.message import Message
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.voipctl import web_client
from voipcluster.voipctl.web_client import WebClient


class Body(io.BytesIO):
    """An answer with headers."""

    headers: dict[str, str] = {}


class FakeOpener:
    """Takes the place of urllib's: gives an answer, or raises it."""

    headers: dict[str, str] = {}

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def open(self, address: str, timeout: float) -> Any:
        self.asked.append(address)
        if isinstance(self.answer, Exception):
            raise self.answer
        answer = Body(self.answer)
        answer.headers = self.headers
        return answer


class WebTests(SynchronousTestCase):
    def node(self, answer: bytes | Exception, url: str = "http://192.0.2.1:8080") -> WebClient:
        web = WebClient(url)
        self.opener = FakeOpener(answer)
        self.patch(web, "_opener", self.opener)
        return web

    def refusal(self, answer: bytes | Exception, command: str = "status", **arguments: object) -> str:
        text = str(self.assertRaises(UsageError, self.node(answer).ask, command, **arguments))
        self.assertEqual(len(text.splitlines()), 1)
        return text

    def test_addresses(self) -> None:
        """Each command has its page; a Call-ID is one part of the path, whatever is in it, and what is not given is left out."""
        web = self.node(b"[]", "http://192.0.2.1:8080/voip")
        web.ask("status")
        web.ask("calls", call_id=None)
        web.ask("registrations", aor="alice@example.com")
        web.ask("explain", call_id="1/2?x#y@host")
        web.ask("trace", call_id="1/2@host", texts=False)
        self.assertEqual(
            [address.removeprefix("http://192.0.2.1:8080/voip/") for address in self.opener.asked],
            [
                "api/status",
                "api/calls",
                "api/registrations?aor=alice%40example.com",
                "api/explain/1%2F2%3Fx%23y%40host",
                "api/trace/1%2F2%40host",
            ],
        )

    def test_one_part(self) -> None:
        """Of a list the page has one part, and no other form of it."""
        web = self.node(b'[{"aor": "alice@example.com"}]')
        self.assertEqual(list(web.stream("registrations", parts=0)), [[{"aor": "alice@example.com"}]])
        self.assertEqual(list(web.parts("calls", 500, 3)), [[{"aor": "alice@example.com"}]])
        self.assertEqual(
            self.opener.asked,
            ["http://192.0.2.1:8080/api/registrations", "http://192.0.2.1:8080/api/calls"],
        )

    def test_silent_nodes(self) -> None:
        """The page names those whose calls are missing in a header; one of an earlier release names none."""
        web = self.node(b'[{"call_id": "x"}]')
        for headers, silent in (({}, []), ({"Voipcluster-Silent": "b, c"}, ["b", "c"])):
            self.opener.headers = headers
            parts = list(web.parts("calls", 500, silent=True))
            self.assertEqual(parts, [{"calls": [{"call_id": "x"}], "silent": silent}])
        self.assertEqual(set(self.opener.asked), {"http://192.0.2.1:8080/api/calls"})

    def test_gateways_and_routes(self) -> None:
        """One gateway comes from the list of all, without its options; who calls is not asked of the page."""
        web = self.node(b'[{"name": "a", "state": "up"}, 7, {"name": "b"}]')
        self.assertEqual(web.ask("gateway-show", name="a"), {"name": "a", "state": "up"})
        web.ask("routes", number="+49", caller=None)
        self.assertEqual(
            self.opener.asked,
            ["http://192.0.2.1:8080/api/gateways", "http://192.0.2.1:8080/api/routes?number=%2B49"],
        )
        self.assertEqual(self.refusal(b"[]", "gateway-show", name="x"), "there is no gateway x")
        self.assertIn("--state-dir", self.refusal(b"[]", "routes", number="1", caller="alice@example.com"))
        self.assertEqual(self.opener.asked, [])

    def test_metrics_are_text(self) -> None:
        """They are not JSON."""
        self.assertEqual(self.node(b"voipcluster_calls 1.0\n").ask("metrics"), "voipcluster_calls 1.0\n")

    def test_read_only(self) -> None:
        """What changes something is not on the page, and no request is made."""
        self.assertEqual(
            self.refusal(b"{}", "user-add", name="x"),
            "'user add' needs the admin socket, for --url only reads what everybody may: use --state-dir on the node's machine",
        )
        for on, name in ((True, "drain"), (False, "undrain")):
            told = self.refusal(b"{}", "drain", node="b", on=on)
            self.assertTrue(told.startswith(f"'{name}' needs the admin socket"), told)
            self.assertTrue(told.endswith("on the node's machine, or log in on the web page"), told)
        self.assertIn("no whole messages", self.refusal(b"{}", "trace", call_id="c", texts=True))
        self.assertEqual(self.opener.asked, [])

    def test_urls(self) -> None:
        """Only web addresses; no file of this machine."""
        for url in ("file:///etc/passwd", "192.0.2.1:8080", "http://", "", "ftp://192.0.2.1/"):
            self.assertIn("--url", str(self.assertRaises(UsageError, WebClient, url)), url)

    def test_urls_that_name_nothing(self) -> None:
        """Neither a host nor a port can be read of them; and what may be a password is not shown."""
        for url in (
            "http://[",
            "http://[::1/",
            "http://h:x/",
            "http://h:99999/",
            "http://u:s3cret@h/",
            "u:s3cret@h",
        ):
            error = str(self.assertRaises(UsageError, WebClient, url))
            self.assertTrue(error.startswith("--url: "), error)
            self.assertTrue(error.endswith(" is not http://HOST[:PORT]/"), error)
            self.assertNotIn("s3cret", error)

    def test_no_proxy_and_no_redirect(self) -> None:
        """The environment's proxy does not see what is asked, and a node sends nobody elsewhere."""
        handlers = [type(handler).__name__ for handler in WebClient("http://192.0.2.1/")._opener.handlers]
        self.assertNotIn("ProxyHandler", handlers)
        self.assertNotIn("HTTPRedirectHandler", handlers)
        redirect = next(
            h for h in WebClient("http://192.0.2.1/")._opener.handlers if type(h) is web_client._NoRedirect
        )
        self.assertIsNone(
            redirect.redirect_request(None, None, 302, "Found", {}, "http://elsewhere.example/")
        )

    def http_error(self, status: int, body: bytes) -> urllib.error.HTTPError:
        return urllib.error.HTTPError("http://x/", status, "Not Found", Message(), io.BytesIO(body))

    def test_refused(self) -> None:
        """The node's own words are the error; without any, it is the status of the address."""
        self.assertEqual(
            self.refusal(self.http_error(404, b'{"error": "no node knows x"}')), "no node knows x"
        )
        for body in (b"<html>", b"[]", b"", b"[" * 50_000):
            text = self.refusal(self.http_error(404, body))
            self.assertEqual(text, "http://192.0.2.1:8080/api/status: 404 Not Found", body[:9])

    def test_nobody_is_there(self) -> None:
        """A refused connection, a name that is none, and a time-out are one line with the address."""
        for error, text in (
            (
                urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
                "Connection refused",
            ),
            (urllib.error.URLError("unknown url type"), "unknown url type"),
            (TimeoutError("timed out"), "timed out"),
            (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer"),
        ):
            self.assertEqual(self.refusal(error), f"http://192.0.2.1:8080/: {text}")

    def test_something_else_listens(self) -> None:
        """A SIP or SSH port at the other end, or an answer that breaks off, is no traceback."""
        for error in (
            http.client.BadStatusLine("SIP/2.0 400 Bad Request"),
            http.client.IncompleteRead(b"{"),
            http.client.LineTooLong("header line"),
        ):
            self.assertEqual(
                self.refusal(error), "http://192.0.2.1:8080/: what answers there is not a web server"
            )
        for body in (b"<html>", b"", b"\xff", b"[" * 100_000):
            self.assertEqual(self.refusal(body), "http://192.0.2.1:8080/api/status: not an answer of a node")
