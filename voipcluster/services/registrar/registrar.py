"""The registrar of one node: its location table in time, on the cluster link and in the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from voipcluster.address import Flow
from voipcluster.balance import messages
from voipcluster.errors import ParseError
from voipcluster.services.registrar.binding_messages import from_message, removal_message, to_message
from voipcluster.services.registrar.give_back import GiveBack
from voipcluster.services.registrar.writebehind import ILocationStore, WriteBehind
from voipcluster.sip.gruu import Gruu
from voipcluster.sip.location import Binding, Location
from voipcluster.sip.message import Request
from voipcluster.sip.registrar import address_of_record, date_text, register
from voipcluster.sip.registration import Kind, RegisterResult, Settings, Source
from voipcluster.sip.removals import MARGIN, Removal, Removals
from voipcluster.sip.uri import SipUri

BATCH = 64  # bindings in one message of a snapshot: some 40 kB
PAUSE = 0.5  # s between two looks for what ran out; a lookup never gives what did
FULL = 60  # s after which a phone may ask again when there are too many registrations
GRACE = 5.0  # s: a binding younger than that is not gone because a snapshot does not name it yet


class RegistrarService(Service):
    """
    Holds the location table: answers REGISTER, tells the other nodes, lets bindings run out, writes behind to a store.

    @param clock: the reactor: its C{seconds()} are unix seconds.
    @param node: our name, C{epoch}: of this start.
    @param publish: called with each change made here, a L{messages.Binding}, to be sent to every other node.
    @param aor_of: the address of record that a To URI means here, or L{None} when its domain is not ours.
    @param is_known: whether an address of record has an account.
    @param most: bindings that are kept in all, 0: any number; C{refused}: called when one more was refused for that.
    @ivar shorten: asked for each REGISTER: see L{Settings}.
    @param flow_of: the flow that a token of ours names while it can be sent over, else L{None}.
    @ivar offer: tells a node of a binding that is its own, see C{take_over}, and gives what that returns there; fails with
        L{PeerError} when it was not told.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        node: str,
        epoch: int,
        settings: Settings,
        *,
        publish: Callable[[messages.Binding], object] = lambda update: None,
        aor_of: Callable[[SipUri], str | None] = SipUri.aor,
        is_known: Callable[[str], bool] = lambda aor: True,
        flow_of: Callable[[str], Flow | None] | None = None,
        store: ILocationStore | None = None,
        most: int = 0,
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        self.location = Location()
        self._clock, self._node, self._epoch = clock, node, epoch
        self._publish, self._aor_of, self._is_known, self._flow_of = publish, aor_of, is_known, flow_of
        self._refused = refused
        self.give_back = GiveBack(self._is_present, self._offer, self._not_taken)
        self.offer: Callable[[messages.Binding], Deferred[bool]] = lambda update: succeed(False)
        self.shorten: Callable[[], float] = lambda: 0.0
        self._seq = 0
        self._expiry: IDelayedCall | None = None
        self._removals = Removals(settings.max_expires)
        self.use(settings, most)
        self._snapshots: dict[
            str, set[tuple[str, str]]
        ] = {}  # of each node that is sending one: what it named
        self._writes = WriteBehind(clock, store) if store is not None else None

    def use(self, settings: Settings, most: int) -> None:
        """For registrations from now on; those that there are last as long as was said."""
        self._settings, self._most = settings, most
        self._removals.live_for(settings.max_expires)

    # -- requests and calls ------------------------------------------------------------------------------------------

    def register(
        self,
        request: Request,
        source: Source,
        user: str | None = None,
        service_route: Sequence[str] = (),
        gruus: Callable[[Binding], str] = lambda binding: "",
    ) -> RegisterResult:
        """
        Answer a REGISTER for a domain of ours, changes applied and published.

        @param user: the authenticated C{user@domain}, or L{None} when authentication is off.
        """
        now = self._clock.seconds()
        try:
            aor = address_of_record(request, self._aor_of)
        except ParseError:
            aor = None  # answered below
        if self._most and len(self.location) >= self._most and aor is not None and not self.lookup(aor):
            # who is registered may refresh and leave; another user is told when to come again (10.3, 21.5.4)
            self._refused()
            return RegisterResult(503, None, (("retry-after", str(FULL)),))
        current = [] if aor is None else self.location.bindings(aor, now)
        shorten = self.shorten()
        result = register(
            request,
            current,
            source,
            self._settings if not shorten else evolve(self._settings, shorten=shorten),
            now=now,
            date=date_text(now),
            user=user,
            aor_of=self._aor_of,
            is_known=self._is_known,
            service_route=service_route,
            gruus=gruus,
        )
        for change in result.changes:
            if change.kind is Kind.REMOVED:
                self._end(change.binding, now)
            else:
                self._put(change.binding)
                self._publish(to_message(change.binding, self._epoch, self._next(), now))
        return result

    def lookup(self, aor: str) -> list[Binding]:
        """The target set of an address of record, best first."""
        return self.location.lookup(aor, self._clock.seconds())

    def of_gruu(self, gruu: Gruu) -> list[Binding]:
        """The bindings that a GRUU leads to, best first; several when the phone has several flows (RFC 5627 section 5.4)."""
        return [b for b in self.lookup(gruu.aor) if gruu.leads_to(b) and not self._withdrawn(gruu, b)]

    def _withdrawn(self, gruu: Gruu, binding: Binding) -> bool:
        """A temporary GRUU ends with the registration, also when the phone comes back with the same Call-ID."""
        removal = self._removals.of(binding.aor, binding.key) if gruu.instance is None else None
        return removal is not None and gruu.issued < removal.at - MARGIN

    def registrations(
        self, aor: str | None = None, after: int = 0, count: int = sys.maxsize
    ) -> Iterator[Binding]:
        """The bindings of one address of record that have not run out, or a part of all, see L{Location.page}."""
        now = self._clock.seconds()
        found = self.location.page(after, count) if aor is None else self.lookup(aor)
        return (binding for binding in found if binding.expires_at > now)

    @property
    def supported(self) -> str:
        """The option tags that a REGISTER may require, as a value of Supported."""
        return ", ".join(self._settings.extensions)

    @property
    def owned(self) -> int:
        """How many bindings have their flow at this node."""
        return self.location.count_of(self._node)

    def connection_lost(self, flow: Flow) -> list[Binding]:
        """A stream connection closed: its bindings end with it, everywhere (RFC 5626 section 4.2.2)."""
        lost = self.location.of_connection(flow.connection) if flow.connection else []
        for binding in lost:
            self._end(binding, binding.registered_at)
        return lost

    def forget_user(self, aor: str) -> None:
        """
        Whose account may not be used any more is not reached: all its bindings end here, and ours everywhere.

        Every node hears of the account and does the same; ours are told besides, since a node may have it from us that the
        phone was still let in when it had heard already.
        """
        now = self._clock.seconds()
        gone = self.location.bindings(aor, now)
        for binding in gone:
            if binding.node == self._node:
                self._end(binding, now)
            else:
                self._remove(binding)
        if gone:
            self._log.info(
                "{aor} may not register any more: {count} registrations are forgotten",
                aor=aor,
                count=len(gone),
            )

    # -- the cluster link --------------------------------------------------------------------------------------------

    def snapshot(self) -> Iterator[messages.Bindings]:
        """
        All bindings that this node owns and all removals that it knows of, in batches; for a node that just came up.

        Each batch is made when it is asked for, so that its ages are true when it is sent.
        """
        owned = self.location.of_node(self._node)
        all_of_it: list[Binding | Removal] = [*owned, *self._removals]
        for start in range(0, len(all_of_it) or 1, BATCH):
            batch = all_of_it[start : start + BATCH]
            yield messages.Bindings(
                node=self._node,
                epoch=self._epoch,
                seq=self._next(),
                items=tuple(chain.from_iterable(map(self._present, batch))),
                complete=start + BATCH >= len(all_of_it),
            )

    def _present(self, what: Binding | Removal) -> Iterator[messages.Binding]:
        """What is to be told of one entry now: nothing when it has gone, or moved to another node."""
        now = self._clock.seconds()
        if isinstance(what, Removal):
            yield removal_message(what, self._node, self._epoch, self._seq, now)
            return
        present = self.location.find(what.aor, what.contact, what.instance, what.reg_id)
        if present is not None and present.node == self._node and present.expires_at > now:
            yield to_message(present, self._epoch, self._seq, now)

    def apply_remote(self, update: messages.Binding | messages.Bindings) -> None:
        """Take over what another node tells: one change, or a part of its snapshot."""
        now = self._clock.seconds()
        if isinstance(update, messages.Binding):
            if update.node in self._snapshots:
                self._snapshots[update.node].add((update.aor, update.contact))
            self._apply(update, now, now)
            return
        named = self._snapshots.setdefault(update.node, set())
        for item in update.items:
            # a node that does not tell how old a binding is: most were granted the longest time
            self._apply(item, now, min(now, now + item.expires - self._settings.max_expires))
            if item.expires:
                named.add((item.aor, item.contact))
        if update.complete:
            del self._snapshots[update.node]
            unnamed = [b for b in self.location.of_node(update.node) if (b.aor, b.contact) not in named]
            self.give_back.begin(update.node, unnamed)

    def _is_present(self, binding: Binding) -> bool:
        known = self.location.find(binding.aor, binding.contact, binding.instance, binding.reg_id)
        return known is binding and binding.expires_at > self._clock.seconds()

    def _offer(self, binding: Binding) -> Deferred[bool]:
        return self.offer(to_message(binding, self._epoch, self._next(), self._clock.seconds()))

    def _not_taken(self, binding: Binding) -> None:
        """Its owner does not want it, so it is over; what is young it may not have heard of yet."""
        if binding.registered_at <= self._clock.seconds() - GRACE:
            self._remove(binding)

    def take_over(self, update: messages.Binding) -> bool:
        """
        Another node answered the REGISTER of a client whose flow is ours, or heard of it before we crashed: the binding is ours,
        and we tell all. @return: whether it was news.
        """
        now = self._clock.seconds()
        if not self._apply(update, now, now):
            return False
        self._publish(evolve(update, epoch=self._epoch, seq=self._next()))
        return True

    def copy_begins(self, node: str) -> None:
        """A node begins a snapshot, or the link to it broke: what it told of one is void. Its bindings stay."""
        self._snapshots.pop(node, None)

    def forget_node(self, node: str) -> None:
        """A node left the cluster for good, and its flows with it."""
        self.copy_begins(node)
        self.give_back.forget(node)
        for binding in self.location.of_node(node):
            self._remove(binding)

    def _apply(self, update: messages.Binding, now: float, registered_at: float) -> bool:
        """
        Whether it was news.

        @param registered_at: when the REGISTER came that it speaks of, if it does not tell its age.
        """
        old = self.location.find(update.aor, update.contact, update.instance, update.reg_id)
        if update.age >= 0.0:
            registered_at = now - update.age
        if update.expires == 0:
            if update.age < 0.0 and old is not None:
                registered_at = old.registered_at  # it ends its own Call-ID only
            removal = Removal(
                update.aor, update.contact, update.instance, update.reg_id, update.call_id, update.cseq, registered_at
            )  # fmt: skip
            if old is not None:
                if not removal.ends(old):
                    return False
                self._remove(old)
            self._removals.note(removal, now)
            return True
        new = from_message(update, now, registered_at)
        if (old is not None and not new.replaces(old)) or self._removals.covers(new):
            return False
        if new.node == self._node and new.flow_token and self._flow_of is not None:
            flow = self._flow_of(new.flow_token)
            if flow is None:  # the client went away while another node answered its REGISTER
                self._end(new, new.registered_at)
                return False
            new = evolve(new, flow=flow)
        self._put(new)
        return True

    def _end(self, binding: Binding, at: float) -> None:
        """
        A binding ends here, whoever owns its flow: its owner may be dead, so everybody is told.

        @param at: see L{Removal}.
        """
        now = self._clock.seconds()
        removal = Removal(
            binding.aor, binding.contact, binding.instance, binding.reg_id, binding.call_id, binding.cseq, at
        )  # fmt: skip
        self._remove(binding)
        self._removals.note(removal, now)
        self._publish(removal_message(removal, self._node, self._epoch, self._next(), now))

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    # -- time and store ----------------------------------------------------------------------------------------------

    def restore(self) -> Deferred[int]:
        """
        Take back what the store holds, before the node listens. Stream connections did not outlive the process.

        @return: how many bindings came back.
        """
        if self._writes is None:
            return succeed(0)
        return self._writes.load().addCallback(self._restored)

    def _restored(self, rows: Sequence[Binding]) -> int:
        now = self._clock.seconds()
        count = 0
        for row in rows:
            flow = self._flow_of(row.flow_token) if self._flow_of is not None else None
            reachable = flow is not None or not row.flow_token or self._flow_of is None
            if row.expires_at > now and row.node == self._node and reachable:
                self.location.put(evolve(row, flow=flow))
                count += 1
            elif self._writes is not None:
                self._writes.removed(row)
        self._schedule()
        return count

    def _put(self, binding: Binding) -> None:
        old = self.location.put(binding)
        if self._writes is not None:
            if (
                old is not None
                and old.node == self._node
                and (old.key, self._node) != (binding.key, binding.node)
            ):
                self._writes.removed(old)
            if binding.node == self._node:
                self._writes.put(binding)
        self._schedule()

    def _remove(self, binding: Binding) -> None:
        gone = self.location.remove(binding)
        if gone is not None and gone.node == self._node and self._writes is not None:
            self._writes.removed(gone)
        self._schedule()

    def _schedule(self) -> None:
        """Keep one call at the time the next binding may run out."""
        due = self.location.next_due
        if self._expiry is not None and self._expiry.active():
            if due is not None and self._expiry.getTime() <= due + PAUSE:
                return  # when it is early it finds nothing and waits anew
            self._expiry.cancel()
        self._expiry = None
        if due is not None and self.running:
            self._expiry = self._clock.callLater(max(PAUSE, due - self._clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._expiry = None
        for binding in self.location.expire(self._clock.seconds()):
            if self._writes is not None and binding.node == self._node:
                self._writes.removed(binding)
        self._schedule()

    def startService(self) -> None:
        super().startService()
        self._schedule()

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        if self._expiry is not None and self._expiry.active():
            self._expiry.cancel()
        self._expiry = None
        return self._writes.stop() if self._writes is not None else None
