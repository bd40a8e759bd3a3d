"""Who may change something by a node's web page: the password that all nodes share, and the sessions that have ended."""

from __future__ import annotations

import contextlib
import ipaddress
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from voipcluster.balance import codec
from voipcluster.balance.messages import PagePassword, PagePasswords
from voipcluster.config import Config
from voipcluster.errors import PeerError, UsageError, VoipclusterError
from voipcluster.net.envelope import Body
from voipcluster.services.cluster.decided import Decided
from voipcluster.services.commands import INodeControl, perform
from voipcluster.store.state import NodeState
from voipcluster.web.gate import Gate, GateOptions
from voipcluster.web.hosts import Hosts
from voipcluster.web.passwords import SALT, hashed, is_hash

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

FILE = "web.password"  # in the state directory, mode 0600 as all there
KIND = "page-password"
ENDED = "web-logout"  # the question by which a node tells the others of a log-out
KEPT = "web-password"  # the question by which a primary that names none is told what another node has
NAME = PagePassword().name

_log = Logger()


class PageAccess:
    """
    Keeps the password in the state directory. The primary decides on it, and every node has a copy.

    An empty file says that there is to be none. No file says nothing: it takes the password away nowhere, as when the directory
    of a primary comes from a copy without that file.

    @ivar in_thread: runs what waits for the disk, or takes a tenth of a second.
    @ivar kept: what is kept of the password; empty when there is none.
    @ivar is_known: whether the file says what it is, or that there is none.
    @ivar is_missed: the primary has named none, and we know of it.
    """

    _log = Logger()

    def __init__(self, state: NodeState, in_thread: Callable[[Callable[[], Any]], Deferred[Any]]) -> None:
        self._state, self.in_thread = state, in_thread
        self._order = DeferredLock()  # a later password must not be overtaken on its way to the disk
        self.kept, self.is_known, self.is_missed = "", False, False
        with contextlib.suppress(UsageError):  # there is no such file
            self.kept, self.is_known = state.read(FILE).decode("ascii", "replace").strip(), True
        if self.kept and not is_hash(self.kept):
            self._log.error(
                "{path}: damaged, so nobody can log in at the web page: set the password again (voipctl web-password)",
                path=state.path(FILE),
            )
            self.kept, self.is_known = "", False

    def decided(self, missed: Callable[[], None] = lambda: None) -> Decided:
        """What the primary decides on. @param missed: called when L{is_missed} may have become true."""

        def listed(names: frozenset[str]) -> Deferred[None]:
            return self.listed(names).addCallback(lambda _: missed())

        return Decided(KIND, PagePasswords, lambda one: one.name, self.full, self.store, listed, _check)

    def full(self) -> Iterable[PagePassword]:
        """That there is none is said, too: who was away when it was removed has the old one."""
        return [PagePassword(kept=self.kept, removed=not self.kept)] if self.is_known else []

    def store(self, values: tuple[PagePassword, ...]) -> Deferred[None]:
        """@return: fires when the last of them is on the disk; it counts from then on. @raise PeerError: it is none."""
        for value in values:
            _check(value)
        return self._keep(values[-1].kept) if values else succeed(None)

    def listed(self, names: frozenset[str]) -> Deferred[None]:
        """The primary names none: it does not know of any, which is no order to forget ours."""
        self.is_missed = self.is_known and NAME not in names
        return succeed(None)

    def _keep(self, kept: str) -> Deferred[None]:
        done: Deferred[None] = self._order.run(self._write, kept)
        return done

    def _write(self, kept: str) -> Deferred[None]:
        if self.is_known and kept == self.kept:
            return succeed(None)

        def counts(_: object) -> None:
            self.kept, self.is_known = kept, True
            self._log.info(
                "the web page's password has {changed}; who was logged in no longer is",
                changed="changed" if kept else "been removed",
            )

        content = f"{kept}\n" if kept else ""
        written = self.in_thread(partial(self._state.write, FILE, content.encode("ascii")))
        return written.addCallback(counts)

    def new(self, password: str | None, octets: Callable[[int], bytes]) -> Deferred[PagePassword]:
        """@param password: L{None}: there is to be none. @raise UsageError: nobody should have this one."""
        if password is None:
            return succeed(PagePassword(removed=True))
        return self.in_thread(partial(hashed, password, octets(SALT))).addCallback(
            lambda kept: PagePassword(kept=kept)
        )


def _check(*values: PagePassword) -> None:
    """@raise PeerError: not a password as it is kept."""
    for value in values:
        if (
            value.name != NAME
            or (bool(value.kept) and not is_hash(value.kept))
            or bool(value.kept) == value.removed
        ):
            raise PeerError("not a password of the web page, as it is kept")


def gate_options(config: Config) -> GateOptions:
    """From C{[web]}."""
    web = config.web
    loopback = ipaddress.ip_address(config.web_host).is_loopback
    hosts = Hosts(web.hosts, config.cluster.domain, loopback=loopback, secure=web.tls)
    return GateOptions(read=web.read, session=web.session, hosts=hosts, secure=web.tls)


def make_gate(node: NodeParts, octets: Callable[[int], bytes], wall: Callable[[], float]) -> Gate:
    """The gate of a node's page: its orders are those of C{voipctl}, done by the same commands."""
    view: INodeControl = node.view
    access = node.page_access

    def ended(number: str, until: int) -> None:
        node.view.tell_others(ENDED, {"number": number, "until": until})

    return Gate(
        gate_options(node.config),
        node.core.cluster_key,
        lambda: access.kept,
        partial(perform, view),
        access.in_thread,
        ended,
        wall,
        node.core.seconds,
        octets,
    )


def offer(node: NodeParts) -> None:
    """The primary named no password, as one whose state directory has lost the file does: it is told of ours."""
    access, primary = node.page_access, node.cluster.mesh.primary
    if not access.is_missed or not node.cluster.is_up(primary):
        return

    def taken(_: Body) -> None:
        access.is_missed = False

    def not_taken(failure: Failure) -> None:
        failure.trap(
            VoipclusterError
        )  # the link is lost again, or the primary is of a version that takes none
        _log.debug("node {name}: {error}", name=primary, error=failure.getErrorMessage())

    asked = node.cluster.ask(primary, KEPT, told(access))
    asked.addCallback(taken).addErrback(not_taken)


def offered(node: NodeParts, params: Body) -> Deferred[Body] | Body:
    """Another node tells what it has; at a primary that knows better, nothing happens."""
    if node.page_access.is_known or not node.state.is_primary:
        return {}
    _log.info("the web page's password is taken from the copy of another node")
    return node.cluster.change(KIND, codec.decode(KIND, params)).addCallback(lambda _: {})


def told(access: PageAccess) -> Body:
    """What is kept, as a message; nothing when nothing is known."""
    return next((codec.encode(one) for one in access.full()), {})


def logged_out(gate: Gate, params: Body) -> None:
    """Another node tells of a session that has ended. @raise PeerError: it does not."""
    number, until = params.get("number"), params.get("until")
    if (
        isinstance(number, str)
        and len(number) <= 64
        and isinstance(until, int | float)
        and math.isfinite(until)
    ):
        gate.log_out_elsewhere(number, until)
        return
    raise PeerError("a session has a number, and a time at which it ends")
