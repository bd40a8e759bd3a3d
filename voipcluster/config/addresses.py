"""The addresses of one node: which go together, and what each of them is called from outside."""

from __future__ import annotations

from voipcluster.address import is_ipv6
from voipcluster.config.cluster import NodeOptions


def address_trouble(node: NodeOptions) -> tuple[str, str]:
    """
    Which of the addresses of a node does not go with the others.

    The relay and Record-Route name one address of each IP version, so there is no place for a second one.

    @return: the name of the option, and why in words for the operator; both empty when they fit, as far as they are known:
        without C{node.address} it is that of the default route, which is found later.
    """
    of_version = {is_ipv6(node.address): node.address} if node.address else {}
    for also in node.also:
        before = of_version.setdefault(is_ipv6(also), also)
        if before != also or also == node.address:
            version = 6 if is_ipv6(also) else 4
            return (
                "node.also",
                f"{also} is a second IPv{version} address beside {before}; one of each version is allowed",
            )
    advertised = node.advertised
    if advertised and node.address and is_ipv6(advertised) != is_ipv6(node.address):
        return "node.advertised", f"{advertised} is not of the IP version of node.address, {node.address}"
    if advertised and advertised in node.also:
        return "node.advertised", f"{advertised} is in node.also, too"
    return "", ""


def host_names(node: NodeOptions) -> tuple[str, ...]:
    """All hosts that the node is called by: its addresses, and what it has phones call it."""
    return tuple(dict.fromkeys(host for host in (node.address, node.advertised, *node.also) if host))
