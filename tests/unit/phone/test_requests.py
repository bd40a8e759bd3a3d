"""Requests until their answer: whom it is for, and credentials when they are asked for (RFC 3261 section 22)."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import ALICE, PROXY, line
from voipcluster.address import Flow, Hop
from voipcluster.machine import SetTimer, TimerFired
from voipcluster.phone.dialog import Dialog
from voipcluster.phone.events import Answered, Asked, Received, Send, SendFailed
from voipcluster.phone.requests import Opened, Requests
from voipcluster.sip.digest import parse_answer
from voipcluster.sip.message import Request, parse
from voipcluster.sip.outgoing import build_request, reply

FLOW = Flow("UDP", ALICE, ("192.0.2.1", 5060))
TARGET = "sip:bob@example.com"


def challenge(nonce: str, realm: str = "example.com", algorithm: str = "MD5") -> str:
    return f'Digest realm="{realm}", nonce="{nonce}", qop="auth", algorithm={algorithm}'


class RequestsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.requests = Requests(line("alice", ALICE))
        self.answers: list[Answered] = []
        self.made: list[Request] = []

    def take(self, answered: Answered) -> list[Any]:
        self.answers.append(answered)
        return []

    def ask(self, **more: Any) -> Request:
        """Ask with a MESSAGE; gives what is sent."""
        dialog = Dialog.outgoing(self.requests.line, TARGET, ())
        return self.sent(
            self.requests.ask(Opened(dialog, "MESSAGE", self.take, sent=self.made.append, **more))
        )

    def sent(self, effects: list[Any]) -> Request:
        [wire] = [effect.wire for effect in effects if isinstance(effect, Send)]
        request = parse(wire)
        assert isinstance(request, Request)
        return request

    def answer(self, request: Request, status: int, *headers: tuple[str, str]) -> list[Any]:
        response = parse(reply(request, status, to_tag="far", headers=headers).to_bytes())
        return self.requests.feed(Received(response, FLOW))

    def statuses(self) -> list[int]:
        return [answered.status for answered in self.answers]

    def test_answers_find_their_request(self) -> None:
        """Of two that wait each gets its own, provisional ones too."""
        first, second = self.ask(), self.ask()
        self.assertEqual(len(self.requests), 2)
        self.answer(second, 100)
        self.answer(second, 404)
        self.answer(first, 200)
        expected = [(100, second.top_branch), (404, second.top_branch), (200, first.top_branch)]
        self.assertEqual([(one.status, one.key[0]) for one in self.answers], expected)

    def test_where_to(self) -> None:
        """To where it is told, else where the dialog leads, which is the proxy of the line here."""
        for hop, expected in ((None, PROXY), (Hop("TCP", "192.0.2.9", 5061), Hop("TCP", "192.0.2.9", 5061))):
            opened = Opened(Dialog.outgoing(self.requests.line, TARGET, ()), "OPTIONS", self.take, hop=hop)
            [send] = [effect for effect in self.requests.ask(opened) if isinstance(effect, Send)]
            self.assertEqual(send.to, expected)

    def test_asked_by_others(self) -> None:
        """A request that comes in goes to the owner, and its answer back on its flow; a copy of it does not."""
        asked: list[Asked] = []

        def take(one: Asked) -> list[Any]:
            asked.append(one)
            return []

        self.requests.asked = take
        headers = [
            ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx"), ("From", "<sip:b@example.com>;tag=1"),
            ("To", "<sip:a@example.com>"), ("Call-ID", "c"), ("CSeq", "1 OPTIONS"),
        ]  # fmt: skip
        request = parse(build_request("OPTIONS", "sip:a@192.0.2.10", headers).to_bytes())
        self.assertEqual(self.requests.feed(Received(request, FLOW)), [])
        [one] = asked
        effects = self.requests.respond(one, reply(one.request, 200, to_tag="t"))
        [send] = [effect for effect in effects if isinstance(effect, Send)]
        self.assertEqual(send.to, FLOW)
        again = self.requests.feed(Received(request, FLOW))
        self.assertEqual((len(asked), [effect for effect in again if isinstance(effect, Send)]), (1, [send]))

    def test_no_answer(self) -> None:
        """Nobody answers, nobody is there: 408 and 503 without a response, and nothing is kept."""
        dialog = Dialog.outgoing(self.requests.line, TARGET, ())
        effects = self.requests.ask(Opened(dialog, "MESSAGE", self.take))
        now, due, sent = 0.0, dict[str, float](), 0
        while True:
            due |= {effect.name: now + effect.delay for effect in effects if isinstance(effect, SetTimer)}
            sent += sum(isinstance(effect, Send) for effect in effects)
            if self.answers:
                break
            name = min(due, key=due.__getitem__)
            now = due.pop(name)
            effects = self.requests.feed(TimerFired(name))
        self.assertEqual((now, sent), (32.0, 11))  # 64*T1, and ten copies (17.1.2.2)
        self.ask()
        self.requests.feed(SendFailed(PROXY, "nobody listens"))
        self.assertEqual([(one.status, one.response) for one in self.answers], [(408, None), (503, None)])
        self.assertIn("nobody listens", self.answers[1].reason)
        self.assertEqual(len(self.requests), 0)

    def test_late_answers(self) -> None:
        """What comes when a request has been forgotten is nobody's."""
        request = self.ask()
        self.requests.feed(SendFailed(PROXY, "gone"))
        self.assertEqual(self.answer(request, 200), [])
        self.assertEqual(self.statuses(), [503])

    def test_challenged_by_both(self) -> None:
        """The proxy's and the user agent's credentials go together in the third attempt, each with its own header (22.3)."""
        first = self.ask(headers=(("Subject", "x"),), body=b"hello")
        second = self.sent(self.answer(first, 407, ("Proxy-Authenticate", challenge("p", "proxy"))))
        third = self.sent(self.answer(second, 401, ("WWW-Authenticate", challenge("u"))))
        self.assertEqual((second.get("authorization"), self.answers), (None, []))
        for name, realm, nonce in (
            ("proxy-authorization", "proxy", "p"),
            ("authorization", "example.com", "u"),
        ):
            given = parse_answer(third.get(name) or "")
            self.assertEqual((given.username, given.realm, given.nonce), ("alice", realm, nonce))
            self.assertEqual((given.count, given.uri), (1, TARGET))
        self.assertEqual((third.get("subject"), third.body, third.cseq), ("x", b"hello", (3, "MESSAGE")))
        self.assertEqual(len({request.top_branch for request in (first, second, third)}), 3)
        self.assertEqual([request.cseq[0] for request in self.made], [1, 2, 3])
        self.answer(third, 200)
        self.assertEqual(self.statuses(), [200])

    def test_stale(self) -> None:
        """A new nonce takes the place of the old one: there is one Authorization, with the new one."""
        second = self.sent(self.answer(self.ask(), 401, ("WWW-Authenticate", challenge("n1"))))
        third = self.sent(self.answer(second, 401, ("WWW-Authenticate", challenge("n2") + ", stale=true")))
        self.assertEqual([parse_answer(value).nonce for value in third.get_all("authorization")], ["n2"])

    def test_wrong_password(self) -> None:
        """A challenge behind the one that was met is the answer."""
        request = self.sent(self.answer(self.ask(), 401, ("WWW-Authenticate", challenge("first"))))
        self.assertEqual(self.answers, [])
        self.answer(request, 401, ("WWW-Authenticate", challenge("last")))
        self.assertEqual(self.statuses(), [401])

    def test_challenges_that_cannot_be_met(self) -> None:
        """None at all, another scheme, an algorithm that is not known, and one for the other header are answers."""
        for status, headers in (
            (401, ()),
            (401, (("WWW-Authenticate", 'Basic realm="x"'),)),
            (401, (("WWW-Authenticate", challenge("n", algorithm="SHA-512-256")),)),
            (407, (("WWW-Authenticate", challenge("n")),)),
            (403, (("WWW-Authenticate", challenge("n")),)),
        ):
            self.answers.clear()
            effects = self.answer(self.ask(), status, *headers)
            self.assertEqual(
                (self.statuses(), [e for e in effects if isinstance(e, Send)]), ([status], []), headers
            )

    def test_opened_again(self) -> None:
        """What is asked again is the same but for what is changed; the first one is not touched."""
        opened = Opened(Dialog.outgoing(self.requests.line, TARGET, ()), "MESSAGE", self.take)
        self.assertEqual(evolve(opened, body=b"x").dialog, opened.dialog)
        self.assertEqual(opened.body, b"")
