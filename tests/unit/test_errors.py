"""Whose fault it is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError, PeerError, TransportError, UsageError, VoipclusterError
from voipcluster.sip.message import REASONS


class ErrorTests(SynchronousTestCase):
    def test_theirs_and_ours(self) -> None:
        """What catches a peer's fault never hides one of the operator, and the other way round."""
        for theirs in (PeerError("x"), ParseError("x"), TransportError("x")):
            self.assertIsInstance(theirs, PeerError)
            self.assertNotIsInstance(theirs, UsageError)
        self.assertNotIsInstance(UsageError("x"), PeerError)
        self.assertIsInstance(UsageError("x"), VoipclusterError)
        self.assertNotIsInstance(UsageError("x"), ValueError)

    def test_the_status_that_answers_it(self) -> None:
        """400 unless the raiser knows better; what cannot be sent is 503 (RFC 3261 sections 16.9 and 18.4)."""
        self.assertEqual(PeerError("x").status_hint, 400)
        self.assertEqual(PeerError("x", 488).status_hint, 488)
        self.assertEqual(ParseError("x", 416).status_hint, 416)
        self.assertEqual(TransportError("x").status_hint, 503)
        for error in (PeerError("x"), ParseError("x"), TransportError("x")):
            self.assertIn(error.status_hint, REASONS)

    def test_where_the_fault_is(self) -> None:
        """A parser may say at which octet, and 0 is a place."""
        self.assertIsNone(ParseError("x").offset)
        self.assertEqual(ParseError("x", 400, 0).offset, 0)

    def test_the_text_is_what_was_said(self) -> None:
        """It is shown to people and written to logs, without a status or a class in it."""
        for error in (
            PeerError("no Via", 400),
            ParseError("no Via", 400, 7),
            TransportError("no Via"),
            UsageError("no Via"),
        ):
            self.assertEqual(str(error), "no Via")
