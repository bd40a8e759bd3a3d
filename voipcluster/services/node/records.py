"""The calls that ended lately, with how they sounded: a bounded number, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from twisted.logger import Logger
from zope.interface import Interface

from voipcluster.services.media.listening import Trouble
from voipcluster.services.media.relay import CallKey
from voipcluster.services.media.snapshots import MediaSnapshot
from voipcluster.services.node.quality import in_words
from voipcluster.services.sip.calls import Call
from voipcluster.sip.masking import without_password


class ICallWatch(Interface):
    """Is told about the calls that a node serves; both methods return at once. An exception is logged, and changes nothing."""

    def media_trouble(call_id: str, trouble: Trouble) -> None:
        """The media of an answered call goes one way, or has stopped; told once for each kind in a call."""

    def call_ended(record: Mapping[str, Any]) -> None:
        """
        A call is over.

        @param record: what C{voipctl --json calls CALL-ID} says of it, with C{ended} and C{reason}.
        """


class CallRecord(NamedTuple):
    """One call that is over. C{call} as it was, C{ended} in unix seconds; C{media} is L{None} when nothing was relayed."""

    call: Call
    ended: float
    reason: str
    media: MediaSnapshot | None


class CallRecords:
    """
    @param most: calls that are remembered; the oldest is forgotten for a new one.
    @param shown: makes what L{ICallWatch} is told of a record.
    @param watch: provides L{ICallWatch}.
    """

    _log = Logger()

    def __init__(
        self, most: int, shown: Callable[[CallRecord], Mapping[str, Any]], watch: ICallWatch | None = None
    ) -> None:
        self._shown, self._watch = shown, watch
        self._records: OrderedDict[CallKey, CallRecord] = OrderedDict()
        self.keep(most)

    def keep(self, most: int) -> None:
        """Remember so many from now on; the oldest beyond that are forgotten."""
        self._most = most
        while len(self._records) > most:
            self._records.popitem(last=False)

    def __len__(self) -> int:
        return len(self._records)

    def find(self, call_id: str) -> Iterator[CallRecord]:
        """All with that Call-ID, the oldest first."""
        return (record for record in self._records.values() if record.call.key.call_id == call_id)

    def add(self, record: CallRecord) -> None:
        """A call is over, and what was measured of it is complete."""
        key = record.call.key
        if record.media is not None:
            self._tell(record, in_words(record.media))
        if self._most:
            self._records[key] = record
            self._records.move_to_end(key)
            if len(self._records) > self._most:
                self._records.popitem(last=False)
        if self._watch is not None:
            try:
                self._watch.call_ended(self._shown(record))
            except Exception:
                self._log.failure("call_ended of call {call}", call=key.call_id)

    def _tell(self, record: CallRecord, sounded: str) -> None:
        call = record.call
        if sounded:
            self._log.info(
                "call {call} from {caller} to {callee} ended after {seconds:.0f} s ({reason}): {sounded}",
                call=call.key.call_id,
                caller=without_password(call.caller),
                callee=without_password(call.callee),
                seconds=record.ended - call.started,
                reason=record.reason,
                sounded=sounded,
            )

    def trouble(self, key: CallKey, trouble: Trouble) -> None:
        """Something is wrong with the media of a call."""
        if self._watch is not None:
            self._watch.media_trouble(key.call_id, trouble)
