"""Messages on their way to a HEP collector: which ones, in what form, and what becomes of those that it does not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.hep_reading import read
from tests.unit.services.node.test_records import record
from voipcluster.address import Flow
from voipcluster.services.hep.export import AT_ONCE, GATHER, MOST_WAITING, PAUSE, Choice, HepExport
from voipcluster.sip.hep import HepWriter

HERE, ALICE = ("192.0.2.1", 5060), ("198.51.100.1", 5062)
FLOW = Flow("TLS", HERE, ALICE, 3)


def message(call: str = "c1", method: str = "INVITE", more: str = "") -> bytes:
    return f"{method} sip:bob@b SIP/2.0\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n{more}\r\n".encode()


class FakeTap:
    def __init__(self) -> None:
        self.listeners: list[Callable[..., object]] = []

    def add(self, listener: Callable[..., object]) -> None:
        if listener not in self.listeners:
            self.listeners.append(listener)

    def remove(self, listener: Callable[..., object]) -> None:
        if listener in self.listeners:
            self.listeners.remove(listener)


class FakeCollector:
    def __init__(self) -> None:
        self.ready, self.takes, self.running = True, True, False
        self.packets: list[bytes] = []

    def start(self) -> None:
        self.running = True

    def stop(self) -> Deferred[Any]:
        self.running = False
        return succeed(None)

    def send(self, packet: bytes) -> bool:
        if self.takes:
            self.packets.append(packet)
        return self.takes


class ExportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.tap, self.collector = Clock(), FakeTap(), FakeCollector()

    def export(self, **choice: Any) -> HepExport:
        made = HepExport(
            self.clock,
            self.tap,
            HepWriter(7, "a"),
            Choice(**choice),
            "a",
            lambda: 1000.5 + self.clock.seconds(),
        )
        made.collector = self.collector
        made.startService()
        return made

    def found(self) -> list[dict[str, Any]]:
        self.clock.advance(GATHER)
        while self.clock.getDelayedCalls():
            self.clock.advance(PAUSE)
        return [read(packet) for packet in self.collector.packets]

    def test_both_ways(self) -> None:
        """Source and destination are as on the wire, the time is when it passed, the payload what was in the clear."""
        export = self.export()
        export.overheard(False, message(), FLOW)
        self.clock.advance(0.0625)
        export.overheard(True, message("c2"), FLOW)
        first, second = self.found()
        self.assertEqual((first["source"], first["source_port"]), ALICE)
        self.assertEqual((first["destination"], first["destination_port"]), HERE)
        self.assertEqual((second["source"], second["destination"]), (HERE[0], ALICE[0]))
        self.assertEqual((first["payload"], first["correlation"], first["type"]), (message(), b"c1", 1))
        self.assertEqual(
            (first["seconds"], first["microseconds"], second["microseconds"]), (1000, 500_000, 562_500)
        )
        self.assertEqual((first["protocol"], first["node"]), (6, b"a"))
        self.assertEqual(export.numbers(), {"sent": 2, "full": 0, "away": 0})

    def test_secrets(self) -> None:
        """They are hidden unless that was switched off."""
        data = message(more='Authorization: Digest username="alice", response="0123abcd"\r\n')
        for mask in (True, False):
            self.collector.packets.clear()
            self.export(mask=mask).overheard(False, data, FLOW)
            [found] = self.found()
            self.assertEqual(b"0123abcd" in found["payload"], not mask)

    def test_chosen_methods(self) -> None:
        """Requests of these methods and the responses to them; what has no Call-ID is no SIP message of a call."""
        export = self.export(methods=("INVITE", "BYE"))
        for data in (
            message(method="OPTIONS"),
            message(method="BYE"),
            b"SIP/2.0 200 OK\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n",
            b"SIP/2.0 200 OK\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\r\n",
            b"rubbish",
        ):
            export.overheard(False, data, FLOW)
        self.assertEqual([one["payload"][:7] for one in self.found()], [b"BYE sip", b"SIP/2.0"])

    def test_a_share_of_the_calls(self) -> None:
        """It is about that share, all messages of a call or none, and the same calls at each node."""
        told = []
        for _ in range(2):
            self.collector.packets.clear()
            export = self.export(share=0.25)
            for number in range(1000):
                export.overheard(False, message(f"call-{number}"), FLOW)
                export.overheard(True, message(f"call-{number}", "BYE"), FLOW)
            told.append([one["correlation"] for one in self.found()])
        self.assertEqual(told[0], told[1])
        self.assertEqual({told[0].count(call) for call in told[0]}, {2})
        self.assertApproximates(len(told[0]) / 2, 250, 50)
        self.assertEqual(self.export(share=0.0).overheard(False, message(), FLOW), None)

    def test_more_than_can_wait(self) -> None:
        """What is too much is lost and counted; the rest leaves in pieces, so that no turn of the reactor is long."""
        export = self.export()
        for number in range(MOST_WAITING + 5):
            export.overheard(False, message(f"{number}"), FLOW)
        self.clock.advance(GATHER)
        self.assertEqual(len(self.collector.packets), AT_ONCE)
        self.assertEqual(len(self.found()), MOST_WAITING)
        self.assertEqual(export.numbers(), {"sent": MOST_WAITING, "full": 5, "away": 0})

    def test_nobody_there(self) -> None:
        """While the collector is away nothing is kept for it."""
        export = self.export()
        self.collector.ready = False
        export.overheard(False, message(), FLOW)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.collector.ready, self.collector.takes = True, False
        export.overheard(False, message(), FLOW)
        self.assertEqual(self.found(), [])
        self.assertEqual(export.numbers(), {"sent": 0, "full": 0, "away": 2})

    def test_how_a_call_sounded(self) -> None:
        """A report of each direction goes the same way, unless they are switched off or the call is left out."""
        self.export().call_over(record("c1", heard=True))
        self.assertEqual([(one["type"], one["correlation"]) for one in self.found()], [(34, b"c1")] * 2)
        for choice in ({"quality": False}, {"share": 0.0}):
            self.collector.packets.clear()
            self.export(**choice).call_over(record("c1", heard=True))
            self.assertEqual(self.found(), [])
        self.export().call_over(record("c" * 60_000, heard=True))  # it would fill the packet
        self.assertEqual(self.found(), [])

    def test_the_end(self) -> None:
        """What waits is sent, nobody looks on any more, and calls that end later are not told."""
        export = self.export()
        export.overheard(False, message(), FLOW)
        self.successResultOf(export.stopService())
        self.assertEqual((len(self.collector.packets), self.tap.listeners), (1, []))
        self.assertFalse(self.collector.running)
        export.call_over(record("c2"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
