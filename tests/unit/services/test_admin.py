"""The admin socket's requests and answers, on a transport of strings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.fake_node import BAN, CALL, STATUS, FakeNode
from voipcluster.errors import UsageError
from voipcluster.services.admin import MAX_CONNECTIONS, MAX_REQUEST, AdminFactory, AdminProtocol
from voipcluster.services.commands import INodeControl


class AdminTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = FakeNode()
        self.factory = AdminFactory(self.node)
        self.connection, self.transport = self.connect()

    def connect(self) -> tuple[AdminProtocol, StringTransport]:
        connection, transport = self.factory.buildProtocol(None), StringTransport()
        connection.makeConnection(transport)
        return connection, transport

    def send(self, command: object, **arguments: object) -> None:
        line = json.dumps({"command": command, "arguments": arguments}).encode("utf-8")
        self.connection.dataReceived(line + b"\n")

    def answers(self) -> list[Any]:
        lines = self.transport.value().splitlines()
        self.transport.clear()
        return [json.loads(line) for line in lines]

    def ask(self, command: object, **arguments: object) -> Any:
        self.send(command, **arguments)
        (answer,) = self.answers()
        return answer

    def test_fake(self) -> None:
        """The fake node is one."""
        self.assertTrue(verifyObject(INodeControl, self.node))
        self.assertTrue(verifyObject(IPullProducer, self.connection))

    def test_every_command(self) -> None:
        """Each command asks the node with its arguments; what is optional may be missing."""
        self.assertEqual(self.ask("status"), {"result": STATUS})
        self.assertEqual(self.ask("calls"), {"result": [CALL]})
        self.assertEqual(self.ask("calls", call_id=CALL["call_id"]), {"result": [CALL]})
        self.assertEqual(self.ask("join-token", ttl=60, uses=2), {"result": "AAAABBBB@127.0.0.1"})
        self.assertEqual(
            self.ask("user-add", name="al", domain="Example.com", password="pä ss"), {"result": None}
        )
        self.assertEqual(self.ask("user-passwd", name="al", domain="a.b", password="x"), {"result": None})
        self.assertEqual(self.ask("user-list"), {"result": ["alice@example.com", "bob@example.com"]})
        self.ask("user-list", full=True)
        self.assertEqual(self.ask("drain", node="b", on=True), {"result": None})
        self.assertEqual(self.ask("stop"), {"result": None})
        self.assertEqual(self.ask("bans"), {"result": [BAN]})
        self.assertEqual(self.ask("unban", who=BAN["who"]), {"result": None})
        self.assertIn("not banned", self.ask("unban", who="192.0.2.9")["error"])
        self.assertEqual(self.ask("metrics"), {"result": "voipcluster_calls 10.0\n"})
        self.assertEqual(self.ask("history", since=5)["result"]["time"], [])
        self.assertIn("result", self.ask("registrations", aor="alice@example.com"))
        self.assertIn("result", self.ask("explain", call_id=CALL["call_id"]))
        self.assertEqual(
            self.node.asked,
            [
                ("calls", None), ("calls", CALL["call_id"]), ("create_token", 60.0, 2),
                ("user_add", "al", "example.com", "pä ss"), ("user_passwd", "al", "a.b", "x"),
                ("user_list", None, None), ("user_list", None, True), ("drain", "b", True),
                ("stop", None), ("unban", BAN["who"]), ("unban", "192.0.2.9"),
                ("history", 5.0), ("registrations", "alice@example.com"), ("explain", CALL["call_id"]),
            ],
        )  # fmt: skip

    def test_bad_arguments(self) -> None:
        """A wrong, missing or unknown argument gives one line that names it, and the node is not asked."""
        for command, arguments, text in (
            ("join-token", {"ttl": 0, "uses": 1}, "ttl: allowed is"),
            ("join-token", {"ttl": 10**400, "uses": 1}, "ttl: allowed is"),
            ("join-token", {"ttl": 60, "uses": 1.5}, "uses: allowed is"),
            ("user-add", {"name": "a@b", "domain": "a.b", "password": "x"}, "name: allowed is a user name"),
            ("user-add", {"name": "a", "domain": "a b", "password": "x"}, "domain: allowed is"),
            ("user-add", {"name": "a", "domain": "a.b", "password": "x\n"}, "password: allowed is"),
            ("user-add", {"name": "a", "domain": "a.b"}, "password: allowed is"),
            ("explain", {}, "call_id: allowed is"),
            ("drain", {"on": 1}, "on: allowed is true or false"),
            ("stop", {"node": "../x"}, "node: allowed is"),
            ("status", {"x": 1}, "unknown argument 'x'"),
        ):
            answer = self.ask(command, **arguments)
            self.assertTrue(answer["error"].startswith(text), answer)
            self.assertNotIn("\n", answer["error"])
        self.assertEqual(self.node.asked, [])

    def test_bad_requests(self) -> None:
        """What is no request gives an error, and the connection goes on."""
        for line in (
            b"{",
            b"[]",
            b"1",
            b'{"command":1}',
            b"\xff",
            b"[" * 9000,
            b'{"command":"status","arguments":[]}',
        ):
            self.connection.dataReceived(line + b"\n")
            (answer,) = self.answers()
            self.assertIn("error", answer)
        self.assertIn("unknown command 'fly'", self.ask("fly")["error"])
        self.assertEqual(self.ask("status"), {"result": STATUS})

    def test_errors_of_the_node(self) -> None:
        """An error for the operator is shown on one line; a bug is logged, and its text is not shown."""
        answer = self.ask("user-add", name="taken", domain="a.b", password="hidden")
        self.assertEqual(answer, {"error": "user taken exists already"})
        answer = self.ask("user-rm", name="a", domain="a.b")
        self.assertEqual(answer, {"error": "the node failed at this (KeyError); its log tells more"})
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_answers_keep_their_order(self) -> None:
        """A request waits for the answer to the one before it."""
        self.node.later = Deferred()
        self.send("calls")
        self.send("status")
        self.assertEqual(self.answers(), [])
        self.node.later.errback(UsageError("node b is slow"))
        self.assertEqual(self.answers(), [{"error": "node b is slow"}, {"result": STATUS}])

    def test_parts(self) -> None:
        """A list goes out a part at a time, each when the one before has left; what was asked behind it waits for its end."""
        self.node.parts = [{"rows": [1]}, {"rows": [2]}]
        self.send("registrations", parts=0)
        self.send("status")
        producer = self.transport.producer
        self.assertEqual((self.answers(), self.transport.streaming), ([], False))
        told = []
        for _ in range(3):
            producer.resumeProducing()
            told.append(self.answers())
        self.assertEqual(
            told,
            [
                [{"result": {"rows": [1]}}],
                [{"result": {"rows": [2]}}],
                [{"result": None}, {"result": STATUS}],
            ],
        )
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.node.asked, [("registration_parts", 0)])
        self.send("user-list", parts=True, domain="a.b")
        self.assertEqual(self.node.asked[1:], [("user_parts", "a.b")])

    def test_a_part_that_fails(self) -> None:
        """It ends the list with an error, once, and the connection goes on."""

        def parts() -> Iterator[Any]:
            yield {"rows": [1]}
            raise ZeroDivisionError

        self.node.parts = parts()
        self.send("registrations", parts=0)
        producer = self.transport.producer
        producer.resumeProducing()
        producer.resumeProducing()
        first, second = self.answers()
        self.assertEqual(first, {"result": {"rows": [1]}})
        self.assertIn("the node failed at this", second["error"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.ask("status"), {"result": STATUS})

    def test_client_leaves_amid_parts(self) -> None:
        """Nothing more is made for it."""
        self.node.parts = iter([{"rows": [1]}, {"rows": [2]}])
        self.send("registrations", parts=0)
        producer = self.transport.producer
        producer.resumeProducing()
        producer.stopProducing()
        self.connection.connectionLost()
        producer.resumeProducing()
        self.assertEqual(self.answers(), [{"result": {"rows": [1]}}])
        self.assertEqual(next(self.node.parts), {"rows": [2]})

    def test_client_leaves(self) -> None:
        """The answer to a client that has left goes nowhere, and what it asked after that is not done."""
        self.node.later = waiting = Deferred()
        self.send("calls")
        self.send("stop")
        self.connection.connectionLost()
        waiting.callback([])
        self.assertEqual(self.node.asked, [("calls", None)])
        self.assertEqual(self.transport.value(), b"")

    def test_many_at_once(self) -> None:
        """Thousands of requests in one write are answered without deep recursion, or refused."""
        line = b'{"command":"status"}\n'
        self.connection.dataReceived(line * 5000)
        self.assertEqual(len(self.answers()), 5000)
        self.node.later = Deferred()
        self.send("calls")
        self.connection.dataReceived(line * 1000)
        self.assertEqual(
            self.answers(), [{"error": "too many requests at once"}] * len(self.answers() or [1])
        )
        self.assertTrue(self.transport.disconnecting)

    def test_long_request(self) -> None:
        """A line without an end is refused at its limit, and the connection closed."""
        self.connection.dataReceived(b"x" * (MAX_REQUEST + 10))
        self.assertIn("error", self.answers()[0])
        self.assertTrue(self.transport.disconnecting)

    def test_too_many_connections(self) -> None:
        """One connection more than allowed is told so and closed; one that left makes room."""
        others = [self.connect() for _ in range(MAX_CONNECTIONS)]
        self.assertIn(b"too many", others[-1][1].value())
        self.assertTrue(others[-1][1].disconnecting)
        others[-1][0].connectionLost()
        others[0][0].connectionLost()
        self.assertFalse(self.connect()[1].disconnecting)
