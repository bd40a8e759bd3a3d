"""What was said in a call, gathered from all nodes for the operator: messages where they were traced, an outline in any case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from voipcluster.address import TLS, WS, WSS, join_host_port, split_host_port
from voipcluster.errors import UsageError
from voipcluster.services.commands import MAX_TRACE
from voipcluster.services.tracing.outline import events
from voipcluster.services.tracing.wanted import wanted_of
from voipcluster.sip.ladder import Seen, Step, ladder, participants
from voipcluster.web.view import Row

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

MOST_STEPS = 2000  # in one answer

Ask = Callable[[str, Row], Deferred[dict[str, Row]]]
"""Asks all other nodes; gives the answers of those that answered, by name."""


class TraceView:
    """
    @param ask: see L{Ask}; C{silent}: those who have not answered, of what did.
    """

    def __init__(self, node: NodeParts, ask: Ask, silent: Callable[[Mapping[str, Row]], list[str]]) -> None:
        self._node, self._ask, self._silent = node, ask, silent

    # -- one node's part

    def own(self, call_id: str, texts: bool) -> Row:
        """What this node knows of a call."""
        node = self._node
        running = (call for call in node.calls if call.key.call_id == call_id)
        return {
            "messages": node.recorder.rows(call_id, texts),
            "events": events(
                node.core.node, node.placing.explanations.get(call_id), running, node.outlines.find(call_id)
            ),
        }

    def switch(self, params: Mapping[str, Any]) -> Row:
        """
        Trace here what is asked for, or nothing any more.

        @raise UsageError: what is asked for is nothing that can be traced.
        """
        recorder = self._node.recorder
        if params.get("on"):
            asked = (params.get(name) for name in ("user", "address", "call_id"))
            user, address, call_id = (one if isinstance(one, str) else None for one in asked)
            wanted = wanted_of(user, address, call_id, params.get("all") is True)
            seconds = params.get("seconds")
            if not isinstance(seconds, (int, float)) or not 0.0 < seconds <= MAX_TRACE:
                raise UsageError(f"seconds: found {seconds!r:.40}, allowed is a number up to {MAX_TRACE:g}")
            recorder.switch_on(wanted, float(seconds))
        else:
            recorder.switch_off(params.get("forget") is True)
        return recorder.state()

    # -- all nodes together

    def trace(self, call_id: str, texts: bool) -> Deferred[Row]:
        """See L{voipcluster.services.commands.INodeControl.trace}."""

        def gathered(others: dict[str, Row]) -> Row:
            parts = {self._node.core.node: self.own(call_id, texts), **others}
            return self._put_together(call_id, parts)

        return self._ask("trace", {"call_id": call_id, "texts": texts}).addCallback(gathered)

    def order(self, **params: Any) -> Deferred[list[Row]]:
        """Switch tracing on or off at all nodes. @return: the state of each that has done it."""
        own = self.switch(params)
        return self._ask("trace-switch", params).addCallback(self._states, own)

    def status(self) -> Deferred[list[Row]]:
        """What is traced at each node."""
        return self._ask("trace-status", {}).addCallback(self._states, self._node.recorder.state())

    def tell(self, call_ids: list[str]) -> None:
        """The others are to trace these, too."""
        self._ask("trace-follow", {"call_ids": call_ids})

    def _states(self, others: dict[str, Row], own: Row) -> list[Row]:
        rows = [{"node": self._node.core.node, **own}]
        rows += [{"node": name, **row} for name, row in sorted(others.items())]
        return rows + [{"node": name, "error": "not reachable"} for name in self._silent(others)]

    def _put_together(self, call_id: str, parts: Mapping[str, Row]) -> Row:
        seen = [one for name, part in parts.items() for one in _seen(name, part.get("messages", ()))]
        noted = [row for part in parts.values() for row in part.get("events", ()) if _is_event(row)]
        steps = ladder(seen, self._addresses())[-MOST_STEPS:]
        silent = self._silent({name: {} for name in parts})
        if not steps and not noted:
            lost = f"; {not_reachable(silent)}" if silent else ""
            raise UsageError(
                f"no node remembers a call with the Call-ID {call_id}: each knows those of its last 1,000 calls, and none from"
                f" before its start{lost}"
            )
        noted.sort(key=lambda row: (row["at"], row["node"]))
        who = participants(steps)
        begin = min([step.at for step in steps[:1]] + [row["at"] for row in noted[:1]])
        known = {node.name for node in self._node.cluster.members()}
        return {
            "call_id": call_id,
            "begin": begin,
            "nodes": sorted(parts),
            "silent": silent,
            "participants": [{"name": name, "node": name in known} for name in who],
            "steps": [_step(step, who, begin) for step in steps],
            "events": [{**row, "after": round(row["at"] - begin, 6)} for row in noted],
        }

    def _addresses(self) -> dict[str, str]:
        """The name of each node by each of its addresses that others know."""
        core = self._node.core
        named = {}
        for name, (host, port) in core.addresses.items():
            for of in {port, *(core.ports.get(transport, port) for transport in (TLS, WS, WSS))}:
                named[join_host_port(host, of)] = name
        for host, port in core.transport.local_addresses():
            named[join_host_port(host, port)] = core.node
        return named


def not_reachable(names: Sequence[str]) -> str:
    """That nodes, one or more, have not answered."""
    return (
        f"node {names[0]} is not reachable"
        if len(names) == 1
        else f"nodes {', '.join(names)} are not reachable"
    )


def _seen(node: str, rows: Iterable[object]) -> Iterable[Seen]:
    """Rows of L{Recorder.rows}, as another node may send them: what is none is left out."""
    for row in rows:
        if not isinstance(row, dict):
            continue
        at, text = row.get("at"), row.get("text")
        words = [row.get(name) for name in ("transport", "local", "remote", "line", "cseq", "mark")]
        if isinstance(at, int | float) and all(isinstance(word, str) for word in words):
            transport, local, remote, line, cseq, mark = map(str, words)
            if not (_is_address(local) and _is_address(remote)):
                continue
            yield Seen(
                node=node, at=float(at), sent=row.get("sent") is True, transport=transport, local=local, remote=remote,
                line=line, cseq=cseq, mark=mark, text=text if isinstance(text, str) else None,
            )  # fmt: skip


def _is_address(text: str) -> bool:
    try:
        return bool(split_host_port(text, 0))
    except ValueError:
        return False


def _is_event(row: object) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("at"), int | float)
        and isinstance(row.get("node"), str)
        and isinstance(row.get("text"), str)
    )


def _step(step: Step, who: list[str], begin: float) -> Row:
    seen = step.seen
    row: Row = {
        "at": step.at,
        "after": round(step.at - begin, 6),
        "from": who.index(step.source),
        "to": who.index(step.target),
        "transport": seen.transport,
        "label": label_of(seen.line),
        "cseq": seen.cseq,
        "repeat": step.repeat,
        "unseen": step.unseen,
    }
    return row if seen.text is None else row | {"text": seen.text}


def label_of(line: str) -> str:
    """C{INVITE} or C{180 Ringing} of a start line."""
    version, space, rest = line.partition(" ")
    return rest if space and version.upper().startswith("SIP/") else version
