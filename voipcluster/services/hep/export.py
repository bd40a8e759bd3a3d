"""Each message, and how each call sounded, as HEP packets to a collector; what it does not take is lost, and counted."""

from __future__ import annotations

import zlib
from collections import Counter, deque
from collections.abc import Callable, Container
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from voipcluster.address import Flow
from voipcluster.net.collector import Collector
from voipcluster.services.hep.reports import reports
from voipcluster.services.node.records import CallRecord
from voipcluster.services.transaction.tap import Tap
from voipcluster.sip.hep import SIP, HepWriter, Passed
from voipcluster.sip.masking import masked
from voipcluster.sip.overheard import LONGEST, call_id_of, cseq_of

MOST_WAITING = 4096  # messages that wait to be written
AT_ONCE = 128  # of them in one turn of the reactor, which must not take long
GATHER = 0.01  # seconds in which they gather
PAUSE = 0.001  # seconds between two such turns


@frozen
class Choice:
    """
    What is told.

    @ivar methods: of requests and their responses; none: of all.
    @ivar share: of the Call-IDs, 0 to 1.
    @ivar quality: whether reports are; C{mask}: whether secrets are hidden.
    """

    methods: Container[str] = ()
    share: float = 1.0
    quality: bool = True
    mask: bool = True

    def takes(self, data: bytes, call_id: str) -> bool:
        """Whether a message of that Call-ID is told."""
        if not call_id or not self.takes_call(call_id):
            return False
        return not self.methods or cseq_of(data)[1] in self.methods

    def takes_call(self, call_id: str) -> bool:
        """Every node says the same of one Call-ID, so that all of a call is there or nothing; never of one that is too long."""
        if len(call_id) > LONGEST:
            return False
        if self.share >= 1.0:
            return True
        return zlib.crc32(call_id.encode("utf-8", "surrogateescape")) < self.share * (1 << 32)


class HepExport(Service):
    """
    @param wall: seconds since 1970.
    @ivar sent: packets that left; C{lost}: those that did not, by why.
    """

    name = "hep"
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        tap: Tap,
        writer: HepWriter,
        choice: Choice,
        node: str,
        wall: Callable[[], float],
    ) -> None:
        self._clock, self._tap, self._writer, self._choice = clock, tap, writer, choice
        self._node, self._wall = node, wall
        self._waiting: deque[Passed] = deque()
        self._later: IDelayedCall | None = None
        self.collector: Collector
        self.sent = 0
        self.lost: Counter[str] = Counter()

    def startService(self) -> None:
        super().startService()
        self.collector.start()
        self._tap.add(self.overheard)

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        self._tap.remove(self.overheard)
        if self._later is not None:
            self._later.cancel()
            self._later = None
        while self._waiting:
            self._send(self._waiting.popleft())
        return self.collector.stop()

    def told(self, trouble: str) -> None:
        """What the collector's way says of itself."""
        if trouble:
            self._log.warn("the HEP collector gets nothing, calls go on: {trouble}", trouble=trouble)
        else:
            self._log.info("the HEP collector is told what passes")

    def numbers(self) -> dict[str, int]:
        """Packets by what became of them."""
        return {"sent": self.sent, "full": self.lost["full"], "away": self.lost["away"]}

    def overheard(self, sent: bool, data: bytes, flow: Flow) -> None:
        """One message passes; L{Tap} calls this."""
        call_id = call_id_of(data)
        if not self._choice.takes(data, call_id):
            return
        source, destination = (flow.local, flow.remote) if sent else (flow.remote, flow.local)
        self._put(Passed(source, destination, flow.transport, self._wall(), SIP, data, call_id))

    def call_over(self, record: CallRecord) -> None:
        """A call has ended, and what was measured of it is complete."""
        if self._choice.quality and self.running and self._choice.takes_call(record.call.key.call_id):
            for report in reports(record, self._node):
                self._put(report)

    def _put(self, passed: Passed) -> None:
        if not self.collector.ready:
            self.lost["away"] += 1
        elif len(self._waiting) >= MOST_WAITING:
            self.lost["full"] += 1
        else:
            self._waiting.append(passed)
            if self._later is None:
                self._later = self._clock.callLater(GATHER, self._send_some)

    def _send_some(self) -> None:
        self._later = None
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._send(self._waiting.popleft())
        if self._waiting:
            self._later = self._clock.callLater(PAUSE, self._send_some)

    def _send(self, passed: Passed) -> None:
        if passed.kind == SIP and self._choice.mask:
            passed = passed._replace(payload=masked(passed.payload))
        if self.collector.send(self._writer.packet(passed)):
            self.sent += 1
        else:
            self.lost["away"] += 1
