"""
A proxy on the cluster link from one node to another, which passes every message on but catches the reports that it is told to.

The link is sealed by TLS on both sides, so the proxy has the keys of both nodes, as only who runs the test can have: to the
calling node it is the called one, and to that one it is the caller. The calling node finds it because its list of members,
signed anew with the CA's key, has the proxy's port in it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from attrs import evolve
from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.protocols.tls import TLSMemoryBIOFactory

from demo.cluster import Node
from voipcluster.net import certificates, roster
from voipcluster.net.certificates import Certified, Identity
from voipcluster.net.envelope import Body, Ordering
from voipcluster.net.gate import GateFactory
from voipcluster.net.link import serve_with
from voipcluster.net.peer import PeerLink
from voipcluster.net.tls import LinkTls

LINK_PORT, PORT = 8787, 18787


def identity_of(node: Node) -> Identity:
    """From its state directory."""
    member = json.loads((node.state_dir / "cluster.json").read_text())

    def read(name: str) -> bytes:
        return (node.state_dir / name).read_bytes()

    return Identity(
        member["cluster"],
        node.name,
        x509.load_pem_x509_certificate(read("node.pem")),
        certificates.key_from_pem(read("node.key")),
        x509.load_pem_x509_certificate(read("ca.pem")),
    )


def lead_astray(caller: Node, callee: Node, primary: Node) -> None:
    """Make C{caller}, which must not run, look for the link of C{callee} at the proxy's port."""
    path = caller.state_dir / "cluster.json"
    member = json.loads(path.read_text())
    ca = x509.load_pem_x509_certificate((caller.state_dir / "ca.pem").read_bytes())
    known = roster.verify(member, ca)
    members = tuple(evolve(one, port=PORT) if one.name == callee.name else one for one in known.members)
    ca_key = certificates.key_from_pem((primary.state_dir / "ca.key").read_bytes())
    # of the same generation: it is as new as what the others have, so nobody sends it another one
    path.write_text(json.dumps(member | roster.sign(evolve(known, members=members), ca_key)))


class LinkProxy:
    """
    What C{caller} says to C{callee}.

    @ivar catching: whether a report is caught: it is answered, and gone.
    @ivar caught: and C{passed}: (when, report) of each one, in seconds of the reactor.
    """

    def __init__(self, reactor: Any, caller: Node, callee: Node) -> None:
        self._reactor = reactor
        self._epoch, self._sequence = int(time.time()) + 1, 0
        self.catching: Callable[[Body], bool] = lambda report: False
        self.caught: list[tuple[float, Body]] = []
        self.passed: list[tuple[float, Body]] = []
        to_caller, to_callee = LinkTls(identity_of(callee)), LinkTls(identity_of(caller))
        self._link = PeerLink(
            reactor,
            to_callee,
            callee.name,
            lambda: (callee.address, LINK_PORT),
            self._stamp,
            lambda link: None,
            lambda link, reason: None,
            caller.address,
        )
        self._gates = GateFactory(
            reactor,
            lambda: to_caller.identity,
            lambda peer: None,
            lambda peer: serve_with(peer, Ordering(), self._received, lambda node, reason: None),
            None,
        )
        factory = TLSMemoryBIOFactory(to_caller, False, self._gates, reactor)
        self._listening = reactor.listenTCP(PORT, factory, 5, callee.address)
        self._link.start()

    @property
    def up(self) -> bool:
        return self._link.up

    def _stamp(self) -> tuple[int, int]:
        self._sequence += 1
        return self._epoch, self._sequence

    def _received(self, peer: Certified, kind: str, body: Body) -> Deferred[Body | None] | Body:
        if kind == "report":
            catch = self.catching(body)
            (self.caught if catch else self.passed).append((self._reactor.seconds(), body))
            if catch:
                return {}
        answer: Deferred[Any] = self._link.call(kind, body)
        return answer

    async def stop(self) -> None:
        self._link.stop()
        self._gates.close()
        await self._listening.stopListening()
