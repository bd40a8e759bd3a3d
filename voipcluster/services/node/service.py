"""The life of one node: its parts started in order and stopped in reverse, and what it does from time to time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from voipcluster.balance.membership import Resumed
from voipcluster.balance.policy import IBalancingPolicy
from voipcluster.balance.state import NodeState
from voipcluster.config import Config
from voipcluster.errors import UsageError
from voipcluster.services.cluster.agreement import agreement_of
from voipcluster.services.node.parts import NodeParts
from voipcluster.services.node.records import ICallWatch
from voipcluster.services.node.reloading import Reloading
from voipcluster.services.node.surroundings import MACHINE, Surroundings
from voipcluster.services.policies import plugin_policies, policy_of
from voipcluster.services.sip.hooks import ICallHook

HISTORY = 1.0  # seconds between samples for the plot
STALL = 1.5  # seconds without a tick, of which there are two a second or more, after which this node was stopped itself
SESSION_LIMIT = 12 * 3600.0  # seconds after which a call without media, session timer and BYE is forgotten


class NodeService(NodeParts, Service):
    """
    A SIP proxy, registrar and RTP relay that shares its workload with the other nodes of its cluster.

    @param reactor: any reactor with UDP, TCP, UNIX sockets and threads.
    @param config: complete: with address and state directory, and with name and role at the first start.
    @param policies: by name, beside the built-in ones; those found by twisted.plugin when not given.
    @param hook: provides L{ICallHook}: may refuse or retarget each call that this node serves.
    @param stop: what C{voipctl stop} does; the default stops the reactor.
    @param founded: told at each start of a primary that is alone in its cluster, with a join token, C{TOKEN@ADDRESS}. It is
        a secret for an hour, so it is not logged.
    @param surroundings: what the node takes from the machine; for simulations.
    @param reread: gives the configuration as it is now, complete, or raises L{UsageError}; it is called in another thread, for
        C{voipctl reload} and C{reload}.
    @param watch: provides L{ICallWatch}: is told when a call has ended, and when its media goes one way.
    """

    name = "voipcluster"
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        policies: dict[str, IBalancingPolicy] | None = None,
        hook: ICallHook | None = None,
        stop: Callable[[], object] | None = None,
        founded: Callable[[str], object] = lambda token: None,
        surroundings: Surroundings = MACHINE,
        watch: ICallWatch | None = None,
        reread: Callable[[], Config] | None = None,
    ) -> None:
        self._policies = plugin_policies() if policies is None else policies
        policy = self.policy_of(config)
        super().__init__(
            reactor, config, policy, hook, stop or (lambda: IReactorCore(reactor).stop()), surroundings, watch
        )
        self._founded, self._has_joined = founded, False
        self.reloading = Reloading(self, reread)
        self._starting = False
        self._ticked = 0.0
        self._loops: list[LoopingCall] = []

    def policy_of(self, config: Config) -> IBalancingPolicy:
        """@raise UsageError: there is none of that name."""
        return policy_of(config, self._policies)

    # -- life

    def privilegedStartService(self) -> None:
        """
        Take the state directory, join or found the cluster, and open the SIP ports.

        @raise UsageError: one line that says why the node cannot start; nothing is left open.
        """
        super().privilegedStartService()
        node = self.config.node
        if not node.address:
            raise UsageError("node.address is missing")
        is_new = not (Path(node.state_dir) / "cluster.json").exists()
        self._state = self._surroundings.open_state(
            Path(node.state_dir),
            node.role,
            node.name,
            node.address,
            self.config.cluster.port,
            node.join or None,
            agreement_of(self.config).own,
        )
        self._has_joined = is_new and not self._state.is_primary
        try:
            self.make(self._state)
            self.transport.privilegedStartService()
        except BaseException as error:
            self._note_joining(error)
            self._abandon()
            raise

    def _note_joining(self, error: BaseException) -> None:
        """For who corrects what was wrong: the token was used up all the same."""
        if self._has_joined:
            error.add_note("the node has joined before this: start it again without --join")

    @inlineCallbacks
    def startService(self) -> Any:
        """@return: fires when the node serves; fails with L{UsageError} when it cannot."""
        if self._state is None:
            self.privilegedStartService()
        self._starting = True
        self._store.start()
        self.keeping.start()
        if self.directory is not None:
            self.directory.start()
        try:
            yield self.registrar.restore()
            yield from self._start_all()
        except GeneratorExit:
            raise  # it is thrown away while it waits: nothing can be waited for here
        except BaseException as error:
            self._note_joining(error)
            yield self._stop_all()
            raise
        if not self._starting:
            return  # it was stopped meanwhile
        self._starting = False
        super().startService()
        node, cluster = self.config.node, self.config.cluster
        self._log.info(
            "node {name} ({role}) of cluster {cluster} serves {domains} at {address}",
            name=self.core.node,
            role=self.state.role,
            cluster=self.state.cluster,
            domains=", ".join(cluster.domain),
            address=node.address,
        )
        for caution in self.config.cautions:
            self._log.warn("{caution}", caution=str(caution))
        restart = self.view.own_media()
        if restart["restart"] == "stops":
            self._log.info(
                "a restart will stop the media of calls for a moment: {reason}",
                reason=restart["restart_reason"],
            )
        if self.state.is_primary and len(self.cluster.members()) == 1:
            self._founded(self.cluster.create_token())

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return maybeDeferred(self._stop_all)

    def _parts(self) -> Sequence[Any]:
        """Everything with a life of its own, in the order of starting."""
        return (
            *self.watchers(), self.media, self.journal, *self.keeping.parts(), self.registrar, self.workload, self.cluster,
            *(() if self.directory is None else self.directory.parts()), self.admin, *self._web, *self._tls_files,
            self.transport, self.resolver, *self._backlog, self.probing, self.registering,
        )  # fmt: skip

    def _start_all(self) -> Generator[Any, Any, None]:
        listening = (self.transport, self.resolver, *self._backlog, self.probing, self.registering)
        for part in self._parts():
            if part not in listening:
                part.startService()
        self._start_loops()
        yield self.cluster_side.first_copies.wait(IReactorTime(self._reactor))
        if self._starting:
            for part in listening:
                part.startService()
            self._surroundings.kept.all_taken()
            self.cluster.report_now()

    def beat(self) -> None:
        """The period may be another one: look at the time as often as that needs."""
        if self._loops:
            self._stop_loops()
            self._start_loops()

    def _stop_loops(self) -> None:
        for loop in self._loops:
            if loop.running:
                loop.stop()
        self._loops.clear()

    def _start_loops(self) -> None:
        cluster = self.config.cluster
        for period, call in ((min(cluster.period, 1.0) / 2, self._tick), (HISTORY, self._sample)):
            loop = LoopingCall(call)
            loop.clock = self._reactor
            loop.start(period).addErrback(
                lambda failure: self._log.failure("a periodic task failed", failure=failure)
            )
            self._loops.append(loop)

    @inlineCallbacks
    def _stop_all(self) -> Any:
        if self._state is None:
            return  # it never came to have parts, or it has let go of them
        self._starting = False
        self._stop_loops()
        self.cluster_side.first_copies.end()
        yield self.cluster.leave()
        self._keep_sockets()
        self.keeping.hurry()
        if self.directory is not None:
            self.directory.hurry()
        for part in reversed(self._parts()):
            try:
                yield maybeDeferred(part.stopService)
            except Exception:
                self._log.failure("stopping {part} failed", part=type(part).__name__)
        self._abandon()

    def _keep_sockets(self) -> None:
        """For the calls that the next process goes on with."""
        trouble = self._surroundings.kept.keep(self.media.descriptors())
        if len(self.calls):
            self._log.info(
                "{calls} calls are left to the next process: {sockets}",
                calls=len(self.calls),
                sockets=f"media stops until it has started, for {trouble}" if trouble else "sockets are kept",
            )

    def _abandon(self) -> None:
        """Let go of what has no service of its own."""
        wheel = getattr(self, "wheel", None)
        if wheel is not None:
            wheel.stop()
        directory = getattr(self, "directory", None)
        if directory is not None:
            directory.close()
        keeping = getattr(self, "keeping", None)
        if keeping is not None:
            keeping.close()
        allowances = getattr(self, "allowances", None)
        if allowances is not None:
            allowances.stop()
        store = getattr(self, "_store", None)
        if store is not None:
            store.close()
        state, self._state = self._state, None
        if state is not None:
            state.close()

    # -- time

    def _tick(self) -> None:
        self.limiting.tick()
        now = self._reactor.seconds()
        if now - self._ticked >= STALL:
            self.cluster_side.learn(self.membership.feed(Resumed(now)))
        self._ticked = now
        self.cluster_side.tick(now)

    def _sample(self) -> None:
        now = self._reactor.seconds()
        workloads: dict[str, float | None] = {
            node.name: None if node.state is NodeState.UNKNOWN else node.value for node in self.membership
        }
        workloads[self.core.node] = self.workload.workload().value
        self.history.sample(now, workloads)
        self.calls.end_overdue(now, SESSION_LIMIT, self.media.watches)
