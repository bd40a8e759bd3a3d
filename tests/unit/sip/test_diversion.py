"""What a forwarded copy says of who forwarded it (RFC 5806, RFC 7044)."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request
from voipcluster.errors import ParseError
from voipcluster.sip.diversion import Diversion, Past, Why, diverted, past
from voipcluster.sip.uri import parse_uri

BOB, CAROL, DAVE = (f"sip:{name}@example.com" for name in ("bob", "carol", "dave"))
BUSY = Diversion(BOB, Why.BUSY, CAROL, 1)


class PastTests(SynchronousTestCase):
    def test_none(self) -> None:
        """Nearly no request has any."""
        self.assertEqual(past(request()), Past((), 0))

    def test_several(self) -> None:
        """Each counts as often as it says, and once when it says nothing (RFC 5806 section 5.1.1)."""
        headers = (
            "Diversion: <sip:bob@example.com>;reason=user-busy;counter=2, <tel:+4930>;reason=unknown",
            'Diversion: "Dave, Inc." <sip:dave@example.com;counter=9>;privacy=off; COUNTER = 1',
        )
        self.assertEqual(past(request(headers=headers)), Past((BOB, "tel:+4930", f"{DAVE};counter=9"), 4))

    def test_broken(self) -> None:
        """What is none is the caller's fault."""
        with self.assertRaises(ParseError):
            past(request(headers=["Diversion: <sip:bob@example.com"]))


class DivertedTests(SynchronousTestCase):
    def headers(self, diversions: Sequence[Diversion], *before: str) -> tuple[list[str], list[str]]:
        """What is added; the lines that are dropped are those of Diversion."""
        message = request(headers=before)
        dropped, added = diverted(message, diversions)
        self.assertEqual(dropped, list(message.layout.indexes("diversion")))
        found: dict[str, list[str]] = {"diversion": [], "history-info": []}
        for key, value in added:
            found[key].append(value)
        return found["diversion"], found["history-info"]

    def test_first(self) -> None:
        """Who was called, and who is called instead, with the cause of RFC 4458."""
        self.assertEqual(
            self.headers([BUSY]),
            (
                ["<sip:bob@example.com>;reason=user-busy;counter=1"],
                [
                    "<sip:bob@example.com?Reason=SIP%3Bcause%3D486>;index=1",
                    "<sip:carol@example.com;cause=486>;index=1.1;mp=1",
                ],
            ),
        )

    def test_chain(self) -> None:
        """The latest one is on top in Diversion, and last in History-Info (RFC 5806 section 5.1, RFC 7044 section 9)."""
        to_dave = Diversion(CAROL, Why.UNCONDITIONAL, DAVE, 1)
        self.assertEqual(
            self.headers([BUSY._replace(why=Why.FOLLOW_ME, place=3), to_dave]),
            (
                [
                    "<sip:carol@example.com>;reason=unconditional;counter=1",
                    "<sip:bob@example.com>;reason=follow-me;counter=1",
                ],
                [
                    "<sip:bob@example.com>;index=1",
                    "<sip:carol@example.com;cause=404>;index=1.3;mp=1",
                    "<sip:dave@example.com;cause=302>;index=1.3.1;mp=1.3",
                ],
            ),
        )

    def test_behind_others(self) -> None:
        """Those of others stay behind ours in Diversion; History-Info goes on where it ended."""
        before = (
            "Diversion: <sip:x@far.example>;reason=away",
            "History-Info: <sip:x@far.example>;index=1, <sip:bob@example.com;cause=302>;index=1.2;mp=1",
        )
        self.assertEqual(
            self.headers([BUSY], *before),
            (
                [
                    "<sip:bob@example.com>;reason=user-busy;counter=1",
                    "<sip:x@far.example>;reason=away",
                ],
                ["<sip:carol@example.com;cause=486>;index=1.2.1;mp=1.2"],
            ),
        )

    def test_history_that_ends_elsewhere(self) -> None:
        """Its last entry is not whom the request is for: that one is added (RFC 7044 section 9.1)."""
        _, history = self.headers(
            [BUSY._replace(why=Why.UNCONDITIONAL)], "History-Info: <sip:x@far.example>;index=1"
        )
        self.assertEqual(
            history,
            ["<sip:bob@example.com>;index=1.1", "<sip:carol@example.com;cause=302>;index=1.1.1;mp=1.1"],
        )

    def test_history_without_an_index(self) -> None:
        """What nobody can go on with is left alone."""
        for value in ("<sip:x@far.example>", "<sip:x@far.example;index=1>", "<sip:x@far.example>;index=one"):
            diversions, history = self.headers([BUSY], f"History-Info: {value}")
            self.assertEqual((len(diversions), history), (1, []))

    def test_parameters(self) -> None:
        """A number keeps what it says of itself, and has one cause."""
        to = "sip:+4930@example.com;user=phone;cause=1"
        _, history = self.headers([BUSY._replace(to=to)])
        uri = parse_uri(history[1].partition(">")[0][1:])
        self.assertEqual((uri.param("user"), [v for n, v in uri.params if n == "cause"]), ("phone", ["486"]))
