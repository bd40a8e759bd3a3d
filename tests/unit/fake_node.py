"""A node as voipctl and the web page see it, with fixed answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from voipcluster.errors import UsageError
from voipcluster.services.commands import INodeControl
from voipcluster.web.history import History

CALL = {
    "call_id": "1/2@host", "from": "sip:alice@example.com", "to": "sip:bob@example.com", "node": "b", "state": "confirmed",
    "client": "192.0.2.1:5060", "transport": "UDP", "user": "alice", "duration": 75.0, "session": 450.0, "audio": "both",
    "visited": ["a"],
}  # fmt: skip
SOUNDING: dict[str, Any] = {
    **CALL, "state": "ended", "ended": 1700000000.0, "reason": "BYE",
    "streams": [
        {"kind": "audio", "protocol": "RTP/AVP", "codec": "PCMU", "rate": 8000, "held": False, "protected": False,
         "trouble": "one-way", "missing": "callee", "round_trip": 0.06, "unreadable": 0,
         "directions": [
             {"from": "caller", "to": "callee", "packets": 500, "octets": 86000, "strangers": 0, "reports": 1, "lost": 25,
              "loss": 0.1016, "jitter": 0.005, "jitter_max": 0.007, "round_trip": 0.04, "r": 64.1, "mos": 3.31,
              "delay": 70.0, "measured": {"mos_cq": 4.1},
              "course": [{"at": 100.0, "loss": 0.1, "jitter": 0.005, "round_trip": 0.06, "mos": 3.31}]},
             {"from": "callee", "to": "caller", "packets": 0, "octets": 0, "strangers": 0, "reports": 0, "lost": None,
              "loss": None, "jitter": None, "jitter_max": None, "round_trip": None, "r": None, "mos": None,
              "delay": None, "measured": None, "course": []},
         ]},
    ],
}  # fmt: skip
HOP = {
    "call_id": "1/2@host", "node": "a", "time": 1.0, "hops": 0, "own": 0.8, "leading": "calls", "gate": 0.75,
    "hard_limit": 0.95, "policy": "planned", "outcome": "hand-over", "chosen": "b", "reason": "first below the gate",
    "delay": 0.012, "share": 0.31, "fresh": False,
    "candidates": [
        {"node": "c", "state": "unknown", "workload": 0.0, "age": -1.0, "reason": "no fresh report"},
        {"node": "b", "state": "open", "workload": 0.25, "age": 0.31, "reason": "below the gate",
         "wait": 0.004, "room": 120.4},
    ],
}  # fmt: skip
BINDING = {
    "aor": "alice@example.com", "contact": "sip:alice@192.0.2.1", "node": "b", "source": "192.0.2.1:5060",
    "transport": "UDP", "user_agent": "phone\x1b[2J", "expires": 3599,
}  # fmt: skip
GATEWAY: dict[str, Any] = {
    "name": "carrier-a", "kind": "pstn", "servers": ["192.0.2.9"], "transport": "udp", "where": "file", "state": "down",
    "reason": "no answer\x1b[2J", "registration": "", "channels": 3, "most": 30, "seizures": 8, "answers": 6, "asr": 0.75,
    "refused": 2, "last_cause": "503 (no circuit available)", "last_at": 1700000000.0,
    "nodes": [{"node": "a", "state": "down", "reason": "no answer", "registration": "", "seizures": 8, "answers": 6,
               "refused": 2}],
}  # fmt: skip
RELOADED: dict[str, Any] = {
    "node": "a", "file": "/etc/x.toml", "done": True, "changed": ["cluster.threshold", "gateway g"], "later": ["sip.port"],
}  # fmt: skip
BAN = {"who": "alice@example.com from 192.0.2.66", "reason": "wrong passwords", "left": 555.5}
STATUS: dict[str, Any] = {
    "cluster": "c1",
    "node": "a",
    "nodes": [
        {"name": "a", "role": "primary", "state": "open", "address": "127.0.0.1", "workload": 0.5, "calls": 10,
         "registrations": 3, "report_age": 0.0, "handed_over": 4, "components": {"calls": 0.5, "cpu": 0.125}},
        {"name": "b", "role": "secondary", "state": "unknown", "address": "127.0.0.2", "workload": None, "calls": 0,
         "registrations": 0, "report_age": None, "handed_over": 0, "components": {}},
    ],
}  # fmt: skip

ROUTE: dict[str, Any] = {
    "prefix": "+49", "gateway": "carrier-a", "priority": 1, "weight": 3, "strip": 3, "prepend": "0", "stop": False,
    "caller": "", "callers": [],
}  # fmt: skip
NUMBER_ROUTE: dict[str, Any] = {
    **ROUTE, "called": "+493012", "sent": "03012", "price": 1.5, "state": "passed over", "reason": "full: 1 of 1 channels in use",
}  # fmt: skip


TRACED: dict[str, Any] = {
    "node": "a", "wanted": [{"what": "user bob", "left": 60.0}], "calls": 1, "messages": 2, "octets": 2048, "most": 4096,
    "forgotten": 0,
}  # fmt: skip
TRACE: dict[str, Any] = {
    "call_id": CALL["call_id"], "begin": 1000.0, "nodes": ["a", "b"], "silent": [],
    "participants": [
        {"name": "192.0.2.10:5060", "node": False}, {"name": "a", "node": True}, {"name": "b", "node": True},
    ],
    "steps": [
        {"at": 1000.0, "after": 0.0, "from": 0, "to": 1, "transport": "UDP", "label": "INVITE", "cseq": "1 INVITE",
         "repeat": False, "unseen": False},
        {"at": 1000.002, "after": 0.002, "from": 1, "to": 2, "transport": "UDP", "label": "INVITE", "cseq": "1 INVITE",
         "repeat": False, "unseen": True},
        {"at": 1000.5, "after": 0.5, "from": 0, "to": 1, "transport": "UDP", "label": "INVITE", "cseq": "1 INVITE",
         "repeat": True, "unseen": False},
        {"at": 1000.6, "after": 0.6, "from": 1, "to": 0, "transport": "TLS", "label": "180 Ringing", "cseq": "1 INVITE",
         "repeat": False, "unseen": False},
    ],
    "events": [{"node": "a", "at": 1000.001, "after": 0.001, "text": "hand-over to b: workload 0.81 above 0.75"}],
}  # fmt: skip


@implementer(INodeControl)
class FakeNode:
    """
    Notes what it is asked.

    @ivar asked: each question with its arguments.
    @ivar later: when set, C{calls} answers with this Deferred; C{drained} likewise.
    @ivar silent: the nodes that do not answer when calls are asked for.
    @ivar parts: of a list that comes in parts.
    @ivar states: of nodes, where it is another one than usual.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.later: Deferred[Any] | None = None
        self.past = History(1000.0)
        self.states: dict[str, str] = {}
        self.drained: Deferred[Any] | None = None
        self.silent: list[str] = []
        self.parts: Iterable[Any] = ()

    def status(self) -> Any:
        nodes = [{**node, "state": self.states.get(node["name"], node["state"])} for node in STATUS["nodes"]]
        return {**STATUS, "nodes": nodes}

    def user_import(self, users: Any, replace: bool, dry: bool) -> Any:
        self.asked.append(("user_import", users, replace, dry))
        return {"added": len(users), "replaced": 0, "same": 0}

    def call_records(self, node: str | None, since: float, until: float, after: int) -> Any:
        self.asked.append(("call_records", node, since, until, after))
        return {"rows": [], "next": None}

    def registrations(self, aor: str | None, limit: int | None = None, after: int | None = None) -> Any:
        self.asked.append(("registrations", aor))
        return [] if after else [BINDING]

    def registration_parts(self, most: int) -> Any:
        self.asked.append(("registration_parts", most))
        return iter(self.parts)

    def calls(
        self,
        call_id: str | None,
        limit: int | None = None,
        after: int | None = None,
        silent: bool | None = None,
    ) -> Any:
        self.asked.append(("calls", call_id))
        if self.later is not None and not after:
            framed = {"silent": self.silent}
            return self.later.addCallback(lambda rows: {"calls": rows, **framed}) if silent else self.later
        rows = [CALL] if call_id in (None, CALL["call_id"]) and not after else []
        return {"calls": rows, "silent": self.silent} if silent else rows

    def explain(self, call_id: str) -> Any:
        self.asked.append(("explain", call_id))
        if call_id != CALL["call_id"]:
            raise UsageError(f"no node knows {call_id}")
        return [HOP]

    def trace(self, call_id: str, texts: bool) -> Any:
        self.asked.append(("trace", call_id, texts))
        if call_id != CALL["call_id"]:
            raise UsageError(f"no node knows {call_id}")
        return TRACE

    def trace_on(self, *asked: Any) -> Any:
        self.asked.append(("trace_on", *asked))
        return [TRACED]

    def trace_off(self, forget: bool) -> Any:
        self.asked.append(("trace_off", forget))
        return [TRACED]

    def trace_status(self) -> Any:
        return [TRACED]

    def gateways(self) -> Any:
        return [GATEWAY]

    def gateway_show(self, name: str) -> Any:
        if name != GATEWAY["name"]:
            raise UsageError(f"there is no gateway {name}")
        return {**GATEWAY, "options": {"channels": 30, "password": "", "incoming": {"numbers": ["users"]}}}

    def gateway_add(self, name: str, options: Mapping[str, Any]) -> Any:
        self.asked.append(("gateway_add", name, options))

    def gateway_import(self, gateways: Any, replace: bool, dry: bool) -> Any:
        self.asked.append(("gateway_import", gateways, replace, dry))
        return {"added": len(gateways), "replaced": 0, "same": 0}

    def gateway_set(self, name: str, options: Mapping[str, Any]) -> Any:
        self.asked.append(("gateway_set", name, options))

    def gateway_switch(self, name: str, on: bool) -> Any:
        self.asked.append(("gateway_switch", name, on))

    def gateway_remove(self, name: str) -> Any:
        self.asked.append(("gateway_remove", name))

    def history(self, since: float | None) -> Any:
        self.asked.append(("history", since))
        return self.past.read(since)

    def metrics(self) -> Any:
        return "voipcluster_calls 10.0\n"

    def create_token(self, ttl: float, uses: int) -> Any:
        self.asked.append(("create_token", ttl, uses))
        return "AAAABBBB@127.0.0.1"

    def user_add(self, name: str, domain: str, password: str) -> Any:
        self.asked.append(("user_add", name, domain, password))
        if name == "taken":
            raise UsageError("user taken exists\nalready")

    def user_remove(self, name: str, domain: str) -> Any:
        self.asked.append(("user_remove", name, domain))
        raise KeyError("a bug, with secret pw")

    def user_passwd(self, name: str, domain: str, password: str) -> Any:
        self.asked.append(("user_passwd", name, domain, password))

    def user_list(
        self,
        domain: str | None,
        limit: int | None = None,
        after: int | None = None,
        full: bool | None = None,
    ) -> Any:
        self.asked.append(("user_list", domain, full))
        return None if after else ["alice@example.com", "bob@example.com"]

    def user_parts(self, domain: str | None) -> Any:
        self.asked.append(("user_parts", domain))
        return iter(self.parts)

    def user_set(self, name: str, domain: str, preferences: Mapping[str, str]) -> Any:
        self.asked.append(("user_set", name, domain, preferences))

    def user_show(self, name: str, domain: str, full: bool | None = None) -> Any:
        return {"forward.busy": "carol"}

    def routes(self, number: str | None, caller: str | None) -> Any:
        self.asked.append(("routes", number, caller))
        return [NUMBER_ROUTE] if number else [ROUTE]

    def configuration(self) -> Any:
        return {"cluster": {"threshold": 0.75}}

    def reload(self, everywhere: bool, dry: bool) -> Any:
        self.asked.append(("reload", everywhere, dry))
        return [RELOADED]

    def bans(self) -> Any:
        return [BAN]

    def unban(self, who: str) -> Any:
        self.asked.append(("unban", who))
        if who != BAN["who"]:
            raise UsageError(f"{who} is not banned here")

    def page_password(self, password: str | None) -> Any:
        self.asked.append(("page_password", password))

    def drain(self, node: str | None, on: bool) -> Any:
        self.asked.append(("drain", node, on))
        return self.drained

    def forget(self, node: str) -> Any:
        self.asked.append(("forget", node))

    def stop(self, node: str | None) -> Any:
        self.asked.append(("stop", node))
