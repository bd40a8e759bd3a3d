"""Tests of the phone's transaction layer: what belongs to what (RFC 3261 section 17)."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Flow, Hop
from voipcluster.machine import SetTimer
from voipcluster.phone.events import Answered, Asked, Closed, Send
from voipcluster.phone.transactions import Transactions
from voipcluster.sip.message import Request, parse
from voipcluster.sip.outgoing import build_request, reply

HOP = Hop("UDP", "192.0.2.1", 5060)
UDP = Flow("UDP", ("192.0.2.10", 5060), ("192.0.2.1", 5060))
TCP = UDP._replace(transport="TCP", connection=1)


def request(method: str, branch: str = "z9hG4bKx") -> Request:
    named = [
        ("Via", f"SIP/2.0/UDP 192.0.2.10;branch={branch}"),
        ("From", "<sip:a@b>;tag=f"),
        ("To", "<sip:c@d>"),
    ]
    return build_request(method, "sip:c@d", [*named, ("Call-ID", "i"), ("CSeq", f"1 {method}")])


def kinds(effects: list[Any]) -> list[str]:
    return [type(effect).__name__ for effect in effects if not type(effect).__name__.endswith("Timer")]


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.layer = Transactions()

    def test_answer_finds_its_request(self) -> None:
        """Branch and method say whose answer it is: that to a CANCEL is not its INVITE's (17.1.3)."""
        invite, cancel = request("INVITE"), request("CANCEL")
        self.layer.request(invite, HOP)
        self.layer.request(cancel, HOP)
        effects = self.layer.received(reply(cancel, 200), UDP)
        self.assertEqual([e.key for e in effects if isinstance(e, Answered)], [("z9hG4bKx", "CANCEL")])

    def test_stray_answers(self) -> None:
        """An answer to nothing of ours, or without a usable Via, is dropped (18.1.2)."""
        self.assertEqual(self.layer.received(reply(request("INVITE"), 200), UDP), [])
        self.assertEqual(self.layer.received(parse(b"SIP/2.0 200 OK\r\n\r\n"), UDP), [])

    def test_timers_are_kept_apart(self) -> None:
        """Two requests have timers of their own; the end of one closes it alone."""
        first = self.layer.request(request("OPTIONS", "z9hG4bK1"), HOP)
        second = self.layer.request(request("OPTIONS", "z9hG4bK2"), HOP)
        names = [{e.name for e in effects if isinstance(e, SetTimer)} for effects in (first, second)]
        self.assertEqual(names[0] & names[1], set())
        timer = next(iter(names[0])).replace("/E", "/F")
        effects = self.layer.timer_fired(timer)
        self.assertEqual(kinds(effects), ["Answered", "Closed"])
        self.assertEqual(effects[0], Answered(("z9hG4bK1", "OPTIONS"), 408, "No answer", None))
        self.assertEqual(len(self.layer), 1)
        self.assertEqual(self.layer.timer_fired(timer), [])

    def test_reliable(self) -> None:
        """Over TCP nothing is sent twice: there is no timer E (17.1.2.2)."""
        effects = self.layer.request(request("OPTIONS"), HOP._replace(transport="TCP"))
        self.assertFalse([e for e in effects if isinstance(e, SetTimer) and e.name.endswith("/E")])


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.layer = Transactions()

    def test_copies_are_answered_again(self) -> None:
        """A copy of a request does not come through; it gets the answer that its first one got (17.2.2)."""
        (asked,) = self.layer.received(request("OPTIONS"), UDP)
        assert isinstance(asked, Asked)
        self.assertEqual(self.layer.received(request("OPTIONS"), UDP), [])
        sent = self.layer.respond(asked.key, reply(asked.request, 200))[0]
        assert isinstance(sent, Send)
        self.assertEqual(sent.to, UDP)
        self.assertEqual(self.layer.received(request("OPTIONS"), UDP), [sent])

    def test_answers_go_back_on_their_flow(self) -> None:
        """An answer leaves on the connection that the request came over (18.2.2), and is not kept there (timer J is 0)."""
        (asked,) = self.layer.received(request("OPTIONS"), TCP)
        effects = self.layer.respond(asked.key, reply(asked.request, 200))
        self.assertEqual(effects[0].to, TCP)
        timer = next(e for e in effects if isinstance(e, SetTimer))
        self.assertEqual(timer.delay, 0.0)
        self.assertEqual(self.layer.timer_fired(timer.name), [])
        self.assertEqual(len(self.layer), 0)
        self.assertEqual(self.layer.respond(asked.key, reply(asked.request, 200)), [])

    def test_ack(self) -> None:
        """The ACK of a refusal belongs to its INVITE, that of a 2xx comes through (17.1.1.3, 13.2.2.4)."""
        (asked,) = self.layer.received(request("INVITE"), UDP)
        self.layer.respond(asked.key, reply(asked.request, 486))
        self.assertEqual(kinds(self.layer.received(request("ACK"), UDP)), [])
        self.assertEqual(kinds(self.layer.received(request("ACK", "z9hG4bKother"), UDP)), ["Asked"])

    def test_send_failed(self) -> None:
        """Only requests to the hop that failed are answered with 503 (8.1.3.1)."""
        self.layer.request(request("OPTIONS"), HOP)
        self.assertEqual(self.layer.send_failed(HOP._replace(port=9), "refused"), [])
        effects = self.layer.send_failed(HOP, "refused")
        self.assertEqual([e.status for e in effects if isinstance(e, Answered)], [503])
        self.assertEqual([type(e) for e in effects][-1], Closed)
