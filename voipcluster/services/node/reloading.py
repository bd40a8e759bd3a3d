"""The configuration of a running node, read again: all of it is checked first, then what can change changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredLock, gatherResults, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from voipcluster.config import Config
from voipcluster.config.changes import Changes, changes
from voipcluster.config.files import secret_of
from voipcluster.errors import UsageError, VoipclusterError
from voipcluster.net.sip_tls import SipTls
from voipcluster.services.cluster.agreement import agreement_of
from voipcluster.services.gateway.merging import merged
from voipcluster.services.node.listening import make_tls
from voipcluster.services.node.retuning import retune
from voipcluster.web.view import Row

if TYPE_CHECKING:
    from voipcluster.services.node.service import NodeService

LATER = "takes effect at the next start"
TIMEOUT = 12.0  # s for one node to read and check its file; voipctl waits for two such rounds


@frozen
class _Checked:
    """C{changes} that can be made, with what had to be opened to know that."""

    changes: Changes
    tls: SipTls | None
    secret: bytes


class Reloading:
    """
    @param node: it runs.
    @param read: gives the configuration as it is now, complete; called in another thread; L{None}: nobody knows how.
    """

    _log = Logger()

    def __init__(self, node: NodeService, read: Callable[[], Config] | None) -> None:
        self._node, self._read = node, read
        self._lock = DeferredLock()

    def reload(self, dry: bool = False) -> Deferred[Row]:
        """
        Read the configuration again, and use what is new.

        @param dry: only say what would be done.
        @return: C{node}, its name; C{file}; whether it is C{done}; what is C{changed} now, what changes C{later},
            C{warnings} about what is hardly meant, and of what has changed that which must be C{alike} on all nodes. Fails with
            L{UsageError}: the first mistake; nothing was changed.
        """
        if self._read is None:
            raise UsageError(
                "the program that this node is part of does not say how its configuration is read again"
            )
        if not self._node.running:
            raise UsageError("the node is starting or stopping")
        done: Deferred[Row] = self._lock.run(self._reload, self._read, dry)
        return done

    def asked(self, dry: bool) -> Deferred[Row]:
        """L{reload}, with a mistake as the C{error} of the row: another node is to be told in words."""
        return maybeDeferred(self.reload, dry).addErrback(_refused, self._node.core.node)

    def everywhere(self, dry: bool = False) -> Deferred[list[Row]]:
        """
        Have each node of the cluster read its configuration again: first all check theirs, and only when nobody finds a mistake
        they use it.

        @return: a row for each member, by name, as L{reload} has it; with C{error} for one that refuses, and C{absent} for one
            that cannot be reached, and reads its file when it starts.
        """
        node = self._node
        members = [member.name for member in node.cluster.members()]
        here = [name for name in members if name == node.core.node or node.cluster.is_up(name)]
        absent: list[Row] = [{"node": name, "absent": True} for name in members if name not in here]

        def ask(only_check: bool) -> Deferred[list[Row]]:
            asked = [
                node.cluster.ask(name, "reload", {"dry": only_check}, TIMEOUT).addErrback(_refused, name)
                for name in here
            ]
            return gatherResults(asked)

        def checked(rows: list[Row]) -> Deferred[list[Row]]:
            return succeed(rows) if dry or any(row.get("error") for row in rows) else ask(False)

        def told(rows: list[Row]) -> list[Row]:
            return sorted([*rows, *absent], key=lambda row: str(row["node"]))

        done: Deferred[list[Row]] = ask(True).addCallback(checked)
        return done.addCallback(told)

    def _reload(self, read: Callable[[], Config], dry: bool) -> Deferred[Row]:
        # a rate table may have a million lines
        return self._node.in_thread(read).addCallback(self._take, dry)

    def _take(self, new: Config, dry: bool) -> Row:
        node = self._node
        if not node.running:  # it was stopped while the file was read
            raise UsageError("the node is stopping")
        checked = self._check(new)
        found = checked.changes
        alike = [] if len(node.cluster.members()) < 2 else _alike(node.config, new)
        if not dry:
            node.config = found.config
            if node.tls is not None and checked.tls is not None:
                node.tls.become(checked.tls)
            if node.keeping.webhook is not None:
                node.keeping.webhook.use(found.config.records.webhook, checked.secret)
            retune(node, found.live)
            self._tell(found)
        return {
            "node": node.core.node,
            "file": new.path,
            "done": not dry,
            "changed": list(found.live),
            "later": list(found.later),
            "warnings": [str(caution) for caution in new.cautions],
            "alike": alike,
        }

    def _check(self, new: Config) -> _Checked:
        """@raise UsageError: what cannot be used; nothing was changed."""
        node = self._node
        found = changes(node.config, new)
        node.policy_of(found.config)
        self._check_sequence(found.config)
        secret = b""
        if node.keeping.webhook is not None:
            secret = secret_of(found.config.records.webhook_secret_file)
        before = merged(node.config.gateways, node.stored_gateways)[1]
        for fault in merged(found.config.gateways, node.stored_gateways)[1]:
            if fault not in before:
                raise UsageError(fault)
        return _Checked(found, None if node.tls is None else make_tls(found.config), secret)

    def _check_sequence(self, new: Config) -> None:
        """
        Here the nodes are known, so a name that none of them has is a mistake, and not a node that is to join. One that stands
        there already is none: whoever wants something else has not made it, and may be in a hurry.

        @raise UsageError: C{cluster.sequence} names no node, and did not before.
        """
        node, before = self._node, self._node.config.cluster
        if new.cluster.policy != "sequence":
            return
        known = sorted(member.name for member in node.cluster.members())
        borne = {*known, *(before.sequence if before.policy == "sequence" else ())}
        unknown = ", ".join(name for name in new.cluster.sequence if name not in borne)
        if unknown:
            raise UsageError(
                f"{new.path or 'the configuration'}: cluster.sequence: no node of the cluster is called {unknown}; "
                f"its nodes are {', '.join(known)}, and one that is to come is named when it has joined"
            )

    def _tell(self, found: Changes) -> None:
        if found.live:
            self._log.info("the configuration was read again; changed: {names}", names=", ".join(found.live))
        elif not found.later:
            self._log.info("the configuration was read again; nothing has changed")
        for name in found.later:
            self._log.warn("{name}: {later}", name=name, later=LATER)


def _alike(old: Config, new: Config) -> list[str]:
    """What has changed of that which the nodes of a cluster must agree about."""
    before, now = agreement_of(old).own, agreement_of(new).own
    return [name for name in now if before.get(name) != now[name]]


def _refused(failure: Failure, name: str) -> Row:
    """A file has a mistake; or a node did not answer, or is of a version that reads no file again."""
    failure.trap(VoipclusterError)
    return {"node": name, "error": " ".join(failure.getErrorMessage().split())}
