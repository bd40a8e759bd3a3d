"""Nodes of a cluster on a network in memory, for the tests of the mesh and of the cluster service."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from tests.unit.link_network import Network
from voipcluster.balance.messages import Account, Binding, Bindings, Drain, Member, PreferenceChange, Tally
from voipcluster.balance.report import Report
from voipcluster.errors import PeerError, UsageError
from voipcluster.net import certificates
from voipcluster.services.cluster.admission import found
from voipcluster.services.cluster.decided import Decided
from voipcluster.services.cluster.members import ClusterService
from voipcluster.services.cluster.received import IClusterUser
from voipcluster.store.state import NodeState, open_state

PORT = 8787


@implementer(IClusterUser)
class User:
    """A node that notes what it hears."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.reports: list[Report] = []
        self.changes: list[tuple[str, bool]] = []
        self.left: list[str] = []
        self.members: tuple[Member, ...] = ()
        self.own: dict[str, Binding] = {}
        self.others: dict[tuple[str, str], Binding] = {}
        self.named: dict[str, set[str]] = {}
        self.copies_begun: list[str] = []
        self.accounts: dict[str, Account] = {}
        self.drains: list[Drain] = []
        self.also_decided: list[Decided] = []
        self.counts: dict[str, int] = {}
        self.counts_of: dict[tuple[str, str], int] = {}
        self.batch = 64

    def report(self, seq: int) -> Report:
        return Report(node=self.name, epoch=0, seq=seq, calls=self.calls)

    def report_received(self, report: Report) -> None:
        self.reports.append(report)

    def node_changed(self, name: str, up: bool) -> None:
        self.changes.append((name, up))
        self.named.pop(name, None)

    def node_left(self, name: str) -> None:
        self.left.append(name)

    def members_changed(self, members: tuple[Member, ...]) -> None:
        self.members = members

    def full_bindings(self) -> Iterable[Bindings]:
        items = list(self.own.values())
        batches = [items[at : at + self.batch] for at in range(0, len(items), self.batch)] or [[]]
        return [
            Bindings(node=self.name, epoch=1, seq=1, items=tuple(batch), complete=batch is batches[-1])
            for batch in batches
        ]

    def copy_begins(self, node: str) -> None:
        self.copies_begun.append(node)

    def bindings_received(self, update: Binding | Bindings) -> None:
        for binding in (update,) if isinstance(update, Binding) else update.items:
            key = binding.node, binding.aor
            if binding.expires:
                self.others[key] = binding
            else:
                self.others.pop(key, None)
        if isinstance(update, Bindings):
            named = self.named.setdefault(update.node, set())
            named.update(binding.aor for binding in update.items)
            if update.complete:
                for node, aor in list(self.others):
                    if node == update.node and aor not in named:
                        del self.others[node, aor]
                del self.named[update.node]

    def full_accounts(self) -> Iterable[Account]:
        return self.accounts.values()

    def account_with(self, change: Account | PreferenceChange) -> Account:
        known = self.accounts.get(change.username)
        if isinstance(change, Account):
            return change if known is None else evolve(change, preferences=known.preferences)
        if known is None:
            raise UsageError(f"there is no user {change.username}")
        return evolve(known, preferences=change.items)

    def adopt_accounts(self, accounts: tuple[Account, ...]) -> Deferred[tuple[Account, ...]]:
        return self.store_accounts(accounts).addCallback(lambda _: accounts)

    def store_accounts(self, accounts: tuple[Account, ...]) -> Deferred[None]:
        for account in accounts:
            if account.removed:
                self.accounts.pop(account.username, None)
            else:
                self.accounts[account.username] = account
        return succeed(None)

    def accounts_listed(self, keys: frozenset[tuple[str, str]]) -> None:
        self.accounts = {name: one for name, one in self.accounts.items() if (name, one.domain) in keys}

    def decided(self) -> list[Decided]:
        return self.also_decided

    def full_tallies(self) -> Iterable[Tally]:
        return [Tally(key=key, count=count) for key, count in self.counts.items()]

    def tally_received(self, node: str, tally: Tally) -> None:
        self.counts_of[node, tally.key] = tally.count

    def asked(self, kind: str, params: dict[str, Any]) -> dict[str, Any]:
        if kind != "calls":
            raise PeerError(f"{kind} is not known")
        return {"node": self.name, **params}

    def drain_requested(self, order: Drain) -> None:
        self.drains.append(order)


class Node:
    """One node: its state directory, its user and, while it runs, its service."""

    def __init__(self, network: Network, directory: Path, name: str, address: str) -> None:
        self.network, self.directory, self.name, self.address = network, directory, name, address
        self.user = User(name)
        self.state: NodeState
        self.service: ClusterService | None = None

    def start(self, period: float = 1.0) -> ClusterService:
        self.state.next_epoch(time.time())
        self.service = ClusterService(self.network, self.state, self.address, PORT, period, self.user)
        self.service.startService()
        return self.service

    def stop(self) -> None:
        service, self.service = self.service, None
        if service is not None:
            service.stopService()

    def crash(self) -> None:
        """As kill -9: the connections end, nothing else is done."""
        self.stop()
        self.user = User(self.name)
        self.reopen()

    def reopen(self) -> None:
        self.state.close()
        self.state = open_state(self.directory)


class Cluster:
    """A primary C{a}, and as many secondaries as a test lets join."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.network = Network()
        self.nodes: dict[str, Node] = {}
        primary = self._node("a", "127.0.0.1")
        found(primary.state, "a", primary.address, PORT, time.time())
        primary.start()

    def _node(self, name: str, address: str) -> Node:
        node = Node(self.network, self.base / name, name, address)
        node.state = open_state(node.directory)
        self.nodes[name] = node
        return node

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def service(self, name: str) -> ClusterService:
        service = self.nodes[name].service
        assert service is not None, "it runs"
        return service

    def join(self, name: str, address: str, start: bool = True) -> Node:
        """What L{voipcluster.net.join.join} does, without a socket."""
        node = self._node(name, address)
        admission = self.service("a").mesh.admission
        assert admission is not None, "a is the primary"
        token = admission.create_token("127.0.0.1", PORT, 60, 1)
        secret = base64.urlsafe_b64decode(token.partition("@")[0])[32:]
        key = certificates.new_key()
        answer = admission.answer(
            {
                "secret": base64.b64encode(secret).decode(), "name": name, "role": "secondary", "address": address,
                "port": PORT, "request": certificates.create_request(name, key).decode(),
            }
        )  # fmt: skip
        files = {
            "ca.pem": self.nodes["a"].state.read("ca.pem"),
            "node.pem": answer["certificate"].encode(),
            "node.key": certificates.key_to_pem(key),
            "cluster.key": base64.b64decode(answer["cluster_key"]),
        }
        node.state.enter(answer["cluster"], name, "secondary", answer["roster"], files)
        if start:
            node.start()
        return node

    def stop(self) -> None:
        for node in self.nodes.values():
            node.stop()
            node.state.close()
        self.network.settle()
