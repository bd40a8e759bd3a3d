"""C{[cluster]} and C{[node]}: what is true of all nodes, and who one of them is."""

from __future__ import annotations

from attrs import frozen

from voipcluster.config.kinds import (
    NODE_NAME,
    POLICY_NAME,
    Address,
    Choice,
    Domain,
    JoinToken,
    Number,
    Path,
    Whole,
    Words,
)
from voipcluster.config.option import option

POLICIES = ("planned", "sequence", "least-loaded", "two-choices")
MODES = ("forward", "redirect", "auto")
ROLES = ("primary", "secondary")


@frozen
class ClusterOptions:
    """Options of the whole cluster; the same on every node."""

    domain: tuple[str, ...] = option(
        ("example.com",),
        Words(Domain(), 'domains such as "example.com"', 1),
        "SIP domains that this cluster serves",
    )
    threshold: float = option(
        0.75, Number(0, 1, above=True), "workload (0..1) above which a node hands new requests on", live=True
    )
    hard_limit: float = option(
        0.95, Number(0, 1, above=True), "workload above which it refuses what nobody else takes", live=True
    )
    mode: str = option(
        "forward", Choice(MODES), "forward | redirect | auto: how a client gets to the chosen node", live=True
    )
    policy: str = option(
        "planned", POLICY_NAME, "planned | sequence | least-loaded | two-choices | a plugin's name", live=True
    )
    sequence: tuple[str, ...] = option(
        (),
        Words(NODE_NAME, "node names"),
        'node names, for policy = "sequence"; [] = order of joining',
        live=True,
    )
    period: float = option(1.0, Number(0, 3600, "s", above=True), "s between workload reports", live=True)
    hop_budget: int = option(2, Whole(0, 16), "how many times one request may be handed on", live=True)
    step: float = option(
        0.02,
        Number(0, 1, above=True),
        "a workload that moved by more than this is reported at once",
        live=True,
    )
    slow_start: float = option(
        5.0,
        Number(0, 3600, "s"),
        "s in which a node that has started doubles what it takes, from a tenth of its share on; 0 = all at once",
    )
    port: int = option(8787, Whole(1, 65535), "TCP port of the link between the nodes (TLS)")


@frozen
class NodeOptions:
    """This node; usually given by flags, since the file is the same on every node."""

    name: str = option("", NODE_NAME, '"" = first label of the host name (--name)')
    role: str = option("", Choice(ROLES), "primary | secondary (--role)")
    address: str = option("", Address(), '"" = the address of the default route (--address)')
    also: tuple[str, ...] = option(
        (),
        Words(Address(), 'addresses of this machine, such as "2001:db8::1"'),
        "its address of the other IP version, for phones that have only that; nodes call each other by address (--set)",
    )
    advertised: str = option(
        "",
        Address(),
        "behind a one-to-one NAT: what phones are to call it instead of address, of the same IP version",
    )
    state_dir: str = option("voipcluster-state", Path(), "keys, accounts and the admin socket (--state-dir)")
    join: str = option(
        "", JoinToken(), "what voipctl join-token printed, for a secondary's first start (--join)"
    )
