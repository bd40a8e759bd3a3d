"""How the relayed calls of a node sound: RTCP that passes, and counters that stand still, told to who wants to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from attrs import frozen
from twisted.logger import Logger

from voipcluster.errors import PeerError
from voipcluster.media.codec import Codec
from voipcluster.media.offer_answer import Side
from voipcluster.media.quality import Measured, Opinion, Passed, Received, StreamQuality, opinion
from voipcluster.media.silence import Counted, Missing, Silence
from voipcluster.media.stream import Stream
from voipcluster.media.tally import Tally
from voipcluster.services.media.call import RelayedCall

LOOK = 4.0  # seconds between looks at the counters of one call

MOS = (1.5, 2.0, 2.5, 2.8, 3.1, 3.4, 3.6, 3.8, 4.0, 4.1, 4.2, 4.3, 4.4)
ROUND_TRIPS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0)  # seconds
JITTERS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)  # seconds
LOSSES = (0.0, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)

ONE_WAY, SILENT = "one-way", "silent"
READ, UNREADABLE, SKIPPED = "read", "unreadable", "skipped"


@frozen
class Trouble:
    """
    What is the matter with a media line.

    @ivar index: of the line, from 0; C{media}: C{audio}, C{video}, ...
    @ivar kind: C{"one-way"} or C{"silent"}.
    @ivar missing: C{"caller"} or C{"callee"}, from whom nothing comes; C{None} when from neither.
    """

    index: int
    media: str
    kind: str
    missing: str | None


def trouble_of(index: int, stream: Stream, missing: Missing) -> Trouble:
    side = missing.side
    return Trouble(
        index, stream.kind, SILENT if side is None else ONE_WAY, None if side is None else side.value
    )


class Speech(Protocol):
    """What L{opinion_of} needs of a stream, or of its snapshot."""

    @property
    def kind(self) -> str: ...

    @property
    def codec(self) -> Codec | None: ...

    @property
    def quality(self) -> StreamQuality | None: ...


def opinion_of(stream: Speech, listener: Side) -> Opinion | None:
    """What the listener thinks of the whole call; C{None} for what is no speech, or was not reported about."""
    quality, codec = stream.quality, stream.codec
    if quality is None or codec is None or stream.kind != "audio":
        return None
    hearing = quality.hearings[listener]
    loss = hearing.loss
    if loss is None:
        return None
    return opinion(codec.name, loss, hearing.jitter.mean, quality.round_trip(), hearing.metrics)


class Listening:
    """
    @param limit: seconds for which nothing comes from one side before that is told; 0 tells nothing.
    @ivar opinions: MOS of each direction at the end of a call, by who listens; C{round_trips} from the relay, by the end of the
        leg; C{jitters} and C{losses} of each report, by who sent it.
    @ivar packets: RTCP datagrams, by what became of them.
    @ivar troubles: calls with them, by kind.
    """

    _log = Logger()

    def __init__(self, seconds: Callable[[], float], limit: float) -> None:
        self._seconds, self._limit = seconds, limit
        self.opinions, self.round_trips = _by_side(MOS), _by_side(ROUND_TRIPS)
        self.jitters, self.losses = _by_side(JITTERS), _by_side(LOSSES)
        self.packets: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()

    def heard(self, stream: Stream, side: Side, datagram: bytes) -> None:
        """A datagram of RTCP has passed; whatever is in it, the relay goes on."""
        quality = stream.quality
        if quality is None:
            quality = stream.quality = StreamQuality()
        now = self._seconds()
        if not quality.takes(now):
            self.packets[SKIPPED] += 1
            return
        codec = stream.codec
        try:
            measured = quality.feed(Passed(side, datagram, 0 if codec is None else codec.rate), now)
        except PeerError:
            self.packets[UNREADABLE] += 1
            return
        self.packets[READ] += 1
        for one in measured:
            self._tally(one)

    def _tally(self, one: Measured) -> None:
        side = one.side.value
        if isinstance(one, Received):
            self.losses[side].add(one.lost)
            if one.jitter is not None:
                self.jitters[side].add(one.jitter)
        else:
            self.round_trips[side].add(one.seconds)

    def look(self, call: RelayedCall, now: float) -> list[Trouble]:
        """@return: what is wrong since this look; of each kind only what is the first of its call."""
        if not self._limit or now - call.looked < LOOK:
            return []
        call.looked = now
        found = []
        for index, line in call.lines.items():
            stream = line.stream
            if stream.silence is None:
                stream.silence = Silence(self._limit)
            counted = Counted(
                line.packets(Side.CALLER),
                line.packets(Side.CALLEE),
                due=call.answered and stream.paired and stream.mutual,
                mixed=stream.muxed,
            )
            for missing in stream.silence.feed(counted, now):
                trouble = trouble_of(index, stream, missing)
                if trouble.kind not in call.troubles:
                    call.troubles += (trouble.kind,)
                    self.troubles[trouble.kind] += 1
                    found.append(trouble)
        return found

    def ended(self, call: RelayedCall) -> None:
        """A call is over, its lines are still there."""
        for line in call.lines.values():
            for side in Side:
                heard = opinion_of(line.stream, side)
                if heard is not None:
                    self.opinions[side.value].add(heard.mos)


def _by_side(bounds: tuple[float, ...]) -> dict[str, Tally]:
    return {side.value: Tally(bounds) for side in Side}
