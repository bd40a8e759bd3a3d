"""The node as its operator sees it: what C{voipctl} and the web page read and change, gathered from the whole cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve
from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from voipcluster.balance.decision import Own
from voipcluster.balance.messages import Account, Preference, PreferenceChange
from voipcluster.balance.report import Report
from voipcluster.balance.state import NodeState
from voipcluster.config.document import values_of
from voipcluster.errors import UsageError
from voipcluster.services.commands import Imported, INodeControl
from voipcluster.services.media.kernel_path import USERSPACE
from voipcluster.services.media.snapshots import MediaSnapshot
from voipcluster.services.node import lists
from voipcluster.services.node.gateway_view import GatewayView
from voipcluster.services.node.page_access import KIND
from voipcluster.services.node.places import strange_places
from voipcluster.services.node.quality import stream_rows
from voipcluster.services.node.records import CallRecord
from voipcluster.services.node.routes import number_rows, route_rows
from voipcluster.services.node.trace_view import TraceView, not_reachable
from voipcluster.services.sip.calls import Call
from voipcluster.sip.masking import without_password
from voipcluster.store.accounts import imported_account, new_account, shown
from voipcluster.web.slices import PAGE, SHOWN
from voipcluster.web.view import Row

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

ASK_TIMEOUT = 2.0  # seconds; a node that is slow is left out of what people look at
MOST_OF_ONE = 8  # calls with one Call-ID in one answer: forks in front of us, or a caller that uses it again


@implementer(INodeControl)
class NodeView:
    """Answers L{INodeControl} for one node."""

    def __init__(self, node: NodeParts) -> None:
        self._node = node
        self._gateways = GatewayView(node, self._ask_others, self._silent)
        self.tracing = TraceView(node, self._ask_others, self._silent)

    # -- reading

    def status(self) -> Deferred[Row]:
        return self._ask_others("counters", {}).addCallback(self._status)

    def _status(self, counters: dict[str, Row]) -> Row:
        node = self._node
        core, now, config = node.core, node.core.seconds(), node.config
        own = node.workload.own()
        rows = []
        for member in node.cluster.members():
            row: Row = {"name": member.name, "role": member.role, "address": member.address}
            row["version"] = node.cluster.release_of(member.name)
            if member.name == core.node:
                row |= {
                    "state": own.state.value,
                    "stopping": node.stopping,
                    "workload": round(own.workload.value, 4),
                    "calls": len(node.calls),
                    "registrations": node.registrar.owned,
                    "report_age": 0.0,
                    "handed_over": node.placing.total_handed_over,
                    "media": self.own_media(),
                    "database": self.own_database(),
                    "records": node.keeping.shown(),
                    "components": _components(own.workload),
                    "measured": _measured(own),
                }
            else:
                row |= self._other(member.name, now, counters)
            rows.append(row)
        return {
            "cluster": node.state.cluster,
            "node": core.node,
            "threshold": config.cluster.threshold,
            "hard_limit": config.cluster.hard_limit,
            "no_node": list(node.cluster_side.sequence.missing),
            "registrations": len(node.registrar.location),
            "nodes": rows,
        }

    def _other(self, name: str, now: float, counters: dict[str, Row]) -> Row:
        known = self._node.membership.get(name)
        report = known.report if known is not None else None
        if known is None or report is None:
            return {
                "state": NodeState.UNKNOWN.value, "stopping": False, "workload": None, "calls": 0, "registrations": 0,
                "report_age": None, "handed_over": 0, "media": None, "database": None, "records": None,
                "components": {}, "measured": {},
            }  # fmt: skip
        return {
            "state": "stopped" if known.left else known.state.value,
            "stopping": counters.get(name, {}).get("stopping") is True,
            "workload": round(report.value, 4),
            "calls": report.calls,
            "registrations": report.registrations,
            "report_age": round(known.age(now), 3),
            "handed_over": counters.get(name, {}).get("handed_over", 0),
            "media": counters.get(name, {}).get("media"),
            "database": counters.get(name, {}).get("database"),
            "records": counters.get(name, {}).get("records"),
            "components": _components(report.workload),
            "measured": _measured(report),
        }

    def own_media(self) -> Row:
        """
        Who relays media here, C{kernel}, C{userspace} or C{off}, and why it is not the kernel where that was tried; and what an
        orderly restart does to it: it C{goes on}, C{waits}, or C{stops} until the node is back, and why.
        """
        statistics = self._node.media.statistics()
        trouble = self._node.kept_trouble
        restart = "goes on" if statistics.path != USERSPACE else "stops" if trouble else "waits"
        return {
            "path": statistics.path,
            "reason": statistics.reason,
            "restart": restart,
            "restart_reason": trouble if restart == "stops" else "",
        }

    def own_database(self) -> Row | None:
        """The shared database as this node sees it; L{None}: there is none."""
        directory = self._node.directory
        return (
            None
            if directory is None
            else directory.shown() | {"records": self._node.keeping.waiting_for_shared()}
        )

    def registrations(self, aor: str | None, limit: int | None = None, after: int | None = None) -> list[Row]:
        return lists.registrations(self._node, aor, limit, after)

    def registration_parts(self, most: int) -> Iterator[Row]:
        return lists.registration_parts(self._node, most)

    def calls(
        self,
        call_id: str | None,
        limit: int | None = None,
        after: int | None = None,
        silent: bool | None = None,
    ) -> Deferred[list[Row] | Row]:
        each = min(limit or max(1, SHOWN // len(self._node.cluster.members())), PAGE)

        def gathered(others: dict[str, Row]) -> list[Row] | Row:
            rows, missing = self.own_calls(call_id, each, after or 0), self._silent(others)
            for answer in others.values():
                rows += [row for row in answer.get("calls", ()) if isinstance(row, dict)]
            if call_id is not None and not rows and missing:
                raise UsageError(f"{self._holder(call_id, missing)} Call-ID {call_id}")
            now = self._node.core.seconds()
            found = sorted((durations(row, now) for row in rows), key=lambda row: -row["duration"])
            return {"calls": found, "silent": missing} if silent else found

        asked = {"limit": each, "after": after or 0} if call_id is None else {"call_id": call_id}
        return self._ask_others("calls", asked).addCallback(gathered)

    def own_calls(self, call_id: str | None, limit: int = PAGE, after: int = 0) -> list[Row]:
        """The calls that this node serves, in a slice; C{started} and C{expires} in unix seconds instead of durations."""
        node = self._node
        if call_id is not None:
            return self._one_call(call_id)
        return [
            self._call(call, node.media.snapshot(call.key))
            for call in islice(node.calls, after, after + min(limit, PAGE))
        ]

    def _one_call(self, call_id: str) -> list[Row]:
        """With how it sounds; also calls that ended lately."""
        node = self._node
        rows = [self.record_row(record) for record in node.records.find(call_id)]
        for call in node.calls:
            if call.key.call_id == call_id:
                media = node.media.snapshot(call.key)
                streams = [] if media is None else stream_rows(media)
                rows.append(self._call(call, media) | {"streams": streams})
        return rows[-MOST_OF_ONE:]

    def record_row(self, record: CallRecord) -> Row:
        """A call that is over, as L{calls} shows it."""
        streams = [] if record.media is None else stream_rows(record.media)
        over = {"state": "ended", "ended": record.ended, "reason": record.reason, "expires": 0.0}
        return self._call(record.call, record.media) | over | {"streams": streams}

    def _call(self, call: Call, media: MediaSnapshot | None) -> Row:
        return {
            "call_id": call.key.call_id,
            "from": without_password(call.caller),
            "to": without_password(call.callee),
            "node": self._node.core.node,
            "ingress": call.ingress,
            "state": call.state,
            "client": call.source,
            "transport": call.transport,
            "user": call.user or None,
            "gateway_in": call.gateway_in,
            "gateway_out": call.gateway_out,
            "number": call.number,
            "started": call.started,
            "expires": call.expires,
            "audio": _audio(media),
            "packets": _packets(media),
            "visited": list(call.visited),
        }

    def explain(self, call_id: str) -> Deferred[list[Row]]:
        def gathered(others: dict[str, Row]) -> list[Row]:
            rows = self.own_explanations(call_id)
            for answer in others.values():
                rows += [row for row in answer.get("hops", ()) if isinstance(row, dict)]
            silent = self._silent(others)
            if not rows:
                lost = f"; {not_reachable(silent)}" if silent else ""
                raise UsageError(
                    f"no placement of Call-ID {call_id} is remembered: a call refused before has none (voipctl trace says why), a"
                    f" node knows those of its last 1,000 calls, and none from before its start{lost}"
                )
            rows.sort(key=lambda row: (row["hops"], row["time"]))
            if rows[-1]["chosen"] in silent:
                rows[-1]["reason"] += f"; {rows[-1]['chosen']} holds it and is not reachable"
            return rows

        return self._ask_others("explain", {"call_id": call_id}).addCallback(gathered)

    def own_explanations(self, call_id: str) -> list[Row]:
        rows = [asdict(one, recurse=False) for one in self._node.placing.explanations.get(call_id)]
        for row in rows:
            row["candidates"] = [asdict(one) for one in row["candidates"]]
        return rows

    def trace(self, call_id: str, texts: bool) -> Deferred[Row]:
        return self.tracing.trace(call_id, texts)

    def trace_on(
        self, user: str | None, address: str | None, call_id: str | None, all_calls: bool, seconds: float
    ) -> Deferred[list[Row]]:
        return self.tracing.order(
            on=True, user=user, address=address, call_id=call_id, all=all_calls, seconds=seconds
        )

    def trace_off(self, forget: bool) -> Deferred[list[Row]]:
        return self.tracing.order(on=False, forget=forget)

    def trace_status(self) -> Deferred[list[Row]]:
        return self.tracing.status()

    def call_records(self, node: str | None, since: float, until: float, after: int) -> Deferred[Row]:
        if node is None or node == self._node.core.node:
            return self._node.keeping.page(since, until, after)
        return self._node.cluster.ask(node, "records", {"since": since, "until": until, "after": after})

    def routes(self, number: str | None, caller: str | None) -> list[Row]:
        node = self._node
        if number is None:
            return route_rows(node.routing)
        return number_rows(node.routing, node.core.names, number, caller)

    def configuration(self) -> Row:
        return values_of(self._node.config)

    def reload(self, everywhere: bool, dry: bool) -> Deferred[list[Row]]:
        reloading = self._node.reloading
        return (
            reloading.everywhere(dry) if everywhere else reloading.reload(dry).addCallback(lambda row: [row])
        )

    def gateways(self) -> Deferred[list[Row]]:
        return self._gateways.rows()

    def own_gateways(self) -> list[Row]:
        """The gateways as this node sees them."""
        return self._gateways.own()

    def gateway_show(self, name: str) -> Deferred[Row]:
        return self._gateways.show(name)

    def history(self, since: float | None) -> Row:
        return self._node.history.read(since)

    def metrics(self) -> str:
        return self._node.metrics.text()

    def _silent(self, answers: Mapping[str, Row]) -> list[str]:
        """The members that have not answered, but for those that have left in good order."""
        known = [(m.name, self._node.membership.get(m.name)) for m in self._node.cluster.members()]
        own = self._node.core.node
        return [
            name
            for name, node in known
            if name != own and name not in answers and not (node is not None and node.left)
        ]

    def _holder(self, call_id: str, silent: Sequence[str]) -> str:
        """Who may have a call that nobody else knows."""
        placed = [row["chosen"] for row in self.own_explanations(call_id)]
        if placed and placed[-1] in silent:
            return f"node {placed[-1]} holds it and is not reachable:"
        return f"{not_reachable(silent)}, and no other one knows a call in progress, or one that ended lately, with the"

    def _ask_others(self, kind: str, params: Row) -> Deferred[dict[str, Row]]:
        """The answers of all members that can be reached now, by name; one that is silent is not waited for."""
        cluster, own, heard = self._node.cluster, self._node.core.node, self._node.is_heard
        names = [
            m.name for m in cluster.members() if m.name != own and cluster.is_up(m.name) and heard(m.name)
        ]
        asked = DeferredList(
            [cluster.ask(name, kind, params, ASK_TIMEOUT) for name in names], consumeErrors=True
        )

        def collected(results: Any) -> dict[str, Row]:
            pairs = zip(names, results, strict=True)
            return {name: answer for name, (good, answer) in pairs if good and isinstance(answer, dict)}

        return asked.addCallback(collected)

    def tell_others(self, kind: str, params: Row) -> None:
        """What all members that can be reached now have to know, as a question that they need not answer."""
        self._ask_others(kind, params)

    # -- changing

    def create_token(self, ttl: float, uses: int) -> str:
        return self._node.cluster.create_token(ttl, uses)

    def user_add(self, name: str, domain: str, password: str) -> Deferred[None]:
        domain = self._own_domain(domain)
        if self._node.accounts.get(name, domain) is not None:
            raise UsageError(f"user {name}@{domain} exists already")
        # another operator may add him at another node at the same moment: the primary sees who was first
        return self._node.cluster.change_account(evolve(new_account(name, domain, password), new=True))

    def user_import(self, users: Sequence[Imported], replace: bool, dry: bool) -> Deferred[Row] | Row:
        accounts = [
            imported_account(one.name, self._own_domain(one.domain), one.md5, one.sha_256) for one in users
        ]
        known = [self._node.accounts.get(one.username, one.domain) for one in accounts]
        pairs = list(zip(accounts, known, strict=True))
        changed = [new for new, old in pairs if old is not None and old.ha1 != new.ha1]
        if changed and not replace:
            who = f"{changed[0].username}@{changed[0].domain}"
            raise UsageError(
                f"user {who} exists already, with another password; --replace gives it that of the import"
            )
        added = [new for new, old in pairs if old is None]
        done = {"added": len(added), "replaced": len(changed), "same": len(pairs) - len(added) - len(changed)}
        if dry or not (added or changed):
            return done
        return self._node.cluster.change_all("account", [*added, *changed]).addCallback(lambda _: done)

    def user_remove(self, name: str, domain: str) -> Deferred[None]:
        self._existing(name, domain)
        return self._node.cluster.change_account(Account(username=name, domain=domain.lower(), removed=True))

    def user_passwd(self, name: str, domain: str, password: str) -> Deferred[None]:
        self._existing(name, domain)
        return self._node.cluster.change_account(new_account(name, domain.lower(), password))

    def user_list(
        self,
        domain: str | None,
        limit: int | None = None,
        after: int | None = None,
        full: bool | None = None,
    ) -> list[str] | list[Row] | None:
        self._with_users(domain)
        return lists.users(self._node, domain, limit, after, full)

    def user_parts(self, domain: str | None) -> Iterator[Row]:
        self._with_users(domain)
        return lists.user_parts(self._node, domain)

    def user_set(self, name: str, domain: str, preferences: Mapping[str, str]) -> Deferred[Row]:
        node, domain = self._node, domain.lower()
        items = tuple(Preference(name=key, text=text) for key, text in preferences.items())
        change = PreferenceChange(username=name, domain=domain, items=items)
        account = node.accounts.account_with(change)  # what is wrong is said here, and not by the primary
        warnings = strange_places(node, account, preferences)
        return node.cluster.change_account(change).addCallback(lambda _: {"warnings": warnings})

    def user_show(self, name: str, domain: str, full: bool | None = None) -> Row:
        account = self._existing(name, domain)
        preferences = {one.name: one.text for one in account.preferences}
        return {**shown(account), "preferences": preferences} if full else preferences

    def _with_users(self, domain: str | None) -> None:
        """@raise UsageError: a domain that is not ours, and that nobody is left of from when it was."""
        if domain is not None and not any(one.domain == domain.lower() for one in self._node.accounts):
            self._own_domain(domain)

    def _own_domain(self, domain: str) -> str:
        domains = self._node.core.names.domains
        if domain.lower() not in domains:
            raise UsageError(
                f"{domain} is not a domain of this cluster; cluster.domain is {', '.join(domains)}"
            )
        return domain.lower()

    def _existing(self, name: str, domain: str) -> Account:
        account = self._node.accounts.get(name, domain)
        if account is None:
            raise UsageError(f"there is no user {name}@{domain}")
        return account

    def page_password(self, password: str | None) -> Deferred[None]:
        node = self._node
        made = node.page_access.new(password, node.core.octets)
        return made.addCallback(lambda value: node.cluster.change(KIND, value))

    def drain(self, node: str | None, on: bool) -> Deferred[None]:
        return self._node.cluster.drain(node or self._node.core.node, on)

    def gateway_add(self, name: str, options: Mapping[str, Any]) -> Deferred[Row]:
        return self._gateways.add(name, options)

    def gateway_import(
        self, gateways: Sequence[tuple[str, Mapping[str, Any]]], replace: bool, dry: bool
    ) -> Deferred[Row] | Row:
        return self._gateways.import_all(gateways, replace, dry)

    def gateway_set(self, name: str, options: Mapping[str, Any]) -> Deferred[Row]:
        return self._gateways.set(name, options)

    def gateway_switch(self, name: str, on: bool) -> Deferred[None]:
        return self._gateways.switch(name, on)

    def gateway_remove(self, name: str) -> Deferred[Row]:
        return self._gateways.remove(name)

    def bans(self) -> list[Row]:
        return [
            {"who": ban.who, "reason": ban.reason, "left": round(ban.left, 1)}
            for ban in self._node.limiting.bans()
        ]

    def unban(self, who: str) -> None:
        if not self._node.limiting.lift(who):
            raise UsageError(f"{who} is not banned here")

    def forget(self, node: str) -> None:
        self._node.cluster.forget(node)

    def stop(self, node: str | None) -> Deferred[None]:
        return self._node.cluster.drain(node or self._node.core.node, True, stop=True)


_NAMES: tuple[str, ...] = ("cpu", "lag", "calls", "transactions", "packets", "memory")


def _measured(of: Own | Report) -> dict[str, float]:
    """What the workload comes from: C{delay} in seconds, C{quota}, C{granted} in CPUs, others per second (docs/workload.md)."""
    names = ("delay", "arrival_rate", "capacity", "refusal_rate", "quota", "granted")
    return {name: round(getattr(of, name), 4) for name in names}


def _components(workload: Any) -> dict[str, float]:
    return {name: round(workload.component(name), 4) for name in _NAMES}


def durations(row: Row, now: float) -> Row:
    """A row of L{NodeView.own_calls} with durations, as people read it."""
    end, expires = row.get("ended") or now, row.pop("expires", 0.0)
    row["duration"] = round(max(0.0, end - row.pop("started", end)), 1)
    row["session"] = round(max(0.0, expires - now), 1) if expires else None
    return row


def _heard(leg: Any) -> bool:
    return leg is not None and leg.packets > 0


def _audio(media: MediaSnapshot | None) -> str:
    """From which side packets were heard."""
    if media is None:
        return "none"
    caller = any(_heard(stream.caller) for stream in media.streams)
    callee = any(_heard(stream.callee) for stream in media.streams)
    return "both" if caller and callee else "caller" if caller else "callee" if callee else "none"


def _packets(media: MediaSnapshot | None) -> int:
    if media is None:
        return 0
    legs = [leg for stream in media.streams for leg in (stream.caller, stream.callee) if leg is not None]
    return sum(leg.packets for leg in legs)
