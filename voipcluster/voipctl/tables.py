"""Answers of a node as text for people: aligned columns, units, and no control characters from the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from voipcluster.voipctl.columns import Column, Rows, clean, cleaned, clock, each, table
from voipcluster.voipctl.lists import Listing


def _text(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: clean(row.get(key))


def _workload(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "-" if row.get(key) is None else f"{row[key]:.2f}"


def status(answer: Mapping[str, Any], verbose: bool) -> str:
    columns: list[Column] = [
        ("NODE", _text("name"), False),
        ("ROLE", _text("role"), False),
        (
            "STATE",
            lambda row: clean(row.get("state")) + (", will stop" if row.get("stopping") else ""),
            False,
        ),
        ("ADDRESS", _text("address"), False),
        ("WORKLOAD", _workload("workload"), True),
        ("CALLS", _text("calls"), True),
        ("REGISTRATIONS", _text("registrations"), True),
        ("HANDED OVER", _text("handed_over"), True),
        ("REPORT AGE", lambda row: _age({"age": row.get("report_age")}), True),
    ]
    nodes = answer["nodes"]
    if verbose:
        resources = sorted({resource for node in nodes for resource in node.get("components") or {}})
        columns += [(_SHARES.get(name, name.upper()), _component(name), True) for name in resources]
        if any(node.get("measured") for node in nodes):  # nodes of an earlier version do not say it
            columns += [(title, _measured(name, factor), True) for title, name, factor in _MEASURED]
    lines = [f"cluster {clean(answer.get('cluster'))}", table(columns, nodes), *_media_reasons(nodes)]
    lines += [*_versions(nodes), *_database(nodes), *_records_waiting(nodes)]
    if missing := answer.get("no_node"):
        names = ", ".join(clean(name) for name in missing)
        lines.append(
            f"cluster.sequence of {clean(answer.get('node'))}: no node of the cluster is called {names}"
        )
    return "\n".join(lines)


def _versions(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Who runs which release, while not all run the same."""
    by_release: dict[str, list[str]] = {}
    for node in nodes:
        if node.get("version"):
            by_release.setdefault(clean(node["version"]), []).append(clean(node.get("name")))
    if len(by_release) < 2:
        return []
    return [
        "voipcluster "
        + "; ".join(f"{release} at {', '.join(names)}" for release, names in by_release.items())
    ]


def _media_reasons(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why media is not relayed by the kernel, or not all of it, and what stops it at a restart; one line a reason."""
    by_reason: dict[str, list[str]] = {}
    for node in nodes:
        media = node.get("media")  # missing from nodes of an earlier version, and from those that are silent
        for key, text in (("reason", "media in user space"), ("restart_reason", "a restart stops media")):
            if isinstance(media, Mapping) and media.get(key):
                line = f"{text} at {{}}: {clean(media[key])}"
                by_reason.setdefault(line, []).append(clean(node.get("name")))
    return [line.replace("{}", ", ".join(names), 1) for line, names in by_reason.items()]


def _database(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the shared database; one line a thing, with the nodes that say so."""
    by_line: dict[str, list[str]] = {}
    for node in nodes:
        database = node.get("database")
        if not isinstance(database, Mapping):
            continue
        lines = [f"in the shared database: {clean(fault)}" for fault in database.get("faults") or ()]
        if database.get("trouble"):
            trouble = clean(database["trouble"]).removeprefix("the shared database: ")
            lines.insert(0, f"the shared database is not reached: {trouble}")
        if database.get("waiting"):
            one = database["waiting"] == 1
            changes = (
                "change of accounts or gateways waits" if one else "changes of accounts and gateways wait"
            )
            lines.append(f"{clean(database['waiting'])} {changes} for it")
        if database.get("records"):
            records = "call record waits" if database["records"] == 1 else "call records wait"
            lines.append(f"{clean(database['records'])} {records} for it")
        for line in lines:
            by_line.setdefault(line, []).append(clean(node.get("name")))
    return [f"{line} (node {', '.join(names)})" for line, names in by_line.items()]


def _records_waiting(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where call records do not go that are to go there; one line a thing, with the nodes that say so."""
    by_line: dict[str, list[str]] = {}
    for node in nodes:
        database = node.get("database")
        known = isinstance(database, Mapping) and bool(database.get("trouble"))  # it is told already
        told = node.get("records")  # missing from nodes of an earlier version
        for row in told if isinstance(told, list) else ():
            where, trouble, disk = clean(row.get("to")), row.get("trouble"), row.get("disk")
            waiting = f"{clean(row.get('waiting'))} {'waits' if row.get('waiting') == 1 else 'wait'}"
            lines = []
            if where == "disk":
                lines.append(f"call records cannot be written: {clean(trouble)}; {waiting} in memory")
            elif trouble and not (where == "database" and known):
                lines.append(f"the {where} takes no call records: {clean(trouble)}; {waiting}")
            if disk:
                lines.append(f"the queue of call records for the {where} cannot be used: {clean(disk)}")
            for line in lines:
                by_line.setdefault(line, []).append(clean(node.get("name")))
    return [f"{line} (node {', '.join(names)})" for line, names in by_line.items()]


# of what is counted the workload is the share of its limit; CALLS is the count itself
_SHARES = {name: f"{name.upper()}/LIMIT" for name in ("calls", "transactions", "packets", "memory")}


_MEASURED = (
    ("DELAY/MS", "delay", 1000.0),
    ("ARRIVE/S", "arrival_rate", 1.0),
    ("CAPACITY/S", "capacity", 1.0),
    ("REFUSED/S", "refusal_rate", 1.0),
    ("QUOTA/%", "quota", 100.0),
    ("GRANTED/%", "granted", 100.0),
)


def _measured(name: str, factor: float) -> Callable[[Mapping[str, Any]], str]:
    def cell(row: Mapping[str, Any]) -> str:
        value = (row.get("measured") or {}).get(name)
        if value is None or (name == "capacity" and not value):  # a node that has measured nothing yet says 0
            return "-"
        return f"{value * factor:.1f}"

    return cell


def _component(resource: str) -> Callable[[Mapping[str, Any]], str]:
    def cell(row: Mapping[str, Any]) -> str:
        value = (row.get("components") or {}).get(resource)
        return "-" if value is None else f"{value:.2f}"

    return cell


def bans(answer: Sequence[Mapping[str, Any]]) -> str:
    columns: list[Column] = [
        ("WHO", _text("who"), False),
        ("WHY", _text("reason"), False),
        ("LEFT", lambda row: clock(row.get("left")), True),
    ]
    return table(columns, answer)


def routes(answer: Sequence[Mapping[str, Any]]) -> str:
    """All routes; or what a number would take, which has been called then."""
    columns: list[Column] = [
        ("PREFIX", lambda row: clean(row.get("prefix") or "any"), False),
        ("GATEWAY", _text("gateway"), False),
        ("PRIORITY", _text("priority"), True),
        ("WEIGHT", _text("weight"), True),
    ]
    if answer and "called" in answer[0]:
        columns += [
            ("PRICE", _text("price"), True),
            ("SENT AS", _text("sent"), False),
            ("STATE", _text("state"), False),
            ("WHY", _text("reason"), False),
        ]
        return f"{clean(answer[0]['called'])}\n{table(columns, answer)}"
    columns += [
        ("STRIP", _text("strip"), True),
        ("PREPEND", _text("prepend"), False),
        ("CALLER", _text("caller"), False),
    ]
    return table(columns, answer)


def _digests(row: Mapping[str, Any]) -> str:
    return ", ".join(clean(name) for name in row.get("digests") or ()) or "none"


class Users(Rows):
    """The accounts, a part at a time."""

    def __init__(self) -> None:
        super().__init__([("USER", False), ("DIGESTS", False), ("DISABLED", False)])

    def __call__(self, part: Listing) -> Iterable[tuple[str, ...]]:
        digests = [", ".join(names or ()) or "none" for names in part.column("digests")]
        disabled = ["yes" if one else "no" for one in part.column("disabled")]
        return self.of([cleaned(part.column("user")), each(clean, digests), disabled])


def one_user(answer: Mapping[str, Any]) -> str:
    """The preferences as they can be given to C{user set}; what is said besides stands behind C{#}."""
    disabled = "; disabled: he can neither register nor call" if answer.get("disabled") else ""
    wanted = sorted((answer.get("preferences") or {}).items())
    lines = [f"{clean(name)}={clean(text)}" for name, text in wanted] or ["# no preferences"]
    return "\n".join([f"# {clean(answer.get('user'))}: digests {_digests(answer)}{disabled}", *lines])


class Registrations(Rows):
    """Who is registered, a part at a time."""

    def __init__(self) -> None:
        titles = ("AOR", "CONTACT", "NODE", "SOURCE", "TRANSPORT", "EXPIRES", "USER AGENT")
        super().__init__([(title, title == "EXPIRES") for title in titles])

    def __call__(self, part: Listing) -> Iterable[tuple[str, ...]]:
        return self.of(
            [
                cleaned(part.column("aor")),
                cleaned(part.column("contact")),
                each(clean, part.column("node")),
                cleaned(part.column("source")),
                each(clean, part.column("transport")),
                each(clock, part.column("expires")),
                each(clean, part.column("user_agent")),
            ]
        )


def calls(answer: Sequence[Mapping[str, Any]]) -> str:
    columns: list[Column] = [
        ("CALL-ID", _text("call_id"), False),
        ("FROM", _text("from"), False),
        ("TO", _text("to"), False),
        ("NODE", _text("node"), False),
        ("STATE", _text("state"), False),
        ("CLIENT", _text("client"), False),
        ("TRANSPORT", _text("transport"), False),
        ("USER", _text("user"), False),
        *([("GATEWAY", _gateways, False)] if any(map(_has_gateway, answer)) else []),
        ("DURATION", lambda row: clock(row.get("duration")), True),
        ("SESSION", lambda row: clock(row.get("session")), True),
        ("AUDIO", _text("audio"), False),
    ]
    return table(columns, answer)


def _has_gateway(row: Mapping[str, Any]) -> bool:
    return bool(row.get("gateway_in") or row.get("gateway_out"))


def _gateways(row: Mapping[str, Any]) -> str:
    """C{in>}, C{>out} or C{in>out}: the gateways that a call came from and went to."""
    return clean(f"{row.get('gateway_in', '')}>{row.get('gateway_out', '')}" if _has_gateway(row) else "")


def one_call(answer: Sequence[Mapping[str, Any]]) -> str:
    """Each call with that Call-ID, and how each direction of its media arrives."""
    return "\n\n".join(_one_call(row) for row in answer)


def _one_call(row: Mapping[str, Any]) -> str:
    parts = [calls([row])]
    if row.get("reason"):
        parts.append(f"ended after {clock(row.get('duration'))}: {clean(row['reason'])}")
    if "streams" not in row:
        parts.append(
            f"node {clean(row.get('node'))} is of an earlier version and does not tell how it sounds"
        )
    elif not row["streams"]:
        parts.append("no media is relayed")
    else:
        parts += [_stream(number, stream) for number, stream in enumerate(row["streams"], 1)]
    return "\n\n".join(parts)


def _stream(number: int, stream: Mapping[str, Any]) -> str:
    codec = "" if not stream.get("codec") else f", {clean(stream['codec'])}/{clean(stream.get('rate'))}"
    title = f"media {number}: {clean(stream.get('kind'))}, {clean(stream.get('protocol'))}{codec}"
    title += ", on hold" if stream.get("held") else ""
    if stream.get("trouble"):
        missing = clean(stream.get("missing") or "either side")
        title += f"; {clean(stream['trouble'])}: nothing comes from {missing}"
        strangers = sum(way.get("strangers", 0) for way in stream.get("directions") or ())
        if strangers:
            title += f"; {strangers} packets came from where the relay does not expect them, and were dropped"
    if stream.get("protected"):
        title += "; its RTCP is encrypted: only packets are known"
    columns: list[Column] = [
        ("FROM", _text("from"), False),
        ("TO", _text("to"), False),
        ("PACKETS", _text("packets"), True),
        ("OCTETS", _text("octets"), True),
        ("LOST", _text("lost"), True),
        ("LOSS", lambda row: _scaled(row.get("loss"), 100, "%"), True),
        ("JITTER", lambda row: _scaled(row.get("jitter"), 1000, " ms"), True),
        ("MAX", lambda row: _scaled(row.get("jitter_max"), 1000, " ms"), True),
        ("ROUND TRIP", lambda row: _scaled(row.get("round_trip"), 1000, " ms"), True),
        ("DELAY", lambda row: _scaled(row.get("delay"), 1, " ms"), True),
        ("R", lambda row: _scaled(row.get("r"), 1, ""), True),
        ("MOS", _mos, True),
        ("PHONE'S MOS", _own_mos, True),
    ]
    return f"{title}\n{table(columns, stream.get('directions') or [])}"


def _scaled(value: float | None, factor: float, unit: str) -> str:
    return "-" if value is None else f"{value * factor:.1f}{unit}"


def _mos(row: Mapping[str, Any]) -> str:
    return "-" if row.get("mos") is None else f"{row['mos']:.2f}"


def _own_mos(row: Mapping[str, Any]) -> str:
    """What the phone estimates itself (RFC 3611 section 4.7)."""
    mos = (row.get("measured") or {}).get("mos_cq")
    return "-" if mos is None else f"{mos:.1f}"


def explain(answer: Sequence[Mapping[str, Any]]) -> str:
    """Each hop with its candidates: the chosen one with C{*}, and why each was taken or passed over."""
    return "\n\n".join(_hop(number, hop) for number, hop in enumerate(answer, 1))


def _hop(number: int, hop: Mapping[str, Any]) -> str:
    chosen = hop.get("chosen")
    columns: list[Column] = [
        ("", lambda row: "  *" if chosen and row.get("node") == chosen else "   ", False),
        ("CANDIDATE", _text("node"), False),
        ("STATE", _text("state"), False),
        ("WORKLOAD", _workload("workload"), True),
        ("WAIT", lambda row: _milliseconds(row.get("wait")), True),
        ("ROOM", lambda row: _room(row.get("room")), True),
        ("AGE", _age, True),
        ("REASON", _text("reason"), False),
    ]
    target = f" to {clean(chosen)}" if chosen and chosen != hop.get("node") else ""
    title = f"hop {number}: {clean(hop.get('node'))}: {clean(hop.get('outcome'))}{target}: {clean(hop.get('reason'))}"
    own = _workload("own")(hop) + (f" ({clean(hop['leading'])})" if hop.get("leading") else "")
    levels = f"gate {_workload('gate')(hop)}, hard limit {_workload('hard_limit')(hop)}"
    facts = f"   policy {clean(hop.get('policy'))}, own workload {own}, {levels}"
    facts += f", own wait {_milliseconds(hop.get('delay'))}{_plan(hop)}"
    candidates = hop.get("candidates") or []
    return "\n".join([title, facts, *([table(columns, candidates)] if candidates else [])])


def _plan(hop: Mapping[str, Any]) -> str:
    """What the plan of the rates was, where the policy makes one."""
    share = hop.get("share")
    if share is None or share < 0:
        return ""
    fresh = "" if hop.get("fresh", True) else ", reports too old to compare"
    return f", the plan gives {share:.0%} away{fresh}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def _room(rate: float | None) -> str:
    """Requests per second that the plan has for a node; nothing where it has none, as when all have the same load."""
    return "-" if rate is None or rate < 0.5 else f"{rate:.0f}/s"


def _age(row: Mapping[str, Any]) -> str:
    """A report's age; a node that never reported has a negative one."""
    age = row.get("age")
    return "-" if age is None or age < 0 else f"{age:.1f} s"


def records(rows: Iterable[Mapping[str, Any]]) -> str:
    """Calls that are over; times are local ones."""
    columns: list[Column] = [
        ("ENDED", lambda row: datetime.fromtimestamp(row["end_time"]).isoformat(" ", "seconds"), False),
        ("FROM", _text("caller"), False),
        ("TO", _text("callee"), False),
        ("CODE", _text("sip_code"), False),
        ("DURATION", lambda row: clock(row["duration"]) if row.get("answer_time") else "-", True),
        ("CAUSE", _text("cause"), False),
        ("MOS", lambda row: "/".join(_heard(row.get(name)) for name in ("mos_caller", "mos_callee")), False),
        ("NODE", _text("node"), False),
        ("CALL-ID", _text("callid"), False),
    ]
    rows = list(rows)
    if any(map(_has_gateway, rows)):
        columns[3:3] = [("NUMBER", _text("number"), False), ("GATEWAY", _gateways, False)]
    return table(columns, rows)


def attempts(rows: Iterable[Mapping[str, Any]]) -> str:
    """Places where calls were tried; times are local ones."""
    columns: list[Column] = [
        ("BEGAN", lambda row: datetime.fromtimestamp(row["start_time"]).isoformat(" ", "seconds"), False),
        ("FROM", _text("caller"), False),
        ("NO", _text("attempt"), True),
        ("TARGET", _text("target"), False),
        ("GATEWAY", _text("gateway"), False),
        ("CODE", _text("sip_code"), False),
        ("LASTED", lambda row: clock(row["end_time"] - row["start_time"]), True),
        ("CAUSE", _text("cause"), False),
        ("ENDED BY", _text("ended_by"), False),
        ("NODE", _text("node"), False),
        ("CALL-ID", _text("callid"), False),
    ]
    return table(columns, list(rows))


def _heard(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
