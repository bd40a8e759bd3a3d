"""The node's part in the cluster: it reports, keeps copies at the others, and carries orders and questions between them."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attrs import Factory, define, evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, DeferredLock, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.balance import codec
from voipcluster.balance.messages import (
    Account,
    Binding,
    Bindings,
    Drain,
    Member,
    PreferenceChange,
    Tallies,
    Tally,
)
from voipcluster.balance.report import Report
from voipcluster.errors import PeerError, UsageError
from voipcluster.net.envelope import Body
from voipcluster.net.link import CALL_TIMEOUT
from voipcluster.net.peer import RANDOM, PeerLink
from voipcluster.net.roster import Roster
from voipcluster.services.cluster.admission import Admission
from voipcluster.services.cluster.agreement import ANY, Agreement
from voipcluster.services.cluster.decided import Decided
from voipcluster.services.cluster.mesh import IMeshUser, Mesh
from voipcluster.services.cluster.received import Received, accounts_decided, binding_key
from voipcluster.services.cluster.replica import BATCH, Replica
from voipcluster.store.state import NodeState

SPONTANEOUS = 0.02  # seconds between two reports at least: 50/s
LEAVE_TIMEOUT = 1.0  # seconds that a stopping node waits for the others to have heard it
TOO_LONG = 513  # the status_hint of a message that the link does not carry


@define
class Replicas:
    """
    What one member has of us.

    @ivar tallies: L{None} for a member of a version that does not know them; C{decided}: by kind, the primary's to give.
    """

    bindings: Replica[Binding, Bindings]
    tallies: Replica[Tally, Tallies] | None = None
    decided: dict[str, Replica[Any, Any]] = Factory(dict)

    def __iter__(self) -> Iterator[Replica[Any, Any]]:
        yield self.bindings
        if self.tallies is not None:
            yield self.tallies
        yield from self.decided.values()


@implementer(IMeshUser)
class ClusterService(Service):
    """
    Full mesh of one node with the other members of its cluster.

    @ivar node: our name.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        state: NodeState,
        listen_address: str,
        port: int,
        period: float,
        callbacks: Any,
        wall_clock: Callable[[], float] = time.time,
        agreement: Agreement = ANY,
        random: Callable[[], float] = RANDOM,
    ) -> None:
        """
        @param state: of a member, with its epoch begun (L{voipcluster.services.cluster.admission.open_member}).
        @param period: seconds between reports.
        @param callbacks: an L{voipcluster.services.cluster.received.IClusterUser}.
        @param agreement: the settings that all nodes must have alike.
        @param random: from 0.0 to below 1.0.
        @raise UsageError: key material or the list of members is damaged.
        """
        self._agreement = agreement
        self._told_apart: dict[str, str] = {}  # by node: the differences that were said
        self._leaving = False
        self._reactor, self._state, self._period, self._user = reactor, state, period, callbacks
        self._changing = DeferredLock()
        self._decided = {one.kind: one for one in (accounts_decided(callbacks), *callbacks.decided())}
        self._received = Received(
            state.name, callbacks, self._decided, self.change if state.is_primary else None
        )
        self.mesh = Mesh(
            reactor, state, listen_address, port, self, self._received.kinds, wall_clock, agreement, random
        )
        self.node = self.mesh.node
        self._replicas: dict[str, Replicas] = {}
        self._report_sequence, self._reported = 0, -1.0
        self._report: Report | None = None  # as everybody has been told
        self._periodic: IDelayedCall | None = None
        self._spontaneous: IDelayedCall | None = None

    def use(self, period: float, agreement: Agreement) -> None:
        """Report so often from now on, and agree on these with nodes that link to us from now on."""
        periodic, now = self._periodic, self._reactor.seconds()
        # the next report of any kind says the new period: who then hears nothing for three of them takes us for lost
        if periodic is not None and periodic.active() and periodic.getTime() > now + period:
            periodic.reset(period)
        self._period, self._agreement = period, agreement
        if self.mesh.admission is not None:
            self.mesh.admission.agreement = agreement
        self._told_apart.clear()

    @property
    def port(self) -> int:
        return self.mesh.port

    @property
    def reports(self) -> int:
        """The sequence number of the latest report."""
        return self._report_sequence

    @property
    def roster(self) -> Roster:
        return self.mesh.roster

    def startService(self) -> None:
        """@raise UsageError: the address and port cannot be listened on."""
        self.mesh.start()
        super().startService()
        self.members_changed()
        phase = zlib.crc32(self.node.encode()) / 2**32  # so that not all nodes report at the same moment
        self._periodic = self._reactor.callLater(self._period * phase, self._report_periodically)

    def leave(self) -> Deferred[None]:
        """
        Tell the others that this node stops, so that they do not take it for lost; to be called before L{stopService}.

        @return: fires when they have heard, or after a second.
        """
        if self._leaving or not self.running:
            return succeed(None)
        self._leaving = True
        told = [link.call("leave", {}, LEAVE_TIMEOUT) for link in self.mesh.links.values() if link.up]
        return DeferredList(told, consumeErrors=True).addCallback(lambda _: None)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        for timer in (self._periodic, self._spontaneous):
            if timer is not None and timer.active():
                timer.cancel()
        for replicas in self._replicas.values():
            for replica in replicas:
                replica.link_lost()
        self._replicas.clear()
        return self.mesh.stop()

    # -- members

    def members(self) -> tuple[Member, ...]:
        """All members, this one included, in the order of joining."""
        return tuple(
            Member(name=one.name, role=one.role, address=one.address, port=one.port)
            for one in self.roster.members
        )

    def is_up(self, name: str) -> bool:
        """Whether our link to that member is up."""
        return self.mesh.is_up(name)

    def release_of(self, name: str) -> str | None:
        """Which voipcluster that member runs, as it said last; L{None} when it did not."""
        return self.mesh.releases.get(name) or None

    def create_token(self, ttl: float = 3600, uses: int = 1) -> str:
        """
        @return: C{TOKEN@ADDRESS} with which a node may join.
        @raise UsageError: this is not the primary.
        """
        return self._as_primary().create_token(self.mesh.address, self.port, ttl, uses)

    def forget(self, name: str) -> None:
        """
        Take a node off the list of members, at all nodes: its certificate counts no more.

        @raise UsageError: no such secondary, it is connected, or this is not the primary.
        """
        primary = self._as_primary()
        if self.mesh.is_running(name):
            raise UsageError(f"node {name} is running; stop it first: voipctl stop {name}")
        primary.remove(name)

    def _as_primary(self) -> Admission:
        if self.mesh.admission is None:
            raise UsageError(f"only the primary, node {self.mesh.primary}, can do this")
        return self.mesh.admission

    # -- what the mesh tells (IMeshUser)

    def greeting(self) -> Body:
        """
        What everybody has been told last, as a new report: the peer may have given us up since.

        The node measures its changes from what it told to everybody, so it is not asked for another one.
        """
        report = self._report or self._new_report()
        self._report_sequence += 1
        return {
            "report": codec.encode(evolve(report, seq=self._report_sequence)),
            "settings": self._agreement.own,
            "kinds": list(self._received.kinds),
        }

    def greeted(self, name: str, body: Body, calling: bool) -> None:
        if calling:
            self._received.begin_copy(name)
        self._received.take_greeting(name, body.get("report"))
        different = self._agreement.differences(body.get("settings"))
        if different != self._told_apart.get(name, ""):
            self._told_apart[name] = different
            if different:
                self._log.warn(
                    "node {name} has other settings, which must be the same on all nodes: {different}",
                    name=name,
                    different=different,
                )

    def link_up(self, link: PeerLink, answer: Body) -> None:
        self._user.node_changed(link.name, True)
        self._replicas[link.name] = replicas = self._copies_at(link, answer.get("kinds"))
        for replica in replicas:
            replica.link_up()

    def link_lost(self, name: str) -> None:
        for replica in self._replicas.pop(name, ()):
            replica.link_lost()
        self._user.node_changed(name, False)

    def left(self, name: str) -> None:
        self._user.node_left(name)

    def members_changed(self) -> None:
        self._user.members_changed(self.members())

    # -- reports

    def _new_report(self) -> Report:
        self._report_sequence += 1
        report: Report = self._user.report(self._report_sequence)
        self._report = evolve(report, node=self.node, epoch=self._state.epoch, seq=self._report_sequence)
        return self._report

    def report_now(self) -> None:
        """Report to everybody at once, but not more than 50 times per second."""
        if (
            not self.running
            or self._leaving
            or (self._spontaneous is not None and self._spontaneous.active())
        ):
            return
        wait = self._reported + SPONTANEOUS - self._reactor.seconds()
        if wait > 0:
            self._spontaneous = self._reactor.callLater(wait, self._send_report)
        else:
            self._send_report()

    def _report_periodically(self) -> None:
        self._periodic = self._reactor.callLater(self._period, self._report_periodically)
        self._send_report()

    def _send_report(self) -> None:
        if self._leaving:
            return
        self._reported = self._reactor.seconds()
        body = codec.encode(self._new_report())
        for link in list(self.mesh.links.values()):
            if link.up:
                link.call("report", body).addErrback(self.mesh.ignored, f"report to {link.name}")

    # -- copies

    def _copies_at(self, link: PeerLink, known: object) -> Replicas:
        """@param known: the kinds of messages that the member says it knows; one of an older version does not say."""
        kinds = known if isinstance(known, list) else ()

        def send(kind: str, message: Any) -> Deferred[None]:
            return self._send(link, kind, message)

        copies = Replicas(
            Replica(
                self._reactor, binding_key, self._user.full_bindings,
                lambda part: send("bindings", part),
                lambda values: send("binding-changes", Bindings(**self._sender(), items=values)), link.reset,
                lambda binding, waited: evolve(binding, age=binding.age + waited),
            )
        )  # fmt: skip
        if "tallies" in kinds:
            copies.tallies = Replica(
                self._reactor, lambda tally: tally.key,
                lambda: self._in_batches(Tallies, self._user.full_tallies()),
                lambda part: send("tallies", part),
                lambda values: send("tallies", Tallies(**self._sender(), items=values)), link.reset,
            )  # fmt: skip
        if self.mesh.admission is not None:
            for one in self._decided.values():
                if one.old or one.all_kind in kinds:
                    copies.decided[one.kind] = self._copy_of(one, link)
        return copies

    def _copy_of(self, one: Decided, link: PeerLink) -> Replica[Any, Any]:
        return Replica(
            self._reactor, one.key, lambda: self._in_batches(one.batch, one.full()),
            lambda part: self._send(link, one.all_kind, part),
            lambda values: self._send(link, one.changes_kind, one.batch(**self._sender(), items=values)), link.reset,
        )  # fmt: skip

    def _sender(self) -> dict[str, Any]:
        epoch, sequence = self.mesh.stamp()
        return {"node": self.node, "epoch": epoch, "seq": sequence}

    def _in_batches(self, batch: Any, values: Iterable[Any]) -> Iterator[Any]:
        items = tuple(values)
        for start in range(0, len(items) or 1, BATCH):
            end = start + BATCH
            yield batch(**self._sender(), items=items[start:end], complete=end >= len(items))

    def _send(self, link: PeerLink, kind: str, message: Any) -> Deferred[None]:
        """Send a message of many values; what is too long for the link goes in halves."""

        sent: Deferred[Any] = link.call(kind, codec.encode(message)).addCallback(lambda _: None)

        def halve(failure: Failure) -> Deferred[None]:
            if getattr(failure.value, "status_hint", 0) != TOO_LONG or len(message.items) < 2:
                failure.raiseException()
            middle = len(message.items) // 2
            last = evolve(message, items=message.items[middle:])
            first: Deferred[Any] = self._send(
                link, kind, evolve(message, items=message.items[:middle], complete=False)
            )
            return first.addCallback(lambda _: self._send(link, kind, last))

        return sent.addErrback(halve)

    def publish_binding(self, binding: Binding) -> None:
        """Tell everybody of a binding that was changed or (C{expires} 0) removed here."""
        for replicas in self._replicas.values():
            replicas.bindings.change(binding)

    def publish_tally(self, tally: Tally) -> None:
        """Tell everybody what this node counts now."""
        for replicas in self._replicas.values():
            if replicas.tallies is not None:
                replicas.tallies.change(tally)

    def publish(self, kind: str, value: Any) -> None:
        """At the primary: tell everybody of a value that was added, changed or (C{removed}) removed."""
        for replicas in self._replicas.values():
            if kind in replicas.decided:
                replicas.decided[kind].change(value)

    def change_account(self, change: Account | PreferenceChange) -> Deferred[None]:
        """Add, change or remove an account of the cluster, or change its preferences, as L{change} does."""
        return self.change("account", change)

    def change(self, kind: str, value: Any) -> Deferred[None]:
        """
        Add, change or remove something that the primary decides on, at whatever node this is called.

        @param kind: of a L{Decided}; C{value}: its message, or one of those that change a part of it.
        @return: fires when the primary has it on its disk; fails with L{PeerError} when the primary is not reachable.
        """
        one = self._decided[kind]
        if self.mesh.admission is not None:
            one.check(value)
            # one after the other, since each may build on what the one before has left
            changed: Deferred[None] = self._changing.run(self._decide, one, value)
            return changed
        primary = self.mesh.primary
        if not self.is_up(primary):
            return fail(
                PeerError(
                    f"{one.all_kind} are changed at the primary, and node {primary} is not reachable", 503
                )
            )
        return self.mesh.call(primary, codec.kind_of(value), codec.encode(value)).addCallback(lambda _: None)

    def change_all(self, kind: str, values: Sequence[Any]) -> Deferred[None]:
        """
        Add or change many values at once: all of them or, when one is wrong, none.

        @return: fires when they are on the disk; fails with L{PeerError} at any node but the primary.
        """
        one = self._decided[kind]
        if self.mesh.admission is None:
            return fail(
                PeerError(f"many {one.all_kind} are changed at the primary, node {self.mesh.primary}", 503)
            )
        one.check(*values)
        decided: list[Any] = []

        def decide() -> Deferred[None]:
            decided.extend(one.merged(value) for value in values)
            stored: Deferred[None] = maybeDeferred(one.store, tuple(decided))
            return stored.addCallback(tell)

        def tell(_: None) -> None:
            for value in decided:
                self.publish(one.kind, value)

        changed: Deferred[None] = self._changing.run(decide)
        return changed

    def adopt(self, kind: str, values: Sequence[Any]) -> Deferred[None]:
        """
        Keep values that somebody else has decided on, each with its version; at the primary the others are told of what is kept.

        @return: fires when they are on the disk.
        """
        one = self._decided[kind]
        assert one.adopt is not None, "they are in the shared database"
        adopt = one.adopt

        def keep() -> Deferred[None]:
            kept: Deferred[tuple[Any, ...]] = maybeDeferred(adopt, tuple(values))
            return kept.addCallback(tell)

        def tell(kept: tuple[Any, ...]) -> None:
            for value in kept:
                self.publish(one.kind, value)

        changed: Deferred[None] = self._changing.run(keep)
        return changed

    def _decide(self, one: Decided, change: Any) -> Deferred[None]:
        value = one.merged(change)
        stored: Deferred[None] = maybeDeferred(one.store, (value,))
        return stored.addCallback(lambda _: self.publish(one.kind, value))

    # -- orders and questions

    def drain(self, target: str, on: bool, stop: bool = False) -> Deferred[None]:
        """
        Order a node, which may be this one, to take nothing new or to take part again.

        @return: fires when it has heard; fails with L{PeerError} when it is not reachable.
        """
        order = Drain(**self._sender(), target=target, on=on, stop=stop)
        if target == self.node:
            return maybeDeferred(self._user.drain_requested, order)
        return self.mesh.call(target, "drain", codec.encode(order)).addCallback(lambda _: None)

    def ask(self, node: str, kind: str, params: Body, timeout: float = CALL_TIMEOUT) -> Deferred[Body]:
        """
        Ask a node, which may be this one, something that its C{IClusterUser.asked} answers.

        @return: the answer; fails with L{PeerError} when there is none.
        """
        if node == self.node:
            return maybeDeferred(self._user.asked, kind, params)
        return self.mesh.call(node, "ask", {"kind": kind, "params": params}, timeout)
