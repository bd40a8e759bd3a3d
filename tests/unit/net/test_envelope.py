"""The payload of a message: JSON, its sender, and the order of messages."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import PeerError
from voipcluster.net.certificates import Certified
from voipcluster.net.envelope import MAX_PAYLOAD, Ordering, open_envelope, pack, unpack

PEER = Certified("b", "secondary", "00")


class Payload(SynchronousTestCase):
    def test_plain_values_survive(self) -> None:
        """Dicts of plain values come back as they were."""
        body = {"a": [1, 2.5, None, True, "ü"], "b": {"c": {}}}
        self.assertEqual(unpack(pack(body)), body)

    def test_bad_payloads_are_refused(self) -> None:
        """Other types, other JSON, NaN, deep nesting and huge numbers all give a PeerError."""
        deep = b"[" * 200_000 + b"]" * 200_000
        for bad in ("text", None, b"", b"[]", b"1", b"{", b'{"a":NaN}', b'{"a":Infinity}', b"\xff\xfe", deep):
            self.assertRaises(PeerError, unpack, bad)
        self.assertRaises(PeerError, unpack, b'{"a":' + b"9" * 100_000 + b"}")
        self.assertRaises(PeerError, unpack, b'{"a":"' + b"x" * MAX_PAYLOAD + b'"}')

    def test_a_long_message_is_not_sent(self) -> None:
        """What the link does not carry is refused at the sender, with status hint 513."""
        error = self.assertRaises(PeerError, pack, {"a": "x" * MAX_PAYLOAD})
        self.assertEqual(error.status_hint, 513)


class Envelope(SynchronousTestCase):
    def open(self, **changes: object) -> tuple[int, int, dict[str, object]]:
        value = {"node": "b", "epoch": 7, "seq": 1, "body": {"x": 1}} | changes
        return open_envelope(PEER, json.dumps(value).encode())

    def test_the_fields_come_out(self) -> None:
        """Epoch, sequence and body; unknown fields are ignored."""
        self.assertEqual(self.open(colour="blue"), (7, 1, {"x": 1}))

    def test_the_sender_is_the_certified_node(self) -> None:
        """A node that speaks for another one is refused."""
        self.assertRaises(PeerError, self.open, node="a")

    def test_wrong_fields_are_refused(self) -> None:
        """Booleans, floats, negative and huge numbers are no sequence numbers; a list is no body."""
        for field, value in (
            ("epoch", True),
            ("seq", 1.0),
            ("seq", -1),
            ("epoch", 2**53),
            ("body", []),
            ("seq", None),
        ):
            self.assertRaises(PeerError, self.open, **{field: value})


class Order(SynchronousTestCase):
    def test_copies_and_old_messages_are_dropped(self) -> None:
        """The same or a lower sequence number of one epoch is not heard twice."""
        order = Ordering()
        self.assertIsNone(order.fault("b", 5, 1))
        self.assertIsNone(order.fault("b", 5, 4))
        self.assertIsNotNone(order.fault("b", 5, 4))
        self.assertIsNotNone(order.fault("b", 5, 3))
        self.assertIsNone(order.fault("c", 1, 1))

    def test_a_restarted_node_is_heard_at_once(self) -> None:
        """A new epoch begins with any sequence number, and ends the old one."""
        order = Ordering()
        self.assertIsNone(order.fault("b", 5, 1000))
        self.assertIsNone(order.fault("b", 6, 1))
        self.assertIsNotNone(order.fault("b", 5, 1001))

    def test_a_node_that_joins_anew_starts_over(self) -> None:
        """What was known of its name before does not count."""
        order = Ordering()
        order.fault("b", 5, 1000)
        order.forget("b")
        self.assertIsNone(order.fault("b", 1, 1))
