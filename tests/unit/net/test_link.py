"""One connection of the cluster link: a broker that serves one method and nothing else."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ITCPTransport
from twisted.spread import banana, jelly, pb
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.conformance.marks import Recorded, attack
from tests.unit.link_network import End, Network
from voipcluster.errors import PeerError
from voipcluster.net.certificates import Certified
from voipcluster.net.envelope import Ordering, pack, unpack
from voipcluster.net.link import MAX_IN_PROGRESS, SECURITY, LinkBroker, serve_with

PEER = Certified("b", "secondary", "00")


class _Once:
    """A factory of one protocol."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Any:
        return self._protocol


class LinkCase(Recorded, SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.calls: list[tuple[str, bytes]] = []
        self.lost: list[str] = []
        self.answer: Any = lambda kind, payload: succeed(b'{"ok":{}}')

    def serve(self, kind: str, payload: bytes) -> Deferred[bytes]:
        self.calls.append((kind, payload))
        found: Deferred[bytes] = self.answer(kind, payload)
        return found

    def connect(self, client: Any, idle: float = 0.0) -> tuple[End, End]:
        server = LinkBroker(
            self.network, self.serve, lambda broker: None, lambda broker, why: self.lost.append(why), idle
        )
        ends = self.network.join(client, _Once(server), "127.0.0.1", ("127.0.0.2", 8787))
        self.network.settle()
        return ends

    def client(self) -> LinkBroker:
        return LinkBroker(self.network, None, lambda broker: None, lambda broker, why: None)


class Calls(LinkCase):
    def test_the_fake_transport_is_one(self) -> None:
        """What the tests stand on has the interface of a TCP transport."""
        verifyObject(ITCPTransport, End(self.network, ("127.0.0.1", 1), ("127.0.0.2", 2)))

    def test_a_call_is_answered(self) -> None:
        """Kind and payload arrive, and the payload of the answer comes back."""
        client = self.client()
        self.connect(client)
        called = client.call("report", b"{}")
        self.network.settle()
        self.assertEqual(self.successResultOf(called), b'{"ok":{}}')
        self.assertEqual(self.calls, [("report", b"{}")])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_stock_pb_client_can_call(self) -> None:
        """What is spoken is Perspective Broker as Twisted has it."""
        factory = pb.PBClientFactory(security=SECURITY)
        self.connect(factory.buildProtocol(None))
        root = self.successResultOf(factory.getRootObject())
        called = root.callRemote("message", "report", b"{}")
        self.network.settle()
        self.assertEqual(self.successResultOf(called), b'{"ok":{}}')

    def test_no_answer_in_time_closes(self) -> None:
        """A peer that hangs is given up after the time-out; the call fails, and the link with it."""
        self.answer = lambda kind, payload: Deferred()
        client = self.client()
        ours, _ = self.connect(client)
        called = client.call("report", b"{}", timeout=2.0)
        self.network.pass_time(1.9)
        self.assertNoResult(called)
        self.network.pass_time(0.2)
        self.assertIn("no answer", str(self.failureResultOf(called, PeerError).value))
        self.assertTrue(ours.closed)

    def test_a_lost_link_fails_its_calls(self) -> None:
        """Calls under way and later ones fail with a PeerError."""
        self.answer = lambda kind, payload: Deferred()
        client = self.client()
        ours, _ = self.connect(client)
        called = client.call("report", b"{}")
        ours.abortConnection()
        self.network.settle()
        self.failureResultOf(called, PeerError)
        self.failureResultOf(client.call("report", b"{}"), PeerError)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_requests_in_progress_are_bounded(self) -> None:
        """A client does not send more than the server takes at once."""
        self.answer = lambda kind, payload: Deferred()
        client = self.client()
        self.connect(client)
        waiting = [client.call("ask", b"{}") for _ in range(MAX_IN_PROGRESS)]
        self.failureResultOf(client.call("ask", b"{}"), PeerError)
        self.network.pass_time(6)
        for called in waiting:
            self.failureResultOf(called, PeerError)

    def test_silence_closes(self) -> None:
        """A member that sends nothing for the idle time is closed, also when single octets trickle in."""
        ours, _ = self.connect(self.client(), idle=40.0)
        for _ in range(5):
            ours.write(b"\x01")
            self.network.pass_time(10.0, step=5.0)
        self.assertEqual(self.lost, ["nothing heard for 40 s"])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_peer_that_does_not_read_is_closed(self) -> None:
        """Answers do not pile up for a peer that asks and never reads."""
        self.answer = lambda kind, payload: succeed(b"x" * 1000)
        client = self.client()
        _, theirs = self.connect(client)
        theirs.producer.pauseProducing()
        for _ in range(200):
            client.call("ask", b"{}").addErrback(lambda failure: None)
            self.network.settle()
        self.assertEqual(self.lost, ["does not read its answers"])
        self.assertLess(len(self.calls), 100)


class Hostile(LinkCase):
    """Attack P2: what a certified but hostile member sends closes its connection and does nothing else."""

    def play(self, *expressions: object) -> None:
        client = self.client()
        ours, _ = self.connect(client)
        for expression in expressions:
            banana.Banana.sendEncoded(client, expression)
        self.network.settle()
        self.assertTrue(ours.closed, expressions)
        self.assertEqual(self.calls, [])
        self.assertEqual(len(self.lost), 1)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def message(
        self, arguments: object, name: bytes = b"message", target: object = b"root", words: object = None
    ) -> None:
        words = [b"dictionary"] if words is None else words
        self.play([b"message", 1, target, name, 1, arguments, words])

    @attack("P2")
    def test_other_types(self) -> None:
        """Decimals, dates, sets, modules, classes, functions, instances and dotted names are not unpacked."""
        payloads: list[object] = [
            [b"decimal", 1, 400000],
            [b"datetime", b"2026 1 1 0 0 0 0"],
            [b"set", 1],
            [b"module", b"os"],
            [b"class", b"os.system"],
            [b"function", b"os.system"],
            [b"instance", [b"class", b"os.system"], [b"dictionary"]],
            [b"os.system", [b"dictionary"]],
            [b"builtins.str", b"x"],
            [b"remote", 1],
            [b"copy", b"x"],
            [b"twisted.spread.pb.CopyableFailure", [b"dictionary"]],
            [b"reference", 1, [b"list"]],
            [b"persistent", 1],
        ]
        for payload in payloads:
            self.setUp()
            self.message([b"tuple", [b"unicode", b"report"], payload])

    def test_other_methods_and_objects(self) -> None:
        """There is one object with one method; PB's own login is not there either."""
        good = [b"tuple", [b"unicode", b"report"], b"{}"]
        for name in (b"login", b"loginAnonymous", b"respond", b"__init__", b"remote_message"):
            self.setUp()
            self.message(good, name=name)
        for target in (1, b"other", [b"list"]):
            self.setUp()
            self.message(good, target=target)

    def test_wrong_arguments(self) -> None:
        """Numbers, missing, many and named arguments are refused."""
        for arguments in ([b"tuple"], [b"tuple", 1, 2], [b"tuple", b"report", b"{}"], 7, [b"list"]):
            self.setUp()
            self.message(arguments)
        self.setUp()
        self.message(
            [b"tuple", [b"unicode", b"report"], b"{}"], words=[b"dictionary", [[b"unicode", b"a"], 1]]
        )

    def test_other_commands(self) -> None:
        """Reference counts, caches, answers and rubbish are no commands of a calling peer."""
        for command in (
            b"decref",
            b"decache",
            b"uncache",
            b"cachemessage",
            b"answer",
            b"error",
            b"nothing",
            5,
        ):
            self.setUp()
            self.play([command, b"root", 1])
        for rubbish in ([], 7, b"text", [[b"message"]]):
            self.setUp()
            self.play(rubbish)

    def test_a_server_cannot_call_back(self) -> None:
        """The calling side serves nothing: a call from the other side closes the link."""
        client = self.client()
        ours, theirs = self.connect(client)
        banana.Banana.sendEncoded(
            theirs.protocol, [b"message", 1, b"root", b"message", 1, [b"tuple"], [b"dictionary"]]
        )
        self.network.settle()
        self.assertTrue(ours.closed)

    def test_forged_answers(self) -> None:
        """An answer that nobody waits for, and one that is not bytes, close the link."""
        client = self.client()
        _, theirs = self.connect(client)
        called = client.call("report", b"{}")
        self.answer = lambda kind, payload: Deferred()
        banana.Banana.sendEncoded(theirs.protocol, [b"answer", 1, [b"decimal", 1, 400000]])
        self.network.settle()
        self.failureResultOf(called, PeerError)
        self.assertTrue(theirs.closed)


class Security(SynchronousTestCase):
    def test_basic_types_pass_both_ways(self) -> None:
        """What our messages consist of is packed and unpacked."""
        for value in (None, True, 1, -5, 2.5, "ü", b"x", [1, "a"], {"a": 1}, (1, b"y")):
            packed = jelly.jelly(value, SECURITY)
            self.assertEqual(jelly.unjelly(packed, SECURITY), value)

    def test_nothing_else_is_sent(self) -> None:
        """Objects of other types are refused where they would be sent."""
        for value in (decimal.Decimal(1), datetime.date(2026, 1, 1), {1}, object(), SynchronousTestCase):
            self.assertRaises(jelly.InsecureJelly, jelly.jelly, value, SECURITY)


class Serving(SynchronousTestCase):
    def setUp(self) -> None:
        self.received: list[tuple[Certified, str, dict[str, Any]]] = []
        self.dropped: list[tuple[str, str]] = []
        self.result: Any = None

        def receive(peer: Certified, kind: str, body: dict[str, Any]) -> Any:
            self.received.append((peer, kind, body))
            if isinstance(self.result, Exception):
                raise self.result
            return self.result

        self.serve = serve_with(PEER, Ordering(), receive, lambda node, why: self.dropped.append((node, why)))

    def send(self, seq: int = 1, **changes: object) -> dict[str, Any]:
        payload = pack({"node": "b", "epoch": 1, "seq": seq, "body": {"x": 1}} | changes)
        return unpack(self.successResultOf(self.serve("ask", payload)))

    def test_the_peer_is_the_certified_one(self) -> None:
        """The receiver learns the peer from the certificate, and its result is the answer."""
        self.result = {"y": 2}
        self.assertEqual(self.send(), {"ok": {"y": 2}})
        self.assertEqual(self.received, [(PEER, "ask", {"x": 1})])

    def test_a_refusal_is_told(self) -> None:
        """A PeerError of the receiver is the answer; the connection stays."""
        self.result = PeerError("not here")
        self.assertEqual(self.send(), {"error": "not here"})

    def test_a_bug_is_logged_and_not_told(self) -> None:
        """Other exceptions are logged here; the peer learns nothing of them."""
        self.result = ZeroDivisionError("inner matter")
        self.assertEqual(self.send(), {"error": "internal error"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_old_messages_are_dropped_and_said(self) -> None:
        """A copy is not received twice; both sides learn of it."""
        self.send(seq=3)
        self.assertIn("dropped", self.send(seq=3)["error"])
        self.assertEqual((len(self.received), [node for node, _ in self.dropped]), (1, ["b"]))

    def test_speaking_for_another_node_fails(self) -> None:
        """The Deferred fails, upon which the broker closes the connection."""
        payload = pack({"node": "a", "epoch": 1, "seq": 1, "body": {}})
        self.failureResultOf(self.serve("report", payload), PeerError)
        self.assertEqual(self.received, [])
