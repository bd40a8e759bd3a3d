"""The end of a call by our BYE (RFC 3261 section 15), and what is forgotten then."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import ALICE, MEDIA_A, PROXY, line
from voipcluster.address import Flow
from voipcluster.machine import CancelTimer
from voipcluster.phone.call import Call, CallState
from voipcluster.phone.dialog import Dialog
from voipcluster.phone.ending import answer_timer, bye, cancel_timer, end
from voipcluster.phone.events import Ended, MediaAt, Received, Send, SendFailed
from voipcluster.phone.requests import Requests
from voipcluster.sip.message import Request, parse
from voipcluster.sip.outgoing import reply

FLOW = Flow("UDP", ALICE, ("192.0.2.1", 5060))


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.requests = Requests(line("alice", ALICE))
        dialog = Dialog(
            "c1",
            "<sip:alice@example.com>;tag=a",
            "<sip:bob@example.com>;tag=b",
            "sip:bob@192.0.2.20",
            local_seq=4,
        )
        self.call = Call(dialog, MEDIA_A, True, CallState.UP)
        self.calls = {"c1": self.call}

    def bye(self) -> Request:
        effects = bye(self.requests, self.calls, self.call)
        # its audio ends with the BYE, and not with the answer to it (15.1.1)
        self.assertEqual(effects[:2], [CancelTimer(answer_timer(self.call)), MediaAt("c1", None)])
        [send] = [effect for effect in effects if isinstance(effect, Send)]
        request = parse(send.wire)
        assert isinstance(request, Request)
        self.assertEqual(send.to, PROXY)
        return request

    def answer(self, request: Request, status: int) -> list[Any]:
        effects = self.requests.feed(Received(parse(reply(request, status).to_bytes()), FLOW))
        return [effect for effect in effects if isinstance(effect, Ended)]

    def test_bye(self) -> None:
        """It is a request of the dialog with the next number; until it is answered the call is ending, not over."""
        request = self.bye()
        self.assertEqual(
            (request.method, request.uri, request.cseq), ("BYE", "sip:bob@192.0.2.20", (5, "BYE"))
        )
        self.assertEqual((request.from_tag, request.to_tag, request.call_id), ("a", "b", "c1"))
        self.assertIs(self.call.state, CallState.ENDING)
        self.assertTrue(self.call.over)
        self.assertEqual(self.answer(request, 100), [])
        self.assertIn("c1", self.calls)
        self.assertEqual(self.answer(request, 200), [Ended("c1", 200, "OK")])
        self.assertEqual((self.calls, self.call.state), ({}, CallState.ENDED))

    def test_unknown_there(self) -> None:
        """481 says that the other side has forgotten the call, which is what was wanted (15.1.1)."""
        self.assertEqual([ended.status for ended in self.answer(self.bye(), 481)], [200])

    def test_refused(self) -> None:
        """A BYE that is refused ends the call here all the same, and says so."""
        self.assertEqual(self.answer(self.bye(), 500), [Ended("c1", 500, "Server Internal Error")])
        self.assertEqual(self.calls, {})

    def test_nobody_is_there(self) -> None:
        """Nor does one wait for a host that is gone (15: 408 ends the dialog)."""
        self.bye()
        effects = self.requests.feed(SendFailed(PROXY, "gone"))
        self.assertEqual([(e.call_id, e.status) for e in effects if isinstance(e, Ended)], [("c1", 503)])
        self.assertEqual((self.calls, len(self.requests)), ({}, 0))

    def test_ends_once(self) -> None:
        """Both timers of a call are stopped with it; a second end, such as the answer to our BYE after theirs, is nothing."""
        request = self.bye()
        self.assertEqual(
            end(self.calls, self.call, 200, "BYE"),
            [
                CancelTimer(answer_timer(self.call)),
                CancelTimer(cancel_timer(self.call)),
                Ended("c1", 200, "BYE"),
            ],
        )
        self.assertEqual(end(self.calls, self.call, 487, "again"), [])
        self.assertEqual(self.answer(request, 200), [])

    def test_timers_of_two_calls(self) -> None:
        """Their names differ, for each other and for two calls."""
        other = Call(Dialog("c2", "<sip:a@h>;tag=a", "<sip:b@h>", "sip:b@h"), MEDIA_A, True, CallState.UP)
        names = {name(call) for name in (answer_timer, cancel_timer) for call in (self.call, other)}
        self.assertEqual(len(names), 4)
