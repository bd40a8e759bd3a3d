"""The RTP relay as a service: the proxy shows it each message of a call, and sends on the body that it gets back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.logger import Logger

from voipcluster.address import Hop
from voipcluster.errors import PeerError, UsageError
from voipcluster.media.activity import Activity, Counted
from voipcluster.media.body import find_sdp, is_fragment, replace_part
from voipcluster.media.offer_answer import MessagePassed, Side
from voipcluster.media.ports import NoPorts, PortPool
from voipcluster.media.rewriting import without_candidates
from voipcluster.media.shares import Holder, Shares
from voipcluster.media.stream import Stream
from voipcluster.net.nft.probe import Kernel
from voipcluster.net.port_group import PortGroup, port_readers
from voipcluster.net.rtp import IReaders, open_rtp_port, raise_descriptor_limit
from voipcluster.services.media.adopt import adopt
from voipcluster.services.media.arrival import Arrival, IcePolicy
from voipcluster.services.media.call import RelayedCall
from voipcluster.services.media.kernel_path import (
    KERNEL,
    MARKS,
    OFF,
    USERSPACE,
    IKernel,
    Path,
    PathSettings,
    choose_path,
)
from voipcluster.services.media.listening import Listening, Trouble
from voipcluster.services.media.ports import OpenPort, RelayAddress, RelayPorts, by_family, targets_for
from voipcluster.services.media.saved import Latches, SavedMedia, Traffic
from voipcluster.services.media.snapshots import MediaSnapshot, MediaStatistics, stream_snapshot
from voipcluster.services.media.watching import Watch

SOCKETS_PER_PAIR = 2
OTHER_DESCRIPTORS = 4096  # connections, database, log


class CallKey(NamedTuple):
    """One call: its Call-ID and the From tag of its first INVITE."""

    call_id: str
    from_tag: str


class MediaService(Service):
    """
    @param ports: first and last port of the range.
    @param addresses: where ports are bound, one per family; C{callee_addresses} when called parties are on another
        network than callers.
    @param relay: C{"off"} passes every body as it is; C{"userspace"} relays in this process, C{"kernel"} in the kernel as soon as
        both sides are latched, and C{"auto"} there if it can.
    @param marks: upper octet of the marks that the kernel path gives to packets, 1 to 255.
    @param kernel: that of this machine when not given.
    @param ice: see L{IcePolicy}.
    @param timeout: seconds without a packet after which an answered call is over; C{hold_timeout} while on hold.
    @param setup_timeout: seconds without a message after which a call that nobody answered is forgotten. The proxy's
        Timer C comes first; this is the net below it.
    @param quarantine: seconds for which a port of an ended call is not used.
    @param window: seconds in which a learned address is tentative, see L{voipcluster.media.latch}.
    @param start: a random number, see L{PortPool}.
    @ivar versions: of the Internet Protocol that ports can be opened in.
    @param allowed: networks of a laboratory, C{closed}: ports on our own addresses, C{trusted}: hosts whose word is enough, see
        L{voipcluster.media.target.Targets}.
    @param shares: of all ports, what one holder may have, by kind; see L{voipcluster.media.shares}.
    @param silence: see L{Listening}.
    @ivar on_trouble: called with a call, and what was found wrong with its media.
    @param octets: so many that nobody can guess.
    @ivar on_timeout: called with the call whose media timed out; its ports are freed right after.
    @ivar on_moved: called with an answered call whose latches have moved, up to a second later.
    @raise UsageError: no address, or no port pair in the range.
    """

    name = "media"
    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        ports: tuple[int, int],
        addresses: Sequence[RelayAddress],
        callee_addresses: Sequence[RelayAddress] | None = None,
        relay: str = "userspace",
        ice: str = "relay",
        timeout: float = 60.0,
        hold_timeout: float = 3600.0,
        setup_timeout: float = 600.0,
        quarantine: float = 10.0,
        window: float = 3.0,
        start: int = 0,
        allowed: Sequence[str] = (),
        closed: Sequence[int] = (),
        trusted: Callable[[str], bool] = lambda host: False,
        shares: Mapping[str, float] = {},
        silence: float = 10.0,
        octets: Callable[[int], bytes] = os.urandom,
        readers: Callable[[IReactorFDSet], IReaders] = port_readers,
        open_port: OpenPort = open_rtp_port,
        marks: int = MARKS,
        kernel: IKernel | None = None,
    ) -> None:
        if not addresses:
            raise UsageError("the media relay needs an address")
        self._reactor = reactor
        self._off = relay == OFF
        self._ice = IcePolicy.of(ice, octets)
        self._timeouts = timeout, hold_timeout, setup_timeout
        self._pool = PortPool(*ports, quarantine=quarantine, start=start)
        self._addresses = {
            Side.CALLER: by_family(addresses),
            Side.CALLEE: by_family(addresses if callee_addresses is None else callee_addresses),
        }
        self.versions = max(map(len, self._addresses.values()))
        targets = targets_for(self._addresses, self._pool, allowed, closed, trusted)
        self._new_stream = partial(Stream, targets, window)
        self._shares = Shares({})
        self.share(shares)
        self._make_readers, self._open_port, self._kernel = readers, open_port, kernel or Kernel()
        self._settings = PathSettings(
            relay=relay,
            hosts=[relay.host for relay in (*addresses, *(callee_addresses or ()))],
            first_port=self._pool.first,
            pairs=self._pool.size,
            marks=marks,
            longest=min(10.0, timeout / 3, silence / 3),
        )
        self._path = Path()
        self._readers: IReaders | None = None
        self._calls: dict[CallKey, RelayedCall] = {}
        self._watch = Watch[CallKey](reactor, lambda: list(self._calls), self._look, self._count)
        self._rate, self._counted, self._counted_at = 0.0, 0, 0.0
        self._ended = (0, 0)  # packets and octets of calls that are over
        self._sessions = self._timed_out = self._refused = 0
        self.listening = Listening(reactor.seconds, silence)
        self.on_timeout: Callable[[CallKey], object] = lambda call: None
        self.on_moved: Callable[[CallKey], object] = lambda call: None
        self.on_trouble: Callable[[CallKey, Trouble], object] = lambda call, trouble: None

    def share(self, shares: Mapping[str, float]) -> None:
        """What one holder may have of all ports from now on, by kind; what he has already stays his."""
        self._shares.most = {kind: max(2, int(share * self._pool.size)) for kind, share in shares.items()}

    @property
    def relays(self) -> bool:
        """Whether bodies may be translated at all."""
        return not self._off

    # lifetime

    def startService(self) -> None:
        """@raise UsageError: C{relay} is C{"kernel"}, and the kernel cannot; the text says why."""
        super().startService()
        if self._off:
            self._kernel.sweep(self._settings.hosts, self._settings.first_port)
            return
        wanted = self._pool.size * SOCKETS_PER_PAIR + OTHER_DESCRIPTORS
        limit = raise_descriptor_limit(wanted)
        if limit < wanted:
            self._log.warn(
                "the limit of {limit} open files allows fewer calls than the media ports would", limit=limit
            )
        self._readers = self._make_readers(cast(IReactorFDSet, self._reactor))
        self._path = choose_path(self._settings, self._reactor, self._readers, self._kernel)
        self._counted_at = self._reactor.seconds()
        self._watch.start()

    def stopService(self) -> None:
        super().stopService()
        self._watch.stop()
        if self._path.kernel is not None:  # what it relays of calls in progress goes on, for the next process
            self._path.kernel.close(keep=len(self._path.kernel) > 0)
        for call in list(self._calls):
            self.call_ended(call, "the node stops")
        self._path = Path()
        readers, self._readers = self._readers, None
        if isinstance(readers, PortGroup):
            readers.close()

    # what the proxy calls

    def message_passes(
        self,
        call: CallKey,
        *,
        sender: Side,
        method: str,
        status: int | None,
        cseq: int,
        to_tag: str | None,
        content_type: str | None,
        body: bytes,
        source: Hop,
        target: Hop | None = None,
        record: bool = True,
        holders: tuple[Holder, ...] = (),
    ) -> bytes:
        """
        Take note of a message that the proxy is about to send on.

        The same message may pass twice (retransmission, several branches): the result is the same.

        @param call: with the tags as in the first INVITE, also for requests of the callee.
        @param sender: the side that the message comes from.
        @param status: L{None} for a request.
        @param to_tag: of the callee.
        @param content_type: value of the header, with its parameters.
        @param source: where the message came from.
        @param target: where it goes; tells the relay which IP version the other side speaks before it answered.
        @param record: false when this node will not see the rest of the call: then an INVITE opens no session.
        @param holders: whom the ports of the call count for, with its first INVITE.
        @return: the body to send on; the same object when nothing changes.
        @raise PeerError: the description cannot be relayed (C{status_hint} 488), or no port is free (503).
        """
        if self._off:
            return body
        relayed = self._calls.get(call)
        opened = relayed is None
        if relayed is None:
            if method != "INVITE" or status is not None or not record:
                return body
            relayed = self._open(call, holders)
        if method == "INFO":
            hides = content_type is not None and self._ice.mode != "pass" and is_fragment(content_type)
            return without_candidates(body) if hides else body
        try:
            part = find_sdp(content_type, body)
            sdp = None if part is None else body[part.begin : part.end]
            passed = MessagePassed(sender, method, status, cseq, sdp is not None, to_tag)
            translated = relayed.passes(passed, sdp, Arrival.of(source, target), self._reactor.seconds())
        except PeerError as error:
            self._refused += isinstance(error, NoPorts)
            if opened:
                self.call_ended(call, str(error))
            raise
        if part is None or translated is None or translated == sdp:
            return body
        return replace_part(body, part, translated)

    def call_ended(self, call: CallKey, reason: str) -> None:
        """Free what the call holds. A call that is not known, or ended before, is fine."""
        relayed = self._calls.pop(call, None)
        if relayed is None:
            return
        self._watch.forget(call)
        self.listening.ended(relayed)
        relayed.close()
        packets, octets = relayed.traffic()
        self._ended = self._ended[0] + packets, self._ended[1] + octets
        self._log.debug("media of call {call} ends: {reason}", call=call.call_id, reason=reason)

    def _open(self, call: CallKey, holders: tuple[Holder, ...]) -> RelayedCall:
        now = self._reactor.seconds()
        relayed = RelayedCall(
            self._relay_ports(call, holders), self._new_stream, self._ice, self._new_activity(now), now
        )
        self._calls[call] = relayed
        self._sessions += 1
        return relayed

    def _relay_ports(self, call: CallKey, holders: tuple[Holder, ...]) -> RelayPorts:
        assert self._readers is not None, "the service runs"
        return RelayPorts(
            self._pool,
            self._readers,
            self._addresses,
            self._reactor.seconds,
            self._open_port,
            heard=self.listening.heard,
            shares=self._shares,
            holders=holders,
            kernel_line=self._path.line_maker(call),
        )

    def _new_activity(self, now: float) -> Activity:
        timeout, hold_timeout, _ = self._timeouts
        return Activity(timeout, hold_timeout, now)

    # a call in a later process

    def descriptors(self) -> list[int]:
        """Those of the ports of answered calls, for who keeps them open while the process is exchanged."""
        return [
            port.fileno()
            for relayed in self._calls.values()
            if relayed.answered
            for line in relayed.lines.values()
            for port in line.all_ports()
        ]

    def relayed(self, call: CallKey) -> RelayedCall | None:
        """What is relayed of a call, for its journal."""
        return self._calls.get(call)

    def adopt(self, calls: Mapping[CallKey, tuple[SavedMedia, Latches, Traffic]]) -> dict[CallKey, str]:
        """
        Make calls of an earlier process again, right after the start.

        @return: those for which this was not possible, and why.
        """
        refused: dict[CallKey, str] = {}
        if self._off:
            return dict.fromkeys(calls, "media.relay is off now")
        free = self._pool.take_these({number for saved, *_ in calls.values() for number in saved.numbers})
        now = self._reactor.seconds()
        for call, (saved, latches, traffic) in calls.items():
            numbers = saved.numbers & free
            free -= numbers
            try:
                if numbers != saved.numbers:
                    raise PeerError(
                        "its media ports are out of the range media.ports, or of another call", 503
                    )
                activity = self._new_activity(now)
                relay = self._relay_ports(call, saved.holders)
                self._calls[call] = adopt(
                    saved, latches, traffic, relay, self._new_stream, self._ice, activity, now
                )
                self._shares.adopt(saved.holders, len(numbers))
            except PeerError as error:
                refused[call] = str(error)
                for number in numbers:
                    self._pool.give_back(number, now)
        # what was counted before is the calls', and no work of this process
        packets, octets = self._traffic()
        self._ended = self._ended[0] - packets, self._ended[1] - octets
        return refused

    # looking on

    def watches(self, call: CallKey) -> bool:
        """Whether the media time-out will end the call when nothing is heard any more."""
        relayed = self._calls.get(call)
        return relayed is not None and relayed.answered and bool(relayed.lines)

    def calls(self) -> list[MediaSnapshot]:
        return [self._snapshot(key, relayed) for key, relayed in self._calls.items()]

    def snapshot(self, call: CallKey) -> MediaSnapshot | None:
        """One call, or L{None} when nothing of it is relayed."""
        relayed = self._calls.get(call)
        return None if relayed is None else self._snapshot(call, relayed)

    def last_snapshot(self, call: CallKey) -> MediaSnapshot | None:
        """The same of a call that ends now: the kernel relays no more of it, and all that it did is counted."""
        relayed = self._calls.get(call)
        for line in () if relayed is None else relayed.lines.values():
            line.end_offload()
        return self.snapshot(call)

    def _snapshot(self, call: CallKey, relayed: RelayedCall) -> MediaSnapshot:
        now = self._reactor.seconds()
        return MediaSnapshot(
            call=call,
            answered=relayed.answered,
            held=relayed.held,
            age=now - relayed.started,
            silent=now - relayed.activity.since,
            streams=tuple(stream_snapshot(index, line) for index, line in sorted(relayed.lines.items())),
        )

    def counted(self) -> Deferred[None]:
        """Fires when what the kernel relays is counted anew; else that is done every second or few."""
        return succeed(None) if self._path.kernel is None else self._path.kernel.counted()

    def statistics(self) -> MediaStatistics:
        packets, octets = self._traffic()
        kernel, reason = self._path.kernel, self._path.reason
        return MediaStatistics(
            sessions=len(self._calls),
            ports_free=self._pool.free(self._reactor.seconds()),
            ports_total=self._pool.size,
            packets_per_second=self._rate + self.kernel_rate,
            total_sessions=self._sessions,
            total_packets=packets,
            total_octets=octets,
            total_timeouts=self._timed_out,
            total_refused=self._refused,
            path=OFF if self._off else USERSPACE if kernel is None else KERNEL,
            reason=reason if kernel is None else kernel.trouble or reason,
            kernel_packets=self._kernel_packets,
            kernel_rate=self.kernel_rate,
        )

    @property
    def relayed_here(self) -> int:
        """Packets that this process relayed so far."""
        return self._traffic()[0] - self._kernel_packets

    @property
    def kernel_rate(self) -> float:
        """Packets a second that the kernel relays in its place."""
        return 0.0 if self._path.kernel is None else self._path.kernel.rate

    @property
    def _kernel_packets(self) -> int:
        return 0 if self._path.kernel is None else self._path.kernel.packets

    def _traffic(self) -> tuple[int, int]:
        packets, octets = self._ended
        for relayed in self._calls.values():
            more_packets, more_octets = relayed.traffic()
            packets, octets = packets + more_packets, octets + more_octets
        return packets, octets

    def _count(self) -> None:
        if self._path.kernel is not None:
            self._path.kernel.discard_unclaimed()  # of an earlier process: L{adopt} came right after the start
        now, here = (
            self._reactor.seconds(),
            self.relayed_here,
        )  # the kernel's come in lumps, so it has a rate of its own
        if now > self._counted_at:
            self._rate = (here - self._counted) / (now - self._counted_at)
        self._counted, self._counted_at = here, now

    def _look(self, call: CallKey) -> None:
        relayed, now = self._calls.get(call), self._reactor.seconds()
        if relayed is None:
            return
        for trouble in self.listening.look(relayed, now):
            self._tell(call, trouble)
        if relayed.answered and relayed.lines:
            if relayed.has_moved():
                self.on_moved(call)
            for _ in relayed.activity.feed(Counted(relayed.traffic()[0], relayed.held), now):
                self._time_out(call)
        elif not relayed.answered and now - relayed.activity.since >= self._timeouts[2]:
            self.call_ended(call, "nobody answered, and no message for too long")

    def _tell(self, call: CallKey, trouble: Trouble) -> None:
        self._log.info(
            "{kind} {media} in call {call}: nothing comes from {missing}",
            kind=trouble.kind,
            media=trouble.media,
            call=call.call_id,
            missing=trouble.missing or "either side",
        )
        try:
            self.on_trouble(call, trouble)
        except Exception:
            self._log.failure("on_trouble of call {call}", call=call.call_id)

    def _time_out(self, call: CallKey) -> None:
        self._timed_out += 1
        self._log.info("no media any more in call {call}", call=call.call_id)
        try:
            self.on_timeout(call)
        except Exception:
            self._log.failure("on_timeout of call {call}", call=call.call_id)
        self.call_ended(call, "media time-out")
