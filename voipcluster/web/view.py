"""What the web page, the metrics and the admin socket read of a node."""

from __future__ import annotations

from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from zope.interface import Interface

Row: TypeAlias = dict[str, Any]
"""What JSON calls an object; all values are JSON's."""

Later: TypeAlias = Deferred[Any] | Any
"""A result at once or in a Deferred."""


class INodeView(Interface):
    """
    Read one node and, through it, its cluster. Results are dicts and lists that JSON can hold, times are s.

    Each method may return a Deferred; a L{voipcluster.errors.VoipclusterError} has a text for the one who asked.
    """

    def status() -> Later:
        """
        C{{"cluster": id, "node": name of this node, "threshold": 0..1, "hard_limit": 0..1, "no_node": [name],
        "registrations" (in the whole cluster), "nodes": [...]}}; C{no_node}: names in C{cluster.sequence} that no node has. Each
        node is
        C{{"name", "role", "state", "stopping" (when its last call ends),
        "address", "workload" (0..1 or null), "calls", "registrations", "report_age" (s or
        null), "handed_over" (requests it gave to others), "components": {resource: 0..1}}}.
        """

    def registrations(aor: str | None, limit: int | None = None, after: int | None = None) -> Later:
        """
        The bindings of C{user@domain}, or of all; then those of at most C{limit} users, behind the first C{after} ones, in no
        order; an empty list behind the last. What is registered meanwhile may be missing. C{[{"aor", "contact", "node", "source",
        "transport", "user_agent", "expires" (s left)}]}.
        """

    def calls(
        call_id: str | None,
        limit: int | None = None,
        after: int | None = None,
        silent: bool | None = None,
    ) -> Later:
        """
        Calls in progress on all nodes, or that one; of each node at most C{limit}, behind the C{after} longest:
        C{[{"call_id", "from", "to", "node", "state", "client" (host:port),
        "transport", "user" (who authenticated, or null), "gateway_in", "gateway_out", "number" (that was called),
        "duration" (s), "audio" ("both" | "caller" | "callee" | "none"), "visited": [nodes]}]}; C{audio} tells
        from which side packets were heard.

        @param silent: C{{"calls": these, "silent": [nodes that did not answer, whose calls are missing]}} instead.

        Of one call also how it sounds, and it may be over: then C{state} is "ended", and it has C{"ended"} (unix s) and
        C{"reason"}. C{"streams": [{"kind", "protocol", "codec", "rate" (Hz), "held", "protected" (RTCP cannot be read), "trouble"
        ("one-way" | "silent" | null), "missing" ("caller" | "callee" | null), "round_trip" (s, from end to end), "unreadable",
        "directions": [{"from", "to", "packets", "octets", "strangers", "reports", "lost", "loss" (0..1), "jitter" and
        "jitter_max" (s), "round_trip" (s, between node and "to"), "r", "mos", "delay" (ms), "measured": {"r", "mos_lq", "mos_cq",
        "jitter_buffer" (ms), "loss", "discarded"} or null, "course": [{"at" (unix s), "loss", "jitter", "round_trip",
        "mos"}]}]}]}; null is not known, C{docs/quality.md} tells what each is made of.
        """

    def gateways() -> Later:
        """
        All gateways: C{[{"name", "kind", "servers", "transport", "where" ("file" | "database" | "file, changed"), "state" ("up" |
        "down" | "closed" | "disabled"), "reason", "registration", "channels" (in use over all nodes), "most" (0: any number),
        "seizures", "answers", "asr" (0..1 or null), "refused", "last_cause", "last_at" (unix s), "nodes": [{"node", "state",
        "reason", "registration", "seizures", "answers", "refused"}], "silent": [nodes that did not answer]}]}.
        """

    def routes(number: str | None, caller: str | None) -> Later:
        """
        The routes of numbers; with a number the gateways that it would take now, and why others are passed over.

        @param caller: the user whose permissions count then, C{NAME@DOMAIN}.
        """

    def explain(call_id: str) -> Later:
        """
        One item for each placement of that call, in their order: L{voipcluster.balance.explain.Explanation} as a dict,
        C{[{"node", "time", "hops", "own", "leading", "gate", "hard_limit", "policy", "outcome", "chosen", "reason",
        "candidates": [{"node", "state", "workload", "age", "reason"}]}]}.
        """

    def trace(call_id: str, texts: bool) -> Later:
        """
        What was said in a call: C{{"call_id", "begin" (unix s), "nodes": [those that answered], "silent": [those that did not],
        "participants": [{"name" (of a node, or an address), "node": whether it is one}], "steps": [{"at", "after" (s since
        "begin"), "from", "to" (numbers of participants), "transport", "label" ("INVITE" | "180 Ringing"), "cseq", "repeat",
        "unseen" (by the node that it was sent to)}], "events": [{"node", "at", "after", "text"}]}}. There are steps when the call
        was traced, with the whole message as C{text} when these are asked for; events in any case.
        """

    def history(since: float | None) -> Later:
        """What L{voipcluster.web.history.History.read} returns; C{since} is unix s, L{None} for all of it."""

    def metrics() -> Later:
        """Prometheus' text format, as L{voipcluster.web.metrics.NodeMetrics.text} makes it."""
