"""One call as its user sees it."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import MEDIA_A
from voipcluster.phone.call import Call, CallState
from voipcluster.phone.dialog import Dialog
from voipcluster.phone.media import AudioClock, AudioStream
from voipcluster.phone.phone_call import CallFailed, PhoneCall, RegistrationRefused


class PhoneCallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.hung_up: list[PhoneCall] = []
        dialog = Dialog("c1", "<sip:a@h>;tag=a", "<sip:b@h>;tag=b", "sip:b@192.0.2.20", ("<sip:p;lr>",))
        self.inner = Call(dialog, MEDIA_A, True, CallState.UP, redirected=2)
        self.stream = AudioStream(AudioClock(self.clock), 450, 1)
        self.call = PhoneCall(self.inner, self.stream, self.hung_up.append)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_it_shows(self) -> None:
        """The call's and the stream's state as they are now, not as they were at its beginning."""
        self.assertEqual((self.call.call_id, self.call.outgoing, self.call.redirects), ("c1", True, 2))
        self.assertEqual(
            (self.call.remote_target, self.call.remote_route_set), ("sip:b@192.0.2.20", ("<sip:p;lr>",))
        )
        self.inner.dialog.target = "sip:b@192.0.2.21"
        self.stream.heard_hz, self.stream.packets_received, self.stream.packets_sent = 700, 5, 6
        self.assertEqual((self.call.remote_target, self.call.heard_hz), ("sip:b@192.0.2.21", 700))
        self.assertEqual(
            (self.call.packets_received, self.call.packets_sent, self.call.remote_media), (5, 6, None)
        )

    def test_everybody_who_waits_hears_the_end(self) -> None:
        """Those who waited, and those who ask later; the reason is there by then."""
        first, second = self.call.when_ended(), self.call.when_ended()
        self.assertFalse(self.call.over)
        self.assertNoResult(first)
        self.call.finish(486, "Busy Here")
        for waiting in (first, second, self.call.when_ended()):
            self.assertIs(self.successResultOf(waiting), self.call)
        self.assertEqual((self.call.over, self.call.status, self.call.reason), (True, 486, "Busy Here"))

    def test_audio_ends_with_the_call(self) -> None:
        """No packet is sent after it, and no timer is left."""
        self.stream.aim(("192.0.2.20", 5000))
        self.assertEqual(self.call.remote_media, ("192.0.2.20", 5000))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.call.finish(200, "BYE")
        self.assertIsNone(self.call.remote_media)

    def test_waiting_that_begins_another_call(self) -> None:
        """Who waits may ask anew in its callback: it is told at once and not for ever."""
        told: list[PhoneCall] = []
        self.call.when_ended().addCallback(lambda call: call.when_ended().addCallback(told.append))
        self.call.finish(200, "BYE")
        self.assertEqual(told, [self.call])

    def test_hang_up(self) -> None:
        """The phone is asked each time, and what comes back fires when the call is over: at once when it is."""
        waiting = self.call.hang_up()
        self.assertEqual(self.hung_up, [self.call])
        self.assertNoResult(waiting)
        self.call.finish(487, "Request Terminated")
        self.assertIs(self.successResultOf(waiting), self.call)
        self.assertIs(self.successResultOf(self.call.hang_up()), self.call)


class RefusalTests(SynchronousTestCase):
    def test_texts(self) -> None:
        """One line with status and reason; a registrar that did not answer has refused nothing."""
        self.assertEqual(str(RegistrationRefused(403, "Forbidden")), "registration refused: 403 Forbidden")
        self.assertEqual(
            str(RegistrationRefused(503, "nobody listens", answered=False)), "cannot register: nobody listens"
        )
        self.assertEqual(str(CallFailed(486, "Busy Here")), "call failed: 486 Busy Here")
        self.assertEqual([RegistrationRefused(403, "x").status, CallFailed(486, "x").status], [403, 486])
