"""What each page answers, and what is no question."""

from __future__ import annotations

import gzip

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.unit.fake_node import BINDING, CALL, HOP, NUMBER_ROUTE, ROUTE, STATUS, TRACE
from tests.unit.web.site_case import Answer, SiteCase
from voipcluster.errors import UsageError
from voipcluster.web.site import STATIC

PEER = IPv4Address("TCP", "127.0.0.1", 40000)


class PageTests(SiteCase):
    def test_json(self) -> None:
        """Each page of the API says what the node says, and no cache keeps it."""
        self.node.past.sample(5.0, {"a": 0.5})
        for path, expected in (
            ("/api/status", STATUS),
            ("/api/calls", [CALL]),
            ("/api/calls?call_id=1/2@host", [CALL]),
            ("/api/registrations", [BINDING]),
            ("/api/registrations?aor=alice%40example.com", [BINDING]),
            ("/api/explain/1/2@host", [HOP]),
            ("/api/explain/1%2F2%40host", [HOP]),
            ("/api/routes", [ROUTE]),
            ("/api/routes?number=030", [{name: of for name, of in NUMBER_ROUTE.items() if name != "price"}]),
            ("/api/trace/1/2@host", TRACE),
            ("/api/history", {"started": 1000.0, "time": [5.0], "nodes": {"a": [0.5]}}),
            ("/api/history?since=5.0", {"started": 1000.0, "time": [], "nodes": {}}),
        ):
            answer = self.get(path)
            self.assertEqual((answer.code, answer.json), (200, expected), path)
            self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
            self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertIn(("registrations", "alice@example.com"), self.node.asked)
        self.assertIn(("explain", "1/2@host"), self.node.asked)
        self.assertIn(("trace", "1/2@host", False), self.node.asked)

    def test_metrics(self) -> None:
        """/metrics is text for Prometheus."""
        answer = self.get("/metrics")
        self.assertEqual((answer.code, answer.body), (200, b"voipcluster_calls 10.0\n"))
        self.assertTrue(answer.headers["content-type"].startswith("text/plain"))

    def test_silent_nodes(self) -> None:
        """A header names the nodes whose calls are missing; there is none when all have answered."""
        self.assertNotIn("voipcluster-silent", self.get("/api/calls").headers)
        self.node.silent = ["b", "c"]
        answer = self.get("/api/calls")
        self.assertEqual((answer.json, answer.headers["voipcluster-silent"]), ([CALL], "b, c"))

    def test_read_only(self) -> None:
        """Every method but GET and HEAD is refused, and the node is not asked."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "FLY"):
            answer = self.get("/api/calls", method=method)
            self.assertEqual((answer.code, answer.headers["allow"]), (405, "GET, HEAD"), method)
        self.assertEqual(self.node.asked, [])
        self.assertEqual(self.get("/api/status", method="HEAD").body, b"")

    def test_missing(self) -> None:
        """What does not exist is 404, and no path leads out of the files."""
        for path in (
            "/nothing",
            "/api",
            "/api/fly",
            "/static/",
            "/static/../site.py",
            "/static/%2e%2e/site.py",
            "/x/y/z",
        ):
            self.assertEqual(self.get(path).code, 404, path)

    def test_bad_questions(self) -> None:
        """A value of the wrong shape is 400 and does not reach the node."""
        for path in (
            "/api/history?since=x", "/api/history?since=nan", "/api/calls?call_id=%00", "/api/explain/", "/api/explain/%0a",
            f"/api/calls?call_id={'x' * 600}",
        ):  # fmt: skip
            self.assertEqual(self.get(path).code, 400, path)
        self.assertEqual(self.node.asked, [])

    def test_errors(self) -> None:
        """The node's own words are 404 with a text; a bug is logged and shows nothing."""
        answer = self.get("/api/explain/unknown")
        self.assertEqual((answer.code, answer.json), (404, {"error": "no node knows unknown"}))
        self.node.later = Deferred()
        transport = self.send(b"GET /api/calls HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.assertEqual(transport.value(), b"")
        self.node.later.errback(KeyError("secret"))
        answer = Answer(transport.value())
        self.assertEqual(answer.code, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_client_leaves(self) -> None:
        """An answer that comes after the client has left goes nowhere."""
        self.node.later = Deferred()
        transport = self.send(b"GET /api/calls HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.channels.pop().connectionLost(Failure(ConnectionDone()))
        self.node.later.errback(UsageError("too late"))
        self.assertEqual(transport.value(), b"")

    def test_files(self) -> None:
        """A file is sent compressed to who takes that, and not at all to who has it."""
        plain = self.get("/static/uplot/uPlot.iife.min.js")
        self.assertEqual(plain.body, (STATIC / "uplot" / "uPlot.iife.min.js").read_bytes())
        zipped = self.get("/static/uplot/uPlot.iife.min.js", more="Accept-Encoding: br, gzip\r\n")
        self.assertEqual(gzip.decompress(zipped.body), plain.body)
        again = self.get(
            "/static/uplot/uPlot.iife.min.js", more=f"If-None-Match: {plain.headers['etag']}\r\n"
        )
        self.assertEqual((again.code, again.body), (304, b""))

    def test_octets_that_are_no_text(self) -> None:
        """Paths and questions of any octets are answered, and nothing is logged (RFC 3986 has ASCII only)."""
        for start, code in (
            (b"GET /\xaf", 404),
            (b"GET /api/calls?call_id=%ff\xaf", 200),
            (b"GET /api/calls?call_id=%ff&call_id", 200),
            (b"GET /api/explain/%e4\xaf", 404),
            (b"GET /api/history?since=\xb2", 400),
            (b"GET /api/history?since=1e999", 400),
            (b"PUT \xaf", 405),
        ):
            raw = start + b" HTTP/1.0\r\nHost: 127.0.0.1\r\nX: \xff\r\nAccept-Encoding: \xff\r\n\r\n"
            self.assertEqual(Answer(self.send(raw).value()).code, code, start)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_question_without_a_value(self) -> None:
        """An empty one is no question: all is answered, as without it."""
        for query in ("", "?", "?call_id", "?call_id=", "?other=1"):
            self.assertEqual(self.get(f"/api/calls{query}").json, [CALL], query)
        self.assertEqual(self.node.asked, [("calls", None)] * 5)

    def test_answer_that_comes_later(self) -> None:
        """A page that asks other nodes waits for them; a value that is no JSON is our fault, and is logged."""
        self.node.later = Deferred()
        transport = self.send(b"GET /api/calls HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.assertEqual(transport.value(), b"")
        self.node.later.callback([])
        self.assertEqual(Answer(transport.value()).json, [])
        self.node.later = Deferred()
        transport = self.send(b"GET /api/calls HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.node.later.callback({1, 2})
        self.assertEqual(Answer(transport.value()).code, 500)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_file_for_who_takes_no_gzip(self) -> None:
        """It is sent as it is, by the same ETag, and caches keep the two apart; HEAD has no body."""
        plain = self.get("/static/uplot/uPlot.iife.min.js", more="Accept-Encoding: br\r\n")
        zipped = self.get("/static/uplot/uPlot.iife.min.js", more="Accept-Encoding: gzip\r\n")
        self.assertNotIn("content-encoding", plain.headers)
        self.assertEqual(
            (zipped.headers["content-encoding"], zipped.headers["vary"]), ("gzip", "Accept-Encoding")
        )
        self.assertEqual(plain.headers["etag"], zipped.headers["etag"])
        self.assertLess(len(zipped.body), len(plain.body))
        self.assertEqual(self.get("/static/uplot/uPlot.iife.min.js", method="HEAD").body, b"")
        other = self.get("/static/uplot/uPlot.iife.min.js", more='If-None-Match: "x"\r\n')
        self.assertEqual((other.code, other.body), (200, plain.body))
