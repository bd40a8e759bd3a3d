"""The calls that ended lately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.services.node.test_quality import call as media_of
from tests.unit.services.node.test_quality import reported
from voipcluster.services.media.listening import Trouble
from voipcluster.services.media.relay import CallKey
from voipcluster.services.node.records import CallRecord, CallRecords, ICallWatch
from voipcluster.services.sip.calls import Call


@implementer(ICallWatch)
class Watch:
    """Notes what it is told; raises it when it is an exception."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def media_trouble(self, call_id: str, trouble: Trouble) -> None:
        self.told.append((call_id, trouble))

    def call_ended(self, record: Mapping[str, Any]) -> None:
        self.told.append(record)
        if record["id"] == "bad":
            raise ZeroDivisionError


def record(call_id: str, tag: str = "t", *, heard: bool = False) -> CallRecord:
    call = Call(
        CallKey(call_id, tag),
        "sip:a@example.com",
        "sip:b@example.com",
        "192.0.2.1:5060",
        "UDP",
        "a",
        "a",
        (),
        100.0,
    )
    return CallRecord(call, 160.0, "BYE", media_of(reported()) if heard else None)


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.watch = Watch()
        self.records = CallRecords(3, lambda record: {"id": record.call.key.call_id}, self.watch)

    def test_found(self) -> None:
        """By Call-ID; forks of one have the same."""
        for one in (record("x"), record("y"), record("x", "u")):
            self.records.add(one)
        self.assertEqual([one.call.key.from_tag for one in self.records.find("x")], ["t", "u"])
        self.assertEqual(list(self.records.find("z")), [])

    def test_bound(self) -> None:
        """The oldest goes for a new one, and none is kept where that is switched off."""
        for number in range(10):
            self.records.add(record(str(number)))
        self.assertEqual(
            (len(self.records), [len(list(self.records.find(one))) for one in "0679"]), (3, [0, 0, 1, 1])
        )
        none = CallRecords(0, lambda record: {})
        none.add(record("x"))
        self.assertEqual(len(none), 0)

    def test_watch(self) -> None:
        """An application is told; its error is logged and changes nothing."""
        verifyObject(ICallWatch, self.watch)
        trouble = Trouble(0, "audio", "one-way", "callee")
        self.records.trouble(CallKey("x", "t"), trouble)
        self.records.add(record("bad"))
        self.assertEqual(self.watch.told, [("x", trouble), {"id": "bad"}])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.records), 1)

    def test_one_line_in_the_log(self) -> None:
        """A call that was reported about leaves one line, others none."""
        lines: list[str] = []

        def observe(event: Any) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.records.add(record("x"))
        self.assertEqual(lines, [])
        self.records.add(record("y", heard=True))
        (line,) = lines
        self.assertIn(
            "call y from sip:a@example.com to sip:b@example.com ended after 60 s (BYE): audio PCMU: caller hears MOS 4.",
            line,
        )
