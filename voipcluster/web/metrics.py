"""What C{/metrics} says: the node's plain numbers under names that Prometheus users expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from voipcluster.media.tally import Tally

Value: TypeAlias = float | Mapping[str, float | Tally]
Numbers: TypeAlias = Mapping[str, Value]
"""
Metric to its value, or to one value or histogram for each value of its label; a metric without a value is left out.
"""


class Described(NamedTuple):
    """One metric; a counter's name ends in C{_total} and only rises. With tallies as values it is a histogram."""

    name: str
    help: str
    label: str | None = None


CATALOGUE = {
    described.name: described
    for described in (
        Described("voipcluster_workload", "Workload of each node as this node knows it, 0 to 1.", "node"),
        Described("voipcluster_workload_component", "This node's use of each resource, 0 to 1.", "resource"),
        Described("voipcluster_node_up", "1 when the node is heard of and serves, else 0.", "node"),
        Described("voipcluster_report_age_seconds", "Age of the last workload report.", "node"),
        Described("voipcluster_calls", "Calls in progress at this node."),
        Described("voipcluster_calls_total", "Calls that this node has placed on itself."),
        Described("voipcluster_registrations", "Bindings that this node knows."),
        Described("voipcluster_transactions", "SIP transactions in progress.", "side"),
        Described("voipcluster_timers", "Timers of the SIP side that run."),
        Described("voipcluster_requests_total", "SIP requests received.", "method"),
        Described("voipcluster_responses_total", "SIP responses sent.", "code"),
        Described(
            "voipcluster_placements_total", "Requests placed: serve, hand-over, redirect, refuse.", "decision"
        ),
        Described("voipcluster_handed_over_total", "Requests handed over to each node.", "node"),
        Described(
            "voipcluster_authentications_total",
            "Requests by what came of their digest: accepted, challenged, stale, guessed, banned, refused.",
            "result",
        ),
        Described(
            "voipcluster_gateway_up",
            "1 while a gateway is enabled and there, as this node sees it.",
            "gateway",
        ),
        Described("voipcluster_gateway_channels", "Channels in use, over all nodes.", "gateway"),
        Described("voipcluster_gateway_channels_limit", "Channels that there are, if limited.", "gateway"),
        Described("voipcluster_gateway_seizures_total", "Calls of this node to and from it.", "gateway"),
        Described("voipcluster_gateway_answers_total", "Those that were answered.", "gateway"),
        Described(
            "voipcluster_gateway_refused_total",
            "Requests of gateways, around them, or of strangers for numbers, that were refused.",
            "reason",
        ),
        Described("voipcluster_media_streams", "Relayed media streams."),
        Described("voipcluster_media_ports_free", "Relay ports that are free."),
        Described(
            "voipcluster_media_packets_total", "RTP and RTCP packets: relayed, relayed in kernel.", "result"
        ),
        Described("voipcluster_media_path", "1 for who relays media: kernel, userspace, off.", "path"),
        Described("voipcluster_media_path_info", "Why that is so; always 1.", "reason"),
        Described("voipcluster_media_bytes_total", "Octets of relayed packets."),
        Described(
            "voipcluster_call_mos",
            "What each side of an ended call thought of what it heard, 1 to 4.5 (E-model, ITU-T G.107).",
            "side",
        ),
        Described(
            "voipcluster_rtcp_round_trip_seconds",
            "From this node to the phone on that side and back.",
            "side",
        ),
        Described("voipcluster_rtcp_jitter_seconds", "Jitter in reports of phones on that side.", "side"),
        Described(
            "voipcluster_rtcp_lost_ratio", "Lost packets in reports of phones on that side, 0 to 1.", "side"
        ),
        Described(
            "voipcluster_rtcp_packets_total",
            "RTCP datagrams: read, unreadable, or skipped since too many came in a second.",
            "result",
        ),
        Described(
            "voipcluster_media_trouble_total",
            "Calls whose media went one way, or stopped: one-way, silent.",
            "kind",
        ),
        Described("voipcluster_connections", "Open SIP connections.", "transport"),
        Described("voipcluster_messages_dropped_total", "SIP messages dropped.", "reason"),
        Described("voipcluster_refused_total", "What was refused for a limit, by limit.", "limit"),
        Described(
            "voipcluster_allowance_refused_total",
            "Calls to numbers that were refused to a user, or not brought to a gateway, for what it has had.",
            "limit",
        ),
        Described("voipcluster_bans", "Bans in force."),
        Described(
            "voipcluster_bans_total", "Bans begun: of an address, a user, a guessed user name.", "kind"
        ),
        Described("voipcluster_sources", "Sources and users whose requests are counted now."),
        Described(
            "voipcluster_dns_questions_total",
            "Questions to the DNS: answered, no such name, timed out ...",
            "result",
        ),
        Described("voipcluster_dns_cache_hits_total", "Questions that needed no DNS server."),
        Described("voipcluster_dns_outstanding", "Questions that wait for an answer of the DNS."),
        Described("voipcluster_dns_unresolved_total", "Requests to names that lead to no server."),
        Described(
            "voipcluster_server_failures_total",
            "Servers of names that did not serve: silent, refused, 503.",
            "reason",
        ),
        Described("voipcluster_dead_hops", "Servers of names that are tried last for now."),
        Described("voipcluster_link_dropped_total", "Messages of other nodes dropped.", "reason"),
        Described("voipcluster_queueing_delay_seconds", "How long messages wait for the node."),
        Described("voipcluster_arrival_rate", "New requests of clients per second."),
        Described(
            "voipcluster_capacity",
            "Requests completed per second of busy CPU, times the share of a CPU it gets; 0: not known yet, 0.001 or less: none.",
        ),
        Described(
            "voipcluster_cpu_quota",
            "CPUs that the control group of the node leaves to its thread, 1 at most; workload component cpu is a share of it.",
        ),
        Described(
            "voipcluster_cpu_granted", "Share of a CPU that the reactor's thread gets when it wants one."
        ),
        Described("voipcluster_refusal_rate", "New requests per second refused for overload."),
        Described("voipcluster_overload", "1 while new requests are limited for overload, else 0."),
        Described("voipcluster_reactor_delay_seconds", "How late timers run."),
        Described(
            "voipcluster_web_logins_total", "Log-ins at the web page: accepted, wrong, too many.", "result"
        ),
        Described(
            "voipcluster_web_refused_total",
            "Requests that the web page refused: cross-site, host, no session.",
            "reason",
        ),
        Described(
            "voipcluster_call_records_total",
            "Records of calls: ended; lost; left out, since too many were refused at once.",
            "result",
        ),
        Described("voipcluster_call_records_unwritten", "Records that are not on the disk yet."),
        Described(
            "voipcluster_call_record_rows_waiting",
            "Rows that wait on the disk: for the database, the webhook.",
            "consumer",
        ),
        Described(
            "voipcluster_directory_up",
            "1 while accounts and gateways of the shared database can be read, else 0.",
            "database",
        ),
        Described(
            "voipcluster_directory_changes_waiting",
            "Changes of accounts and gateways that wait for the shared database.",
            "database",
        ),
        Described(
            "voipcluster_directory_faults",
            "Wrong rows in the shared database, which are passed over.",
            "database",
        ),
        Described(
            "voipcluster_hep_packets_total",
            "Packets for the HEP collector: sent; not sent since too many waited (full), or it is away.",
            "result",
        ),
        Described("voipcluster_call_record_rows_taken_total", "Rows that were taken.", "consumer"),
        Described(
            "voipcluster_call_record_rows_lost_total", "Rows given up, since too many waited.", "consumer"
        ),
    )
}


class _NodeCollector(Collector):
    """Asks for the numbers at each scrape, so that counting costs the node no more than an addition."""

    def __init__(self, read: Callable[[], Numbers]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        numbers = self._read()
        unknown = numbers.keys() - CATALOGUE.keys()
        assert not unknown, f"not in the catalogue: {unknown}"
        for name, described in CATALOGUE.items():
            value = numbers.get(name)
            if value is not None:
                yield _family(described, value)

    def describe(self) -> list[Metric]:
        return []  # else the registry would read the numbers before the node has started


def _family(described: Described, value: Value) -> Metric:
    labels = [] if described.label is None else [described.label]
    tallies = (
        {label: one for label, one in value.items() if isinstance(one, Tally)}
        if isinstance(value, Mapping)
        else {}
    )
    if tallies:
        return _histogram(described, tallies)
    family_of = CounterMetricFamily if described.name.endswith("_total") else GaugeMetricFamily
    family = family_of(described.name, described.help, labels=labels)
    if described.label is None:
        assert not isinstance(value, Mapping), described.name
        family.add_metric([], value)
    else:
        assert isinstance(value, Mapping), described.name
        for label, one in sorted(value.items()):
            assert not isinstance(one, Tally), f"{described.name}: all of its values are, or none"
            family.add_metric([label], one)
    return family


def _histogram(described: Described, tallies: Mapping[str, Tally]) -> Metric:
    assert described.label is not None, described.name
    family = HistogramMetricFamily(described.name, described.help, labels=[described.label])
    for label, tally in sorted(tallies.items()):
        buckets = [(floatToGoString(bound), count) for bound, count in tally.cumulative()]
        family.add_metric([label], buckets, sum_value=tally.total)
    return family


class NodeMetrics:
    """
    The metrics of one node, in a registry of its own so that one process can hold several nodes.

    @param version: of voipcluster.
    @param node: this node's name.
    @param role: C{primary} or C{secondary}.
    @param read: returns the numbers of now; called at each scrape.
    """

    def __init__(self, version: str, node: str, role: str, read: Callable[[], Numbers]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Info({"version": version, "node": node, "role": role}))
        self.registry.register(_NodeCollector(read))
        ProcessCollector(registry=self.registry)

    def text(self) -> str:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry).decode("utf-8")


class _Info(Collector):
    """Always 1; its labels tell which node this is."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("voipcluster_node_info", "Which node this is.", labels=list(self._labels))
        family.add_metric(list(self._labels.values()), 1)
        yield family
