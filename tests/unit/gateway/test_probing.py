"""A gateway asked by OPTIONS (RFC 3261 section 11): when it counts as up and as down, and when it is asked next."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.probing import (
    JITTER,
    LONGEST_WAIT,
    MOST_RETRY_AFTER,
    Answered,
    Ask,
    Effect,
    Event,
    Failed,
    Judged,
    Probing,
    Verdict,
    time_to_notice,
)
from voipcluster.machine import CancelTimer, SetTimer, TimerFired

INTERVAL = 5.0


class ProbingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.drawn = 0.0
        self.machine = Probing(INTERVAL, lambda: self.drawn)
        self.timers: dict[str, IDelayedCall] = {}
        self.asked: list[float] = []
        self.judged: list[tuple[float, bool, str]] = []

    def tearDown(self) -> None:
        for call in self.timers.values():
            call.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def start(self) -> None:
        self.obey(self.machine.start())
        self.clock.advance(0.0)

    def obey(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetTimer(name, delay):
                    self._stop(name)
                    self.timers[name] = self.clock.callLater(delay, self._fired, name)
                case CancelTimer(name):
                    self._stop(name)
                case Ask():
                    self.asked.append(self.clock.seconds())
                case Judged(up, why):
                    self.judged.append((self.clock.seconds(), up, why))

    def _stop(self, name: str) -> None:
        call = self.timers.pop(name, None)
        if call is not None:
            call.cancel()

    def _fired(self, name: str) -> None:
        del self.timers[name]
        self.obey(self.machine.feed(TimerFired(name)))

    def feed(self, event: Event) -> None:
        self.obey(self.machine.feed(event))

    def up(self) -> None:
        """It is asked, and answers."""
        self.start()
        self.feed(Answered(200, "OK"))
        self.judged.clear()
        self.asked.clear()

    def run_to(self, seconds: float) -> None:
        while self.clock.seconds() < seconds:
            self.clock.advance(0.25)

    def test_down_for_another_reason(self) -> None:
        """Down stays down, but why is told again when it is another thing, and only then."""
        self.start()
        told = []
        for why in ("nobody listens", "nobody listens", "nobody listens", "refused", "refused"):
            while not self.machine._asking:
                self.clock.advance(0.25)
            self.feed(Failed(why))
            told.append(len(self.judged))
        self.assertEqual(told, [0, 1, 1, 2, 2])
        self.assertEqual(
            [(up, why) for _, up, why in self.judged], [(False, "nobody listens"), (False, "refused")]
        )

    def test_first_answer(self) -> None:
        """It is asked at once; one answer says that it is there."""
        self.start()
        self.assertEqual((self.asked, self.machine.verdict), ([0.0], Verdict.UNKNOWN))
        self.feed(Answered(200, "OK"))
        self.assertEqual(self.judged, [(0.0, True, "OPTIONS is answered with 200 OK")])
        self.run_to(4.75)
        self.assertEqual(len(self.asked), 1)
        self.run_to(5.0)
        self.assertEqual(self.asked, [0.0, 5.0])

    def test_what_speaks_is_alive(self) -> None:
        """Any final response but 408 and 503."""
        self.up()
        for status in (200, 302, 401, 403, 404, 405, 407, 420, 480, 481, 500, 501, 603):
            self.clock.advance(INTERVAL)
            self.feed(Answered(status))
        self.assertEqual((self.judged, self.machine.verdict), ([], Verdict.UP))

    def test_one_failure_is_none(self) -> None:
        """After one that is not answered it is asked again at once, and nothing has happened when that is."""
        self.up()
        self.run_to(INTERVAL + LONGEST_WAIT)
        self.assertEqual(self.asked, [5.0, 7.0])
        self.feed(Answered(200))
        self.run_to(11.5)
        self.assertEqual(self.asked, [5.0, 7.0])
        self.run_to(12.0)
        self.assertEqual((self.asked, self.judged), ([5.0, 7.0, 12.0], []))

    def test_silence(self) -> None:
        """A gateway that falls silent the moment it has answered is down within the promised time, below 10 s by default."""
        self.up()
        self.run_to(60.0)
        self.assertEqual(self.judged, [(time_to_notice(INTERVAL), False, "no answer to OPTIONS within 2 s")])
        self.assertLess(time_to_notice(INTERVAL), 10.0)

    def test_refused(self) -> None:
        """Nobody listens: it has a second to be restarted."""
        self.up()
        self.run_to(5.0)
        self.feed(Failed("nobody listens at udp:192.0.2.1:5060"))
        self.assertEqual(self.judged, [])
        self.run_to(6.0)
        self.feed(Failed("nobody listens at udp:192.0.2.1:5060"))
        self.assertEqual(self.judged, [(6.0, False, "nobody listens at udp:192.0.2.1:5060")])

    def test_never_there(self) -> None:
        """One that never answered is down after as many failures."""
        self.start()
        self.run_to(5.0)
        self.assertEqual([(when, up) for when, up, _ in self.judged], [(4.0, False)])

    def test_up_again(self) -> None:
        """Two answers in a row, the second one soon after the first."""
        self.up()
        self.run_to(9.0)
        self.judged.clear()
        self.asked.clear()
        self.run_to(14.0)
        self.assertEqual(self.asked, [14.0])
        self.feed(Answered(200, "OK"))
        self.assertEqual(self.judged, [])
        self.run_to(15.0)
        self.feed(Answered(200, "OK"))
        self.assertEqual([(when, up) for when, up, _ in self.judged], [(15.0, True)])

    def test_flapping(self) -> None:
        """One answer between failures changes nothing."""
        self.up()
        self.run_to(9.0)
        self.judged.clear()
        for _ in range(6):
            self.run_to(self.clock.seconds() + 0.25)
            while not self.timers.get("answer"):
                self.clock.advance(0.25)
            self.feed(Answered(200))
            while not self.timers.get("answer"):
                self.clock.advance(0.25)
            self.feed(Failed("refused"))
        self.assertEqual(self.judged[1:], [], "only why it is down is told anew, once")
        self.assertEqual((self.judged[0][1:], self.machine.verdict), ((False, "refused"), Verdict.DOWN))

    def test_out_of_service(self) -> None:
        """503 and 408 count like silence; what Retry-After asks for is kept, within limits."""
        self.up()
        self.run_to(5.0)
        self.feed(Answered(503, "Service Unavailable"))
        self.run_to(6.0)
        self.feed(Answered(408, "Request Timeout", 20.0))
        self.assertEqual(self.judged, [(6.0, False, "OPTIONS is answered with 408 Request Timeout")])
        self.run_to(25.75)
        self.assertEqual(self.asked, [5.0, 6.0])
        self.run_to(26.0)
        self.feed(Answered(503, "", 1e6))
        self.run_to(26.0 + MOST_RETRY_AFTER)
        self.assertEqual(self.asked, [5.0, 6.0, 26.0, 86.0])

    def test_statuses_of_the_operator(self) -> None:
        """Which statuses mean "not alive" can be chosen."""
        self.machine = Probing(INTERVAL, lambda: 0.0, {480})
        self.start()
        self.feed(Answered(503))
        self.assertEqual(self.machine.verdict, Verdict.UP)
        self.clock.advance(5.0)
        self.feed(Answered(480))
        self.clock.advance(1.0)
        self.feed(Answered(480))
        self.assertEqual(self.machine.verdict, Verdict.DOWN)

    def test_jitter(self) -> None:
        """Probes come a little earlier than the interval, never later, so that the promised time holds."""
        self.drawn = 0.999
        self.obey(self.machine.start())
        self.clock.advance(1.0)
        self.feed(Answered(200))
        self.assertAlmostEqual(self.timers["next"].getTime() - 1.0, INTERVAL * (1 - JITTER * 0.999))

    def test_short_interval(self) -> None:
        """Who asks every second waits half of that for an answer."""
        self.machine = Probing(1.0, lambda: 0.0)
        self.up()
        self.run_to(3.0)
        self.assertEqual(self.judged, [(2.0, False, "no answer to OPTIONS within 0.5 s")])

    def test_suspected(self) -> None:
        """A call that found it silent has it asked at once; while it is being asked, or down, that is nothing new."""
        self.up()
        self.run_to(2.0)
        self.obey(self.machine.suspect())
        self.obey(self.machine.suspect())
        self.assertEqual(self.asked, [2.0])
        self.run_to(6.0)
        self.assertEqual([(when, up) for when, up, _ in self.judged], [(6.0, False)])
        self.assertEqual(self.machine.suspect(), [])

    def test_late_answers(self) -> None:
        """What comes when nobody waits any more says nothing."""
        self.up()
        self.feed(Failed("late"))
        self.feed(Answered(503))
        self.feed(TimerFired("answer"))
        self.assertEqual((self.judged, self.machine.why), ([], "OPTIONS is answered with 200 OK"))
