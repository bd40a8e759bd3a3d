"""The node as the cluster link sees it: what other members tell us goes to the right part, and back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.balance import codec
from voipcluster.balance.membership import (
    Effect,
    LinkLost,
    MembersListed,
    NodeLeaves,
    ReportDropped,
    ReportReceived,
    RiderReceived,
    StateLearnt,
    Tick,
)
from voipcluster.balance.messages import (
    Account,
    Binding,
    Bindings,
    Drain,
    Member,
    PreferenceChange,
    StoredGateway,
    StoredGateways,
    Tally,
)
from voipcluster.balance.report import Report
from voipcluster.balance.rider import Rider
from voipcluster.balance.state import NodeState
from voipcluster.errors import PeerError, UsageError
from voipcluster.net.envelope import Body
from voipcluster.services.cluster.decided import Decided
from voipcluster.services.cluster.received import IClusterUser
from voipcluster.services.gateway.merging import check_change
from voipcluster.services.node import page_access
from voipcluster.services.node.first_copies import FirstCopies
from voipcluster.services.sequence import SequenceCheck
from voipcluster.services.tracing.recorder import call_ids_of
from voipcluster.services.transaction.lost_nodes import LostNodes
from voipcluster.services.transaction.transactions import ClientTransaction
from voipcluster.store.directory import ACCOUNT, GATEWAY
from voipcluster.web.slices import PAGE

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

ACCOUNTS, GATEWAYS = "the accounts", "the gateways"  # among the names of nodes, none of which has a blank


@implementer(IClusterUser)
class ClusterSide:
    """Joins the cluster link to one node."""

    _log = Logger()

    def __init__(self, node: NodeParts) -> None:
        self._node = node
        self.reports_dropped = 0
        cluster = node.config.cluster
        self.sequence = SequenceCheck(cluster.sequence if cluster.policy == "sequence" else ())
        self._lost = LostNodes(self._towards)
        self.first_copies = FirstCopies(self._not_come)

    def check_sequence(self, sequence: tuple[str, ...]) -> None:
        """These names of C{cluster.sequence} are to be nodes from now on."""
        self.sequence = SequenceCheck(sequence)
        self.sequence.members_changed([member.name for member in self._node.cluster.members()])

    def _not_come(self, come: Collection[str]) -> set[str]:
        """Of the other members, and of what the primary decides on: what has not come."""
        node, core = self._node, self._node.core
        wanted = set(core.addresses) - {core.node}
        return (wanted if node.state.is_primary else wanted | {ACCOUNTS, GATEWAYS}) - set(come)

    # -- reports and members

    def report(self, seq: int) -> Report:
        report = self._node.workload.report(seq)
        # nothing is to be handed over while what comes waits in the sockets
        return report if self._node.transport.running else evolve(report, state=NodeState.DRAIN)

    def report_received(self, report: Report) -> None:
        node, core = self._node, self._node.core
        before = core.epochs(report.node)
        self.learn(node.membership.feed(ReportReceived(report, core.seconds())))
        self._lost.heard(report.node, 0 < before < report.epoch)

    def tick(self, now: float) -> None:
        """Time has passed: who is silent now?"""
        membership = self._node.membership
        self.learn(membership.feed(Tick(now)))
        for other in membership:
            if other.is_silent(now):
                self._lost.silent(other.name)

    def nodes_alive(self) -> list[str]:
        """The nodes that are heard of, ours among them; those of them that take calls, if there are any."""
        node = self._node
        states: dict[str, NodeState] = {other.name: other.state for other in node.membership}
        states[node.core.node] = node.workload.own().state
        alive = [name for name, state in states.items() if state is not NodeState.UNKNOWN]
        return [name for name in alive if states[name] is not NodeState.DRAIN] or alive

    def _towards(self, name: str) -> list[ClientTransaction]:
        core = self._node.core
        address = core.addresses.get(name)
        return [] if address is None else core.transactions.towards(core.all_addresses(address))

    def rider_received(self, name: str, rider: Rider) -> None:
        """A hand-over, or its answer, said what the node is like now."""
        self.learn(self._node.membership.feed(RiderReceived(name, rider, self._node.core.seconds())))

    def node_changed(self, name: str, up: bool) -> None:
        if up:
            self._node.registrar.give_back.go_on(name)
            page_access.offer(self._node)
        else:
            self._node.registrar.copy_begins(name)
            self._lost.link_lost(name)
            self.learn(self._node.membership.feed(LinkLost(name)))

    def node_left(self, name: str) -> None:
        self.learn(self._node.membership.feed(NodeLeaves(name)))

    def members_changed(self, members: tuple[Member, ...]) -> None:
        node, core = self._node, self._node.core
        port = node.config.sip.port
        gone = set(core.addresses) - {member.name for member in members} - {core.node}
        core.addresses.update({m.name: (m.address, port) for m in members if m.name != core.node})
        for name in gone:
            del core.addresses[name]
            node.registrar.forget_node(name)
            node.tallies.forget(name)
            self._lost.forget(name)
        known = core.all_addresses(*core.addresses.values()) | core.names.own
        core.names = evolve(core.names, cluster=known)
        self.learn(node.membership.feed(MembersListed(members)))
        self._note_lost()
        self.sequence.members_changed([member.name for member in members])

    def _note_lost(self) -> None:
        node, addresses = self._node, self._node.core.addresses
        lost = [other.name for other in node.membership if other.state is NodeState.UNKNOWN]
        node.dialogs.lost = frozenset(addresses[name] for name in lost if name in addresses)

    def learn(self, effects: Sequence[Effect]) -> None:
        """Say what the table learnt."""
        for effect in effects:
            match effect:
                case StateLearnt(name, old, new, reason):
                    self._note_lost()
                    self._log.info(
                        "node {name} is {new}, was {old}: {reason}",
                        name=name, new=new.value, old=old.value, reason=reason,
                    )  # fmt: skip
                case ReportDropped(name, reason, dropped):
                    self.reports_dropped += 1
                    if dropped & (dropped - 1) == 0:  # 1, 2, 4, 8 ...: seen, and no flood
                        self._log.warn(
                            "report of node {name} dropped: {reason} ({dropped} so far)",
                            name=name, reason=reason, dropped=dropped,
                        )  # fmt: skip

    # -- registrations

    def publish(self, binding: Binding) -> None:
        """A registration changed here: told to all, or handed to the node that owns the client's flow, which tells all."""
        cluster, own = self._node.cluster, self._node.core.node
        if binding.node == own:
            cluster.publish_binding(binding)
            return
        asked = cluster.ask(binding.node, "binding", codec.encode(binding))
        asked.addErrback(self._not_taken_over, binding)

    def _not_taken_over(self, failure: Failure, binding: Binding) -> None:
        self._log.warn(
            "node {owner} did not take over the registration of {aor}: {error}",
            owner=binding.node,
            aor=binding.aor,
            error=failure.getErrorMessage(),
        )

    def offer(self, binding: Binding) -> Deferred[bool]:
        """A node is told of a registration of its own. @return: whether it was news to it."""
        asked = self._node.cluster.ask(binding.node, "binding", codec.encode(binding))
        return asked.addCallback(lambda answer: answer.get("taken") is True)

    def full_bindings(self) -> Iterable[Bindings]:
        return self._node.registrar.snapshot()

    def copy_begins(self, node: str) -> None:
        self._node.registrar.copy_begins(node)
        self._node.tallies.begin_copy(node)

    def bindings_received(self, update: Binding | Bindings) -> None:
        self._node.registrar.apply_remote(update)
        if isinstance(update, Bindings) and update.complete:
            self.first_copies.came(update.node)

    # -- accounts

    def full_accounts(self) -> Iterable[Account]:
        accounts = self._node.accounts
        return iter(accounts) if self._node.directory is None else accounts.with_removed()

    def account_with(self, change: Account | PreferenceChange) -> Account:
        accounts = self._node.accounts
        return accounts.stamped(accounts.account_with(change))

    def store_accounts(self, accounts: tuple[Account, ...]) -> Deferred[None]:
        directory = self._node.directory
        if directory is None:
            return self._node.accounts.put(*accounts)
        stored = self._node.accounts.put(*accounts, also=directory.queued(ACCOUNT, accounts))
        return stored.addCallback(lambda _: directory.poke())

    def adopt_accounts(self, accounts: tuple[Account, ...]) -> Deferred[tuple[Account, ...]]:
        known = self._node.accounts
        return known.put(*accounts).addCallback(lambda _: tuple(filter(known.versions.is_latest, accounts)))

    def accounts_listed(self, keys: frozenset[tuple[str, str]]) -> Deferred[None]:
        # what is gone says so itself where the database may know more than the primary
        kept = self._node.accounts.keep_only(keys) if self._node.directory is None else succeed(None)
        return kept.addCallback(lambda _: self.first_copies.came(ACCOUNTS))

    # -- gateways, and what else the primary decides on

    def decided(self) -> Sequence[Decided]:
        node = self._node
        return [
            Decided(
                "gateway",
                StoredGateways,
                lambda gateway: gateway.name,
                self._full_gateways,
                self._store_gateways,
                self._gateways_listed,
                lambda *gateways: check_change(node.config.gateways, node.stored_gateways, *gateways),
                merged=self._decided_gateway,
                adopt=self._adopt_gateways,
            ),
            node.page_access.decided(lambda: page_access.offer(node)),
        ]

    def _decided_gateway(self, change: StoredGateway) -> StoredGateway:
        """@raise UsageError: there is one already, and it was to be new; a row that stands for none may be replaced."""
        node = self._node
        if change.new and node.gateways.get(change.name) is not None:
            raise UsageError(f"gateway {change.name} exists already: somebody has added it meanwhile")
        return node.stored_gateways.stamped(change)

    def _full_gateways(self) -> Iterable[StoredGateway]:
        stored = self._node.stored_gateways
        return iter(stored) if self._node.directory is None else stored.with_removed()

    def _store_gateways(self, gateways: tuple[StoredGateway, ...]) -> Deferred[None]:
        directory = self._node.directory
        also = [] if directory is None else directory.queued(GATEWAY, gateways)
        stored = self._node.stored_gateways.put(*gateways, also=also).addCallback(self._gateways_changed)
        return stored if directory is None else stored.addCallback(lambda _: directory.poke())

    def _adopt_gateways(self, gateways: tuple[StoredGateway, ...]) -> Deferred[tuple[StoredGateway, ...]]:
        known = self._node.stored_gateways
        kept = known.put(*gateways).addCallback(self._gateways_changed)
        return kept.addCallback(lambda _: tuple(filter(known.versions.is_latest, gateways)))

    def _gateways_listed(self, names: frozenset[str]) -> Deferred[None]:
        if self._node.directory is not None:
            self.first_copies.came(GATEWAYS)
            return succeed(None)
        kept = self._node.stored_gateways.keep_only(names).addCallback(self._gateways_changed)
        return kept.addCallback(lambda _: self.first_copies.came(GATEWAYS))

    def _gateways_changed(self, _: None) -> None:
        self._node.merge_gateways()

    # -- counts over all nodes

    def full_tallies(self) -> Iterable[Tally]:
        return self._node.tallies.snapshot()

    def tally_received(self, node: str, tally: Tally) -> None:
        self._node.tallies.received(node, tally)

    # -- questions and orders

    def asked(self, kind: str, params: Body) -> Any:
        node = self._node
        match kind:
            case "binding":
                binding = codec.decode("binding", params)
                if binding.node != node.core.node:
                    raise PeerError(f"the binding is of node {binding.node[:64]!r}", 403)
                return {"taken": node.registrar.take_over(binding)}
            case "calls":
                part = _whole(params, "limit", PAGE), _whole(params, "after", 0)
                return {"calls": node.view.own_calls(_text(params, "call_id"), *part)}
            case "explain":
                return {"hops": node.view.own_explanations(_text(params, "call_id") or "")}
            case "trace":
                return node.view.tracing.own(_text(params, "call_id") or "", params.get("texts") is True)
            case "trace-switch":
                return node.view.tracing.switch(params)
            case "trace-status":
                return node.recorder.state()
            case "trace-follow":
                node.recorder.follow(call_ids_of(params.get("call_ids")))
                return {}
            case "records":
                since, until, after = (_number(params, name) for name in ("since", "until", "after"))
                return node.keeping.page(since, until, int(after))
            case "gateways":
                return {"gateways": node.view.own_gateways()}
            case "reload":
                return node.reloading.asked(params.get("dry") is True)
            case "counters":
                return {
                    "handed_over": node.placing.total_handed_over, "media": node.view.own_media(),
                    "database": node.view.own_database(),
                    "records": node.keeping.shown(),
                    "stopping": node.stopping,
                }  # fmt: skip
            case page_access.KEPT:
                return page_access.offered(node, params)
            case page_access.ENDED:
                page_access.logged_out(node.gate, params)
                return {}
        raise PeerError(f"question {kind[:32]!r} is not known here")

    def drain_requested(self, order: Drain) -> None:
        if order.stop:
            self._node.stop_when_empty()
        else:
            self._node.drain(order.on)


def _number(params: Body, name: str) -> float:
    value = params.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 62:
        raise PeerError(f"{name}: not a number")
    return value


def _whole(params: Body, name: str, missing: int) -> int:
    """A node of an earlier version does not say it."""
    return int(_number(params, name)) if name in params else missing


def _text(params: Body, name: str) -> str | None:
    value = params.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= 512):
        raise PeerError(f"{name}: not a text")
    return value
