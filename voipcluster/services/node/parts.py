"""What one node is made of: every part from a L{Config}, and what the parts ask each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import classImplements

from voipcluster import __version__
from voipcluster.address import Flow
from voipcluster.balance.membership import Membership
from voipcluster.balance.messages import Tally
from voipcluster.balance.placement import Placement
from voipcluster.balance.policy import IBalancingPolicy
from voipcluster.balance.rider import Rider
from voipcluster.balance.state import NodeState
from voipcluster.config import Config
from voipcluster.errors import PeerError
from voipcluster.net.timers import TimerWheel
from voipcluster.services.admin import AdminService
from voipcluster.services.cluster.agreement import agreement_of
from voipcluster.services.cluster.members import ClusterService
from voipcluster.services.cluster.tallies import Tallies
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.gateway.merging import merged
from voipcluster.services.gateway.probing import ProbingService
from voipcluster.services.gateway.registering import RegisteringService
from voipcluster.services.hep.export import HepExport
from voipcluster.services.journal import CallJournal
from voipcluster.services.media.relay import CallKey
from voipcluster.services.node.cluster_side import ClusterSide
from voipcluster.services.node.directory import NodeDirectory
from voipcluster.services.node.limits import limiting_of
from voipcluster.services.node.listening import (
    listen_addresses,
    make_tls,
    make_web,
    own_names,
    own_ports,
)
from voipcluster.services.node.media import media_of
from voipcluster.services.node.number_side import NumberSide
from voipcluster.services.node.numbers import numbers
from voipcluster.services.node.overload import overload_of
from voipcluster.services.node.page_access import PageAccess, make_gate
from voipcluster.services.node.record_keeping import RecordKeeping
from voipcluster.services.node.records import CallRecord, CallRecords, ICallWatch
from voipcluster.services.node.resolving import make_resolving
from voipcluster.services.node.settings import (
    gates,
    levels,
    registration,
    session_timer,
    stream_limits,
    workload_limits,
)
from voipcluster.services.node.surroundings import Surroundings
from voipcluster.services.node.tracing import hep_of
from voipcluster.services.node.view import NodeView, durations
from voipcluster.services.registrar.registrar import RegistrarService
from voipcluster.services.registrar.writebehind import ILocationStore
from voipcluster.services.sip.access import Access, credentials_lookup
from voipcluster.services.sip.calls import ELSEWHERE, Call, CallTable
from voipcluster.services.sip.claims import Claims
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs
from voipcluster.services.sip.diverting import Wishes
from voipcluster.services.sip.hooks import ICallHook
from voipcluster.services.sip.placing import Placing
from voipcluster.services.sip.proxy import ProxyService
from voipcluster.services.sip.riding import Riding
from voipcluster.services.sip.serving import Serving
from voipcluster.services.sip.targets import Targets
from voipcluster.services.tracing.outline import Outlines
from voipcluster.services.tracing.recorder import Recorder
from voipcluster.services.transaction.backlog import BacklogService
from voipcluster.services.transaction.tap import Tap
from voipcluster.services.transaction.tls_files import TlsFilesService
from voipcluster.services.transaction.transactions import TransactionService
from voipcluster.services.transaction.transport import TransportService
from voipcluster.services.workload import Sources, WorkloadService
from voipcluster.sip.auth import Authenticator, nonce_sealer
from voipcluster.sip.proxy.routing import Names
from voipcluster.sip.transaction.events import Durations
from voipcluster.store.accounts import Accounts
from voipcluster.store.gateways import Gateways
from voipcluster.store.location import Locations
from voipcluster.store.state import NodeState as StoredState
from voipcluster.web.history import History
from voipcluster.web.metrics import NodeMetrics
from voipcluster.web.view import Row

if TYPE_CHECKING:
    from voipcluster.services.node.reloading import Reloading

classImplements(Locations, ILocationStore)  # the store is below us, and the interface sits with its caller

T = TypeVar("T")
HARD_STOP = 5  # times C{limits.transactions}: beyond it requests are refused unread
LAST_WORDS = 0.5  # seconds between a node's farewell and its end


class NodeParts:
    """
    The parts, as attributes; there are none before L{make}. Who gives them life is L{NodeService}.

    @ivar config: complete.
    """

    reloading: Reloading
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        policy: IBalancingPolicy,
        hook: ICallHook | None,
        stop: Callable[[], object],
        surroundings: Surroundings,
        watch: ICallWatch | None = None,
    ) -> None:
        self.config, self._watch = config, watch
        self._reactor, self._surroundings = reactor, surroundings
        self._policy, self._hook, self._stop = policy, hook, stop
        self._state: StoredState | None = None
        self.stopping = False

    @property
    def reactor(self) -> Any:
        return self._reactor

    @property
    def surroundings(self) -> Surroundings:
        return self._surroundings

    def in_thread(self, work: Callable[[], T]) -> Deferred[T]:
        """Do what takes long, and touches nothing of the node."""
        return self._surroundings.in_thread(self._reactor, work)

    @property
    def state(self) -> StoredState:
        assert self._state is not None, "the node has been started"
        return self._state

    def make(self, state: StoredState) -> None:
        """Make everything, in the order in which one part needs another; nothing listens or runs yet."""
        config, reactor = self.config, self._reactor
        clock = IReactorTime(reactor)
        key = state.read("cluster.key")
        surroundings = self._surroundings
        self._store = surroundings.open_store(reactor, state.database)
        shared = bool(config.database.url)
        self.accounts = Accounts(self._store.database, surroundings.wall, shared)
        self.wheel = TimerWheel(clock)
        t1 = config.sip.t1
        limits = config.limits
        self.limiting = limiting_of(self, clock.seconds)
        self.transactions = TransactionService(
            self.wheel,
            key,
            Durations(t1=t1, t2=8 * t1, t4=10 * t1, d=64 * t1, c=config.sip.timer_c),
            HARD_STOP * limits.transactions,
            self.limiting,
            limits.header_lines,
            limits.message_size,
        )
        address = (config.node.address, config.sip.port)
        self.tls, ports = make_tls(config), own_ports(config)
        self.transport = TransportService(
            reactor,
            self.transactions,
            listen_addresses(config),
            stream_limits(config),
            self.wheel,
            partial(surroundings.kept.open_udp, surroundings.open_udp),
            self.tls,
            surroundings.wall,
        )
        self.transport.refuse_from(self.limiting.refuses_from)
        domains = tuple(domain.lower() for domain in config.cluster.domain)
        names = own_names(config)
        self.core = SipCore(
            state.name, state.epoch, key, self.transport, self.transactions, self.wheel,
            Names(names, names, domains), {state.name: address}, clock.seconds, clock.seconds, ports=ports,
            max_breadth=config.sip.max_breadth, octets=surroundings.octets,
        )  # fmt: skip
        self.resolver, self.resolving = make_resolving(reactor, config, self.core)
        self.tallies = Tallies(self.is_heard, self._tell_tally)
        self.stored_gateways = Gateways(self._store.database, surroundings.wall, shared)
        self.page_access = PageAccess(state, self._store.run)
        self.gateways = GatewayBook((), self.tallies, surroundings.wall)
        self.merge_gateways()
        self._make_balance(state, clock)
        self._make_services(state, clock)
        self.probing = ProbingService(self.core, self.gateways, clock, surroundings.random)
        self.routing.suspect = self.probing.suspect
        self.registering = RegisteringService(
            self.core, self.gateways, clock, surroundings.random, self.cluster_side.nodes_alive
        )
        self._make_cluster(state)
        self.allowances.resume(self._store.minutes.read)
        self._make_faces(state)

    def _make_balance(self, state: StoredState, clock: IReactorTime) -> None:
        config = self.config
        cluster, limits, surroundings = config.cluster, config.limits, self._surroundings
        self.calls = CallTable(limits.unanswered_calls_per_user, limits.unanswered_calls_per_address)
        self.membership = Membership(state.name, cluster.period)
        self.core.epochs = self._epoch_of
        self.workload = WorkloadService(
            clock,
            node=state.name,
            epoch=state.epoch,
            sources=Sources(
                calls=self.calls.count,
                transactions=lambda: len(self.transactions),
                registrations=lambda: self.registrar.owned,
                packets=lambda: self.media.relayed_here,
                kernel_rate=lambda: self.media.kernel_rate,
                memory=surroundings.memory,
                cpu=surroundings.cpu,
                quota=surroundings.quota,
                queued=surroundings.queued,
                wall=surroundings.wall,
                waited=self.transport.waited,
                refused=lambda: self.overload.refused,
            ),
            limits=workload_limits(config),
            levels=levels(config),
            step=cluster.step,
            period=cluster.period,
            on_change=self._report_now,
            slow_start=cluster.slow_start,
            others=lambda: len(self.membership),
            controlled=config.overload.enabled,
        )
        self.overload = overload_of(self, clock.seconds, surroundings.octets, surroundings.random)
        self.placement = Placement(
            self.workload.own,
            self.membership,
            self._policy,
            gates(config),
        )
        self.core.riding = Riding(
            self.core.cluster_key,
            state.name,
            state.epoch,
            self.workload.own,
            lambda: self.cluster.reports,
            self._rider_received,
        )

    def _shorten(self) -> float:
        """By what share a registration is shortened now, so that those of an overload do not return as one wave."""
        if not self.overload.active:
            return 0.0
        return self.config.overload.expires_jitter * self._surroundings.random()

    def _rider_received(self, name: str, rider: Rider) -> None:
        self.cluster_side.rider_received(name, rider)

    def _make_services(self, state: StoredState, clock: IReactorTime) -> None:
        config, core = self.config, self.core
        media, sip, auth = config.media, config.sip, config.auth
        surroundings = self._surroundings
        self.media = media_of(self, clock)
        self.cluster_side = ClusterSide(self)
        self.registrar = RegistrarService(
            clock,
            state.name,
            state.epoch,
            registration(config),
            publish=self.cluster_side.publish,
            aor_of=core.canonical_aor,
            is_known=self.is_user if auth.required else lambda aor: True,
            flow_of=self._flow_of,
            store=cast(ILocationStore, Locations(self._store.database, surroundings.wall)),
            most=config.limits.registrations,
            refused=self.limiting.registration_refused,
        )
        self.registrar.offer = self.cluster_side.offer
        self.accounts.unusable = self.registrar.forget_user
        dialogs = self.dialogs = Dialogs(core)
        targets = Targets(core, dialogs, self.registrar, self.is_user, self.is_heard)
        authenticator = self.authenticator = Authenticator(
            nonce_sealer(core.cluster_key, state.name, state.epoch), auth.algorithms, auth.nonce_lifetime
        )
        self.access = Access(core, authenticator, credentials_lookup(self.accounts.ha1), auth.required)
        claims = self.claims = Claims(core, self.access, dialogs, self.registrar.lookup, auth.trust_source)
        self.serving = Serving(
            core, dialogs, targets, self.media, self.calls, claims, self._hook, sip.timer_c,
            session_timer(config),
            Wishes(lambda: core.names, self.accounts.preferences),
        )  # fmt: skip
        self.placing = Placing(
            core, self.placement, config.cluster.mode, surroundings.random, self.serve, sip.timer_c
        )
        self.placing.relays = media.relay != "off"
        self.placing.reached_at_address = not config.node.advertised
        self.registrar.shorten = self._shorten
        self.proxy = ProxyService(
            core,
            self.access,
            dialogs,
            claims,
            self.serving,
            self.placing,
            self.registrar,
            self.registrar.connection_lost,
        )
        self.transactions.connect(self.transport, self.proxy)
        self.proxy.arrived = self.workload.request_arrived
        self.serving.completed = self.workload.request_completed
        self.calls.changed = self.workload.touch
        self.media.on_timeout = lambda key: self.calls.end(key, "media time-out")
        self.journal = CallJournal(clock, self._store.calls, self._store.run, self.calls, self.media)
        self.calls.settled, self.media.on_moved = self.journal.changed, self.journal.moved
        self.calls.released = self._call_released
        self.records = CallRecords(config.limits.ended_calls, self._record_row, self._watch)
        self.keeping = RecordKeeping(self, self._reactor, self._store.run, self._store.database)
        self.directory: NodeDirectory | None = None
        if config.database.url:
            self.directory = NodeDirectory(self, self._reactor, self.keeping.open_shared)
        self.calls.over, self.media.on_trouble = self._call_over, self.records.trouble
        self.tap = Tap(self.transactions, self.transport, core.seconds)
        self.hep = hep_of(self, self._reactor, self.tap, surroundings.wall)
        trace = config.trace
        self.recorder = Recorder(clock, self.tap, surroundings.wall, trace.memory, trace.mask)
        self.outlines = Outlines(trace.outlines)
        side = self.number_side = NumberSide(self, clock)
        self.routing, self.channels = side.routing, side.channels
        self.allowances, self.incoming = side.allowances, side.incoming

    def _make_cluster(self, state: StoredState) -> None:
        config = self.config
        self.cluster = ClusterService(
            self._reactor,
            state,
            config.node.address,
            config.cluster.port,
            config.cluster.period,
            self.cluster_side,
            self._surroundings.wall,
            agreement_of(config),
            self._surroundings.random,
        )

    def _make_faces(self, state: StoredState) -> None:
        """What shows the node to its operator."""
        config, reactor = self.config, self._reactor
        self.history = History(reactor.seconds())
        self.metrics = NodeMetrics(__version__, state.name, state.role, lambda: numbers(self))
        self.view = NodeView(self)
        self.recorder.tell = self.view.tracing.tell
        self.admin = AdminService(reactor, str(state.directory), self.view)
        self.gate = make_gate(self, self._surroundings.octets, self._surroundings.wall)
        self._web = make_web(reactor, config, self.transport, self.tls, self.view, self.gate)
        self._tls_files = [] if self.tls is None else [TlsFilesService(IReactorTime(reactor), self.tls)]
        # without passwords nobody can be told from a stranger
        clock, known = IReactorTime(reactor), config.auth.required
        self._backlog = [BacklogService(clock, self.transport, self.limiting)] if known else []

    # -- what the parts ask each other

    def _tell_tally(self, tally: Tally) -> None:
        self.cluster.publish_tally(tally)

    def is_ours(self, aor: str) -> bool:
        """Whether an address of record has an account, or is registered."""
        return self.is_user(aor) or bool(self.registrar.lookup(aor))

    def queue(self, statement: Any, rows: list[dict[str, Any]]) -> Deferred[None]:
        """Write rows into the node's own database."""
        return self._store.database.write((statement, rows))

    def merge_gateways(self) -> None:
        """The gateways are those of the file and of the database, as they are now."""
        origins, faults = merged(self.config.gateways, self.stored_gateways)
        for fault in faults:
            self._log.error("{fault}", fault=fault)
        self.gateways.replace(origins.values())

    def keep_minutes(self, day: str, seconds: Mapping[str, int]) -> Deferred[None]:
        """Write what users have spent on a day into the state directory."""
        return self._store.run(partial(self._store.minutes.write, day, seconds))

    def _call_over(self, call: Call, reason: str) -> None:
        if self.number_side.counted:
            self.number_side.over(call, reason)
        if reason == ELSEWHERE:
            self.journal.ended(call.key)
            return
        media = self.media.last_snapshot(call.key) if self.media.relays else None
        record = CallRecord(call, self.core.seconds(), reason, media)
        if call.answered:
            self.records.add(record)
        self.outlines.add(call, record.ended, reason)
        if self.hep is not None:
            self.hep.call_over(record)
        book, journal = self.keeping.book, self.journal
        if book is None:
            journal.ended(call.key)
        else:
            # until its record is on the disk, the journal has the call: a node that is killed before writes it then
            book.add(record, partial(journal.ended, call.key) if journal.keeps(call.key) else None)

    def watchers(self) -> list[HepExport | Recorder]:
        """Those who look on at messages and have a life of their own."""
        return [self.recorder] if self.hep is None else [self.recorder, self.hep]

    def _record_row(self, record: CallRecord) -> Row:
        return durations(self.view.record_row(record), record.ended)

    def _call_released(self, key: CallKey, reason: str) -> None:
        self.media.call_ended(key, reason)

    def serve(self, accepted: Any) -> None:
        self.proxy.serve(accepted)

    @property
    def kept_trouble(self) -> str:
        """Why nobody keeps the sockets of this node while its process is exchanged; empty when somebody may."""
        return self._surroundings.kept.trouble

    def is_user(self, aor: str) -> bool:
        username, _, domain = aor.rpartition("@")
        return self.accounts.get(username, domain) is not None

    def is_called(self, uri_text: str) -> bool:
        """Whether a Request-URI is that of a user of ours."""
        try:
            _, _, local, aor = self.core.names.meaning(uri_text)
        except PeerError:
            return False
        return local and aor is not None and self.is_user(aor)

    def is_heard(self, node: str) -> bool:
        """Whether a node is heard of, so that something sent to it will arrive."""
        known = self.membership.get(node)
        return node == self.core.node or (known is not None and known.state is not NodeState.UNKNOWN)

    def may_name_other_hosts(self, host: str) -> bool:
        """Whether the word of who signals from there is enough for media elsewhere, as with carriers it mostly is."""
        if self.config.media.third_hosts:
            return True
        return self.limiting.is_trusted(host) or self.gateways.is_at(host)

    def _epoch_of(self, node: str) -> int:
        known = self.membership.get(node)
        return known.report.epoch if known is not None and known.report is not None else 0

    def _flow_of(self, token: str) -> Flow | None:
        """The flow that a token of ours names, while it can be sent over."""
        try:
            flow, epoch = self.core.flow_tokens.open(token)
        except PeerError:
            return None
        if flow.connection and (epoch != self.core.epoch & 0xFFFFFFFF or not self.transport.is_alive(flow)):
            return None
        return flow if self.transport.is_alive(flow) else None

    def _report_now(self) -> None:
        self.cluster.report_now()

    # -- draining

    def drain(self, on: bool) -> None:
        """Take nothing new, or take part again."""
        self.workload.drain(on)
        if not on:
            self.stopping = False
            self.calls.changed = self.workload.touch

    def stop_when_empty(self) -> None:
        """Drain, and end when the last call has ended."""
        self.drain(True)
        self.stopping = True
        self.calls.changed = self.calls_changed
        self.calls_changed()

    def calls_changed(self) -> None:
        """A call has begun or ended."""
        self.workload.touch()
        if self.stopping and not len(self.calls):
            self.stopping = False
            # from now on nobody asks us to pass something on to a phone; what was under way then is passed on yet
            self.cluster.leave()
            self._reactor.callLater(LAST_WORDS, self._stop)
