"""Times of day on days of the week."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.hours import is_open, parse_span

MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6


class HoursTests(SynchronousTestCase):
    def test_days_and_ends(self) -> None:
        """The last minute of a span is the one before its end, on its days only."""
        span = parse_span("Mo-Fr 08:00-18:00")
        times = [(MONDAY, 479), (MONDAY, 480), (FRIDAY, 1079), (FRIDAY, 1080), (SATURDAY, 600)]
        self.assertEqual([span.holds(*at) for at in times], [False, True, True, False, False])

    def test_over_midnight(self) -> None:
        """A span that ends before it starts ends on the next day, also from Sunday to Monday."""
        span = parse_span("Su 22:00-06:00")
        times = [(SUNDAY, 1319), (SUNDAY, 1320), (MONDAY, 359), (MONDAY, 360), (SUNDAY, 0)]
        self.assertEqual([span.holds(*at) for at in times], [False, True, True, False, False])

    def test_forms(self) -> None:
        """Lists of days, ranges over the end of the week, any case, every day, and the end of a day."""
        self.assertEqual(parse_span("Sa,Su 00:00-24:00").days, {5, 6})
        self.assertEqual(parse_span("sa-mo 10:00-11:00").days, {5, 6, 0})
        self.assertEqual(parse_span("10:00-11:00").days, set(range(7)))
        self.assertTrue(parse_span("10:00-24:00").holds(MONDAY, 1439))

    def test_no_times(self) -> None:
        """What is no time is refused."""
        for text in ("", "Mo", "8:00-9:00", "08:00-08:00", "08:60-09:00", "24:00-08:00", "25:00-26:00",
                     "Xx 08:00-09:00", "Mo- 08:00-09:00", "08:00-09:00 Mo"):  # fmt: skip
            self.assertRaises(ValueError, parse_span, text)

    def test_none_is_always(self) -> None:
        """A gateway without hours is always open; one with them when any of them holds."""
        self.assertTrue(is_open((), SUNDAY, 0))
        spans = parse_span("Mo 08:00-09:00"), parse_span("Su 08:00-09:00")
        self.assertTrue(is_open(spans, SUNDAY, 500))
        self.assertFalse(is_open(spans, SATURDAY, 500))
