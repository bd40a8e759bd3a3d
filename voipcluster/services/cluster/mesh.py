"""
The full mesh: who the members are, a link to each of them, and the certificates that they show.

Every node calls every other one over a link of its own and is called by it over another. The messages that are dealt with here
are C{hello} (each link begins with it), C{ping}, C{roster}, C{renew} and C{leave} (the last one of a node that stops).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import Interface

from voipcluster import __version__
from voipcluster.address import is_ip, join_host_port
from voipcluster.balance.protocol import Spoken, spoken
from voipcluster.errors import PeerError, UsageError
from voipcluster.net import certificates, roster
from voipcluster.net.certificates import Certified
from voipcluster.net.envelope import Body, Ordering
from voipcluster.net.gate import GateFactory, LogLimiter
from voipcluster.net.join import JoinProtocol
from voipcluster.net.link import CALL_TIMEOUT, serve_with
from voipcluster.net.peer import RANDOM, PeerLink
from voipcluster.net.roster import Roster
from voipcluster.net.tls import LinkTls
from voipcluster.services.cluster.admission import Admission, load_identity, load_roster
from voipcluster.services.cluster.agreement import ANY, Agreement
from voipcluster.services.cluster.renewal import renewed
from voipcluster.store.state import PRIMARY, NodeState

RENEWAL_CHECK = 3600.0  # seconds

Handler = Callable[[Certified, Body], Any]


class IMeshUser(Interface):
    """What is done with the links."""

    def greeting() -> Body:
        """What a hello says beyond what the mesh needs."""

    def greeted(name: str, body: Body, calling: bool) -> None:
        """The hello of a member that is C{calling}, or its answer to ours. L{PeerError} when it cannot be understood."""

    def link_up(link: PeerLink, answer: Body) -> None:
        """A link of ours is up and greeted, and that was the C{answer}."""

    def link_lost(name: str) -> None:
        """A link that was up is lost, or the member is gone."""

    def left(name: str) -> None:
        """A member says that it stops, as its operator wants."""

    def members_changed() -> None:
        """C{Mesh.roster} is a new one."""


class Mesh:
    """
    @ivar node: our name.
    @ivar roster: the members, as the primary has signed them.
    @ivar port: of our link; the true one after a start with 0.
    @ivar releases: what each node said last that it runs, this one included.
    @ivar admission: at the primary only.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        state: NodeState,
        address: str,
        port: int,
        user: Any,
        handlers: dict[str, Handler],
        wall_clock: Callable[[], float] = time.time,
        agreement: Agreement = ANY,
        random: Callable[[], float] = RANDOM,
    ) -> None:
        """
        @param user: an L{IMeshUser}.
        @param handlers: of the other messages, by kind.
        @param agreement: what a node must have like this one to be let in.
        @param random: from 0.0 to below 1.0.
        @raise UsageError: key material or the list of members is damaged.
        """
        self._reactor, self._state, self.address, self.port = reactor, state, address, port
        self._user, self._wall_clock, self._random = user, wall_clock, random
        self.node: str = state.name
        self._tls = LinkTls(load_identity(state))
        self.roster = load_roster(state, self._tls.identity)
        self.admission: Admission | None = None
        if state.role == PRIMARY:
            self.admission = Admission(
                state, self._tls.identity, self._take_roster, self.is_running, wall_clock, agreement
            )
        self.links: dict[str, PeerLink] = {}
        self._spoken = Spoken(__version__)
        self.releases = {self.node: __version__}
        self._epochs: dict[str, int] = {}  # of the life that each link of ours is connected to
        self._greeted: set[str] = set()
        self._ordering, self._limiter = Ordering(), LogLimiter()
        self._sequence = 0
        self._moved_from = ""
        self._renewal: IDelayedCall | None = None
        self._listening: IListeningPort | None = None
        self._gates = GateFactory(
            reactor,
            lambda: self._tls.identity,
            self._check_member,
            lambda peer: serve_with(peer, self._ordering, self._receive, self._dropped),
            partial(JoinProtocol, self.admission.answer) if self.admission else None,
            wall_clock,
        )
        own: dict[str, Handler] = {
            "hello": self._hello,
            "ping": lambda peer, body: None,
            "roster": lambda peer, body: self._roster_received(body),
            "renew": self._renew,
            "leave": self._leave,
        }
        self._handlers = {**handlers, **own}

    # -- life

    def start(self) -> None:
        """@raise UsageError: the address and port cannot be listened on."""
        where = join_host_port(self.address, self.port)
        factory = TLSMemoryBIOFactory(self._tls, False, self._gates, self._reactor)
        try:
            listening = self._reactor.listenTCP(self.port, factory, 200, self.address)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            raise UsageError(f"cluster link: cannot listen on {where}: {reason}") from None
        self._listening, self.port = listening, listening.getHost().port
        self._log.info("cluster link listens on {where}", where=join_host_port(self.address, self.port))
        own = self.roster.get(self.node)
        if own is not None and (own.address, own.port) != (self.address, self.port):
            self._moved_from = join_host_port(own.address, own.port)
        if self.admission is not None:
            self.admission.move(self.node, self.address, self.port)
        self._make_links()
        self._renewal = self._reactor.callLater(60.0, self._check_renewal)

    def stop(self) -> Deferred[None]:
        """@return: fires when nothing listens any more; nothing is called after this."""
        listening, self._listening = self._listening, None
        if listening is None:
            return succeed(None)
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None
        for link in self.links.values():
            link.stop()
        self.links.clear()
        self._greeted.clear()
        self._gates.close()
        return listening.stopListening() or succeed(None)

    # -- members

    @property
    def primary(self) -> str:
        return next((one.name for one in self.roster.members if one.role == PRIMARY), "")

    def is_up(self, name: str) -> bool:
        """Whether our link to that member is up and greeted."""
        return name in self._greeted

    def is_running(self, name: str) -> bool:
        """Whether that member is connected to us in one way at least."""
        return self.is_up(name) or self._gates.is_connected(name)

    def _check_member(self, peer: Certified) -> None:
        if peer.name == self.node:
            raise PeerError(f"it says it is this node, {peer.name!r}", 403)
        self.roster.check(peer)

    def _take_roster(self, changed: Roster, signed: dict[str, str]) -> None:
        """A newer roster, which is saved already."""
        old, self.roster = self.roster, changed
        for before in old.members:
            now = changed.get(before.name)
            if now != before:  # removed, moved or joined anew: our connection is of no use
                self._drop_link(before.name)
            if now is None or now.key != before.key:
                self._ordering.forget(before.name)
                self._gates.close_node(before.name, "its certificate counts no more")
        if self._listening is None:
            return
        self._make_links()
        self._user.members_changed()
        for link in self.links.values():
            if link.up:
                link.call("roster", dict(signed)).addErrback(self.ignored, f"roster to {link.name}")

    def _roster_received(self, signed: object) -> None:
        received = roster.verify(signed, self._tls.identity.ca)
        if received.cluster != self._state.cluster or received.generation <= self.roster.generation:
            return
        if self.admission is not None:
            raise PeerError("this is the primary; its own roster is the right one")
        assert isinstance(signed, dict), "it was verified"
        kept = {"roster": signed["roster"], "signature": signed["signature"]}
        if received.get(self.node) is None:
            self._log.critical("this node was removed from the cluster")
        self._state.save_roster(kept)
        self._take_roster(received, kept)

    # -- links

    def _make_links(self) -> None:
        for member in self.roster.members:
            if member.name != self.node and member.name not in self.links:
                link = PeerLink(
                    self._reactor, self._tls, member.name, partial(self._where, member.name), self.stamp,
                    self._link_up, self._link_lost, self.address, self._random, self._wall_clock,
                    partial(self._advice, member.name),
                )  # fmt: skip
                self.links[member.name] = link
                link.start()

    def _advice(self, name: str) -> str:
        """Of two that have moved at once neither knows where the other one is, and nobody else tells it when they are alone."""
        if not self._moved_from or name in self.releases:
            return ""
        return (
            f"This node was at {self._moved_from} before: if {name} has moved, too, start one of the two at its former address "
            "until they are linked; or forget it and let it join again"
        )

    def _where(self, name: str) -> tuple[str, int]:
        member = self.roster.get(name)
        assert member is not None, "links of removed members are dropped"
        if (member.address, member.port) == (self.address, self.port):
            here = join_host_port(self.address, self.port)
            raise PeerError(
                f"{here}, where it was last, is the address of this node now, so both have moved at once. Start one of the two "
                "at its former address until they are linked; or forget it and let it join again"
            )
        return member.address, member.port

    def _drop_link(self, name: str) -> None:
        link = self.links.pop(name, None)
        if link is not None:
            link.stop()
            self._forget_link(name)

    def stamp(self) -> tuple[int, int]:
        """Epoch and sequence number of the next message."""
        self._sequence += 1
        return self._state.epoch, self._sequence

    def call(self, node: str, kind: str, body: Body, timeout: float = CALL_TIMEOUT) -> Deferred[Body]:
        """@return: the answer; fails with L{PeerError}."""
        link = self.links.get(node)
        if link is None:
            return fail(PeerError(self._why_no_link(node), 404))
        return link.call(kind, body, timeout)

    def _why_no_link(self, node: str) -> str:
        names = sorted(one.name for one in self.roster.members)
        if node not in names:
            return f"there is no node {node[:64]}; there are {', '.join(names)}"
        return f"{node} is this node" if node == self.node else f"{self.node} has no link to {node}"

    def _greeting(self) -> Body:
        return {
            **self._spoken.told(), "epoch": self._state.epoch, "address": self.address, "port": self.port,
            "generation": self.roster.generation, **self._user.greeting(),
        }  # fmt: skip

    def _link_up(self, link: PeerLink) -> None:
        link.call("hello", self._greeting()).addCallback(self._answered, link).addErrback(
            self._not_greeted, link
        )

    def _answered(self, answer: Body, link: PeerLink) -> None:
        if self.links.get(link.name) is not link or not link.up:
            return
        self._check_spoken(link.name, answer)
        epoch, generation = answer.get("epoch"), answer.get("generation")
        if type(epoch) is int:
            self._epochs[link.name] = epoch
        if "roster" in answer:
            self._roster_received(answer["roster"])
        elif type(generation) is int and generation < self.roster.generation:
            link.call("roster", dict(self._state.roster)).addErrback(self.ignored, f"roster to {link.name}")
        if self.links.get(link.name) is link:  # the roster may have changed that
            self._greeted.add(link.name)
            self._user.link_up(link, answer)
            self._user.greeted(link.name, answer, False)

    def _not_greeted(self, failure: Failure, link: PeerLink) -> None:
        self.ignored(failure, f"greeting of {link.name}")
        link.reset("its greeting is not understood")

    def _link_lost(self, link: PeerLink, reason: str) -> None:
        self._forget_link(link.name)

    def _forget_link(self, name: str) -> None:
        self._epochs.pop(name, None)
        if name in self._greeted:
            self._greeted.remove(name)
            self._user.link_lost(name)

    def _receive(self, peer: Certified, kind: str, body: Body) -> Any:
        handler = self._handlers.get(kind)
        if handler is None:
            # a newer one may know it
            raise PeerError(f"message {kind[:32]!r} is not known to voipcluster {__version__}")
        return handler(peer, body)

    def _check_spoken(self, name: str, body: Body) -> None:
        """@raise PeerError: a node whose greeting this is cannot be understood, or would not understand us."""
        theirs = spoken(body)
        self.releases[name] = theirs.release
        try:
            self._spoken.check(theirs)
        except PeerError as error:
            raise PeerError(f"node {name}: {error}") from None

    def _hello(self, peer: Certified, body: Body) -> Body:
        self._check_spoken(peer.name, body)
        epoch, generation, address, port = (
            body.get(key) for key in ("epoch", "generation", "address", "port")
        )
        link = self.links.get(peer.name)
        if link is not None:
            if link.up and type(epoch) is int and self._epochs.get(peer.name, epoch) < epoch:
                link.reset("the node has restarted")
            link.hurry()
        if (
            self.admission
            and isinstance(address, str)
            and is_ip(address)
            and type(port) is int
            and 0 < port < 65536
        ):
            self.admission.move(peer.name, address, port)
        self._user.greeted(peer.name, body, True)
        answer = self._greeting()
        if type(generation) is int and generation < self.roster.generation:
            answer["roster"] = dict(self._state.roster)
        return answer

    def _leave(self, peer: Certified, body: Body) -> None:
        link = self.links.get(peer.name)
        if link is not None:
            link.leaving = True
        self._user.left(peer.name)

    def ignored(self, failure: Failure, what: str) -> None:
        """For errbacks: the link is made anew, or it goes without; but it is said, once per 10 s."""
        if self._limiter.take(what, self._reactor.seconds()) is not None:
            self._log.warn("cluster link: {what}: {error}", what=what, error=failure.getErrorMessage())

    def _dropped(self, node: str, reason: str) -> None:
        left_out = self._limiter.take(f"dropped {node}", self._reactor.seconds())
        if left_out is not None:
            self._log.warn(
                "message of node {node} dropped: {reason} ({left_out} more were not logged)",
                node=node, reason=reason, left_out=left_out,
            )  # fmt: skip

    # -- certificates

    def _renew(self, peer: Certified, body: Body) -> Body:
        request = body.get("request")
        if self.admission is None or not isinstance(request, str):
            raise PeerError("certificates are renewed at the primary, with a request", 403)
        return {"certificate": self.admission.renew(peer.name, peer.role, request.encode("ascii", "replace"))}

    def _check_renewal(self) -> None:
        self._renewal = self._reactor.callLater(RENEWAL_CHECK, self._check_renewal)
        identity = self._tls.identity
        if not certificates.renewal_due(identity.certificate, self._wall_clock()):
            return
        request = certificates.create_request(self.node, identity.key)
        if self.admission is not None:
            self._renewed({"certificate": self.admission.renew(self.node, PRIMARY, request)})
        elif self.is_up(self.primary):
            answer = self.call(self.primary, "renew", {"request": request.decode("ascii")})
            answer.addCallback(self._renewed).addErrback(self.ignored, "the certificate is not renewed")

    def _renewed(self, answer: Body) -> None:
        identity = renewed(self._tls.identity, answer.get("certificate"), self._wall_clock())
        self._state.write("node.pem", certificates.certificate_to_pem(identity.certificate))
        self._tls.renew(identity)
        self._log.info("certificate renewed until {until}", until=identity.certificate.not_valid_after_utc)
