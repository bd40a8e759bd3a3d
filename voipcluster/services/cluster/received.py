"""What the other members tell this node and ask of it, each message checked for its form and for its sender's right to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface

from voipcluster.balance import codec
from voipcluster.balance.messages import (
    Account,
    Accounts,
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
from voipcluster.net.certificates import Certified
from voipcluster.net.envelope import Body
from voipcluster.services.cluster.decided import Decided
from voipcluster.store.state import PRIMARY


class IClusterUser(Interface):
    """What the node does with what it hears from the others. C{Deferred} answers are waited for."""

    def report(seq: int) -> Report:
        """Our present report, which goes to everybody."""

    def report_received(report: Report) -> None:
        """A member has reported."""

    def node_changed(name: str, up: bool) -> None:
        """Our link to a member is up, or lost."""

    def node_left(name: str) -> None:
        """A member says that it stops, as its operator wants; its link will be lost."""

    def members_changed(members: tuple[Member, ...]) -> None:
        """These are the members now, this node included, in the order of joining."""

    def full_bindings() -> Iterable[Bindings]:
        """All bindings that this node holds, in messages of at most 64; the last one is C{complete}."""

    def copy_begins(node: str) -> None:
        """A node begins a full copy of what it holds; what it sent of one before is void."""

    def bindings_received(update: Binding | Bindings) -> None:
        """Another node tells of one change, or a part of all that it holds."""

    def full_accounts() -> Iterable[Account]:
        """All accounts; asked at the primary only."""

    def account_with(change: Account | PreferenceChange) -> Account:
        """
        An account as it is with a change; asked at the primary only.

        @raise UsageError: it cannot be changed like that.
        """

    def store_accounts(accounts: tuple[Account, ...]) -> Deferred[None]:
        """Keep, or (C{removed}) remove accounts that the primary has decided on."""

    def adopt_accounts(accounts: tuple[Account, ...]) -> Deferred[tuple[Account, ...]]:
        """Keep, or (C{removed}) remove accounts that the shared database has; gives those that nothing there is newer than."""

    def accounts_listed(keys: frozenset[tuple[str, str]]) -> Deferred[None]:
        """There are accounts of these (username, domain), and no others."""

    def decided() -> Sequence[Decided]:
        """What besides accounts the primary decides on; asked once."""

    def full_tallies() -> Iterable[Tally]:
        """All that this node counts and that is not 0."""

    def tally_received(node: str, tally: Tally) -> None:
        """Another node tells what it counts now."""

    def asked(kind: str, params: Body) -> Body | Deferred[Body]:
        """A member asks something; L{PeerError} is its answer when we cannot."""

    def drain_requested(order: Drain) -> None:
        """This node is to take nothing new, or to take part again."""


def binding_key(binding: Binding) -> tuple[str, str]:
    """What makes two bindings the same: the Contact (RFC 3261 section 10.2.1), or instance and reg-id (RFC 5626 section 6)."""
    if binding.instance and binding.reg_id:
        return binding.aor, f"{binding.instance};{binding.reg_id}"
    return binding.aor, binding.contact


def account_key(account: Account) -> tuple[str, str]:
    return account.username, account.domain


def accounts_decided(user: Any) -> Decided:
    """The accounts of an L{IClusterUser}."""
    return Decided(
        "account", Accounts, account_key, user.full_accounts,
        user.store_accounts, user.accounts_listed,
        parts=("preference-change",), merged=user.account_with, old=True, adopt=user.adopt_accounts,
    )  # fmt: skip


def _own(name: str, node: str) -> None:
    """@raise PeerError: a node speaks for another one."""
    if name != node:
        raise PeerError(f"node {name!r} speaks for node {node[:64]!r}", 403)


class Received:
    """
    Hands the messages of the members to the node.

    @param name: of this node.
    @param user: an L{IClusterUser}.
    @param decided: what the primary decides on, by kind.
    @param change: what to do when a member wants a value of a kind changed; L{None} where that is not decided.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        user: Any,
        decided: Mapping[str, Decided],
        change: Callable[[str, Any], Deferred[None]] | None,
    ) -> None:
        self._name, self._user, self._change = name, user, change
        self._named: dict[
            tuple[str, str], set[Any]
        ] = {}  # by node and kind: what its full copy has named so far
        self._versions: dict[str, tuple[int, int]] = {}  # of the last report of each node
        self.kinds: dict[str, Callable[[Certified, Body], Any]] = {
            "report": self._report,
            "bindings": self._bindings,
            "binding-changes": self._binding_changes,
            "tallies": self._tallies,
            "drain": self._drain,
            "ask": self._ask,
        }
        for one in decided.values():
            self.kinds[one.all_kind] = partial(self._all, one)
            self.kinds[one.changes_kind] = partial(self._changes, one)
            for kind in (one.kind, *one.parts):
                self.kinds[kind] = partial(self._change_asked, one, kind)

    def begin_copy(self, node: str) -> None:
        """The node has connected and begins a full copy; what it sent of one before is void."""
        for key in [key for key in self._named if key[0] == node]:
            del self._named[key]
        self._user.copy_begins(node)

    def _report(self, peer: Certified, body: Body) -> None:
        report = self._decode_report(peer.name, body)
        self._versions[peer.name] = report.version
        self._user.report_received(report)

    def take_greeting(self, name: str, body: object) -> None:
        """
        The report in a greeting. One of the two greetings of a pair of links may come late, and is no news then.

        @raise PeerError: not a report of that node.
        """
        report = self._decode_report(name, body)
        if report.version > self._versions.get(name, (-1, -1)):
            self._versions[name] = report.version
            self._user.report_received(report)

    def _decode_report(self, name: str, body: object) -> Report:
        report: Report = codec.decode("report", body)
        _own(name, report.node)
        return report

    def _bindings(self, peer: Certified, body: Body) -> None:
        """A part of all that the peer holds."""
        self._user.bindings_received(self._held(peer, body))

    def _binding_changes(self, peer: Certified, body: Body) -> None:
        for binding in self._held(peer, body).items:
            self._user.bindings_received(binding)

    def _held(self, peer: Certified, body: Body) -> Bindings:
        """A node tells of the bindings that it holds, and of those that it removed; nobody speaks for another one."""
        message: Bindings = codec.decode("bindings", body)
        for node in (message.node, *(binding.node for binding in message.items)):
            _own(peer.name, node)
        return message

    def _tallies(self, peer: Certified, body: Body) -> None:
        message: Tallies = codec.decode("tallies", body)
        _own(peer.name, message.node)
        for tally in message.items:
            self._user.tally_received(peer.name, tally)

    def _all(self, one: Decided, peer: Certified, body: Body) -> Deferred[None]:
        """A part of all values of a kind; what they do not name does not exist."""
        message = self._decided(one, peer, body)
        named = self._named.setdefault((peer.name, one.kind), set())
        named.update(map(one.key, message.items))
        stored: Deferred[None] = maybeDeferred(one.store, message.items)
        if not message.complete:
            return stored
        del self._named[peer.name, one.kind]
        return stored.addCallback(lambda _: one.listed(frozenset(named)))

    def _changes(self, one: Decided, peer: Certified, body: Body) -> Deferred[None]:
        return maybeDeferred(one.store, self._decided(one, peer, body).items)

    def _decided(self, one: Decided, peer: Certified, body: Body) -> Any:
        if peer.role != PRIMARY:
            raise PeerError(f"only the primary decides on {one.all_kind}", 403)
        message = codec.decode(one.all_kind, body)
        _own(peer.name, message.node)
        return message

    def _change_asked(self, one: Decided, kind: str, peer: Certified, body: Body) -> Deferred[None]:
        if self._change is None:
            raise PeerError(f"{one.all_kind} are changed at the primary, and this is a secondary", 403)

        def refused(failure: Failure) -> NoReturn:
            failure.trap(UsageError)
            raise PeerError(failure.getErrorMessage())

        return self._change(one.kind, codec.decode(kind, body)).addErrback(refused)

    def _drain(self, peer: Certified, body: Body) -> None:
        order: Drain = codec.decode("drain", body)
        _own(peer.name, order.node)
        if order.target != self._name:
            raise PeerError(f"this is node {self._name}, not {order.target!r}")
        self._log.info(
            "node {peer} orders: drain {on}, stop {stop}", peer=peer.name, on=order.on, stop=order.stop
        )
        self._user.drain_requested(order)

    def _ask(self, peer: Certified, body: Body) -> Any:
        kind, params = body.get("kind"), body.get("params")
        if not isinstance(kind, str) or not isinstance(params, dict):
            raise PeerError("a question has a kind and params")
        return self._user.asked(kind, params)
