"""What a proxy does to session timers (RFC 4028 section 8)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request, response
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.outgoing import forward_request, forward_response
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.session_timer import Session, SessionTimer, agreed

TIMER = "Supported: 100rel, Timer"


class OnwardTests(SynchronousTestCase):
    def copied(self, timer: SessionTimer, *headers: str) -> tuple[list[str], list[str], int]:
        """Session-Expires and Min-SE of the copy, and the interval that is remembered."""
        message = request(headers=list(headers))
        session = timer.onward(message)
        if session is None:
            session = Session(0, False)
        wire = forward_request(
            message, uri="sip:x@y", via="SIP/2.0/UDP h;branch=z9hG4bKx", max_forwards=69,
            drop_lines=session.drop, add=session.add,
        )  # fmt: skip
        copy = parse(wire)
        assert isinstance(copy, Request)
        return copy.get_all("session-expires"), copy.get_all("min-se"), session.interval

    def test_nobody_asks(self) -> None:
        """Without Session-Expires, and with nothing wanted here, nothing happens."""
        self.assertIsNone(SessionTimer().onward(request(headers=[TIMER, "Min-SE: 100"])))

    def test_asked_by_us(self) -> None:
        """What is wanted here is asked for, not less than Min-SE, and without a refresher (section 8.1)."""
        timer = SessionTimer(1800)
        self.assertEqual(self.copied(timer), (["1800"], [], 1800))
        self.assertEqual(self.copied(timer, TIMER, "Min-SE: 2000"), (["2000"], ["2000"], 2000))

    def test_lower(self) -> None:
        """It is lowered to what is wanted here, never below Min-SE, and its refresher stays (section 8.1)."""
        timer = SessionTimer(1800)
        for headers, value in (
            (("Session-Expires: 4000;refresher=uas",), "1800;refresher=uas"),
            (("x: 4000 ; refresher=uac;a=b",), "1800; refresher=uac;a=b"),
            (("Session-Expires: 4000", "Min-SE: 3000"), "3000"),
            (("Session-Expires: 4000", "Min-SE: 4000"), "4000"),
            (("Session-Expires: 1700",), "1700"),
        ):
            copy, minimum, interval = self.copied(timer, *headers)
            self.assertEqual((copy, interval), ([value], int(value.split(";")[0])), headers)
            self.assertEqual(minimum, [header[8:] for header in headers if header.startswith("Min-SE")])

    def test_never_raised(self) -> None:
        """It is raised only when it is below Min-SE, and then to that (section 8.1)."""
        self.assertEqual(self.copied(SessionTimer(), "Session-Expires: 100")[0], ["100"])
        self.assertEqual(
            self.copied(SessionTimer(), TIMER, "Session-Expires: 100;refresher=uac", "Min-SE: 120"),
            (["120;refresher=uac"], ["120"], 120),
        )

    def test_too_small(self) -> None:
        """422 with our Min-SE to whom supports session timers (section 8.1)."""
        for least, value in ((90, "89"), (90, "0"), (300, "299")):
            message = request(headers=[TIMER, f"Session-Expires: {value}", "Min-SE: 90"])
            error = self.assertRaises(Refused, SessionTimer(0, least).onward, message)
            self.assertEqual((error.status_hint, error.headers), (422, (("Min-SE", str(least)),)))

    def test_too_small_without_support(self) -> None:
        """To anybody else a 422 would say nothing: Min-SE is raised, or added, and the interval with it (section 8.1)."""
        for least, headers, result in (
            (90, ("Session-Expires: 60",), (["90"], ["90"], 90)),
            (300, ("Session-Expires: 200", "Min-SE: 100"), (["300"], ["300"], 300)),
            (
                300,
                ("Session-Expires: 200;refresher=uac", "Min-SE: 400"),
                (["400;refresher=uac"], ["400"], 400),
            ),
        ):
            self.assertEqual(self.copied(SessionTimer(0, least), *headers), result, headers)

    def test_unreadable(self) -> None:
        """What is no Session-Expires goes on as it is; broken Min-SE and Supported count as absent."""
        for value in ("", "x", "-1", "1.5", "99999999999", "\u0661", "90 100"):
            header = f"Session-Expires: {value}"
            self.assertEqual(self.copied(SessionTimer(1800), TIMER, header)[::2], ([value], 0))
        self.assertIsNone(SessionTimer(1800).onward(request(headers=["Session-Expires: 90"] * 2)))
        self.assertEqual(
            self.copied(SessionTimer(), "Session-Expires: 100", "Min-SE: x", 'Supported: "timer'),
            (["100"], ["x"], 100),
        )


class AgreedTests(SynchronousTestCase):
    def forwarded(self, session: Session | None, *headers: str) -> tuple[int, list[str], list[str]]:
        """The interval, and Session-Expires and Require of what the caller gets."""
        given = response(200, headers=list(headers))
        interval = agreed(session, given)
        wire = forward_response(given)
        copy = parse(wire)
        assert isinstance(copy, Response)
        return interval, copy.get_all("session-expires"), copy.get_all("require")

    def test_callee_agrees(self) -> None:
        """Session-Expires of a response is never changed; it counts whoever asked (section 8.2)."""
        for session in (None, Session(1800, True), Session(1800, False)):
            self.assertEqual(
                self.forwarded(session, "Session-Expires: 300;refresher=uas", "Require: timer"),
                (300, ["300;refresher=uas"], ["timer"]),
            )

    def test_callee_does_not_know_it(self) -> None:
        """Then the caller is to refresh, if he supports it: our response says so (section 8.2)."""
        self.assertEqual(
            self.forwarded(Session(1800, True), "Require: x"), (1800, ["1800;refresher=uac"], ["x", "timer"])
        )

    def test_nobody_knows_it(self) -> None:
        """If neither does, or nobody asked, the session never ends by itself (section 8.2)."""
        self.assertEqual(self.forwarded(Session(1800, False)), (0, [], []))
        self.assertEqual(self.forwarded(None), (0, [], []))

    def test_odd_values(self) -> None:
        """No session is shorter than 90 s (section 4), and what cannot be read says nothing."""
        self.assertEqual(self.forwarded(None, "Session-Expires: 1")[0], 90)
        self.assertEqual(self.forwarded(Session(1800, True), "Session-Expires: x")[:2], (0, ["x"]))
