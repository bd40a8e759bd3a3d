"""
By which names the web page may be asked for.

A page of another origin reads ours when its own name is pointed here by its owner (DNS rebinding): to the browser both are one
site then. It cannot do so under an address, a name without a dot, or a name that is ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


class Hosts:
    """
    @param listed: C{web.hosts}.
    @param domains: of the cluster; they and all below them are ours.
    @param loopback: it listens on a loopback address only: what asks there asks for that, and hardly for a name.
    @param secure: over TLS the browser has seen a certificate for the name, which the owner of another one does not get.
    """

    def __init__(
        self,
        listed: Iterable[str] = (),
        domains: Iterable[str] = (),
        loopback: bool = True,
        secure: bool = False,
    ) -> None:
        self._listed = frozenset(map(_plain, listed))
        self._domains = tuple(map(_plain, domains))
        self._loopback, self._secure = loopback, secure

    def allows(self, host: str) -> bool:
        """@param host: the Host of a request, without its port."""
        host = _plain(host)
        if is_own_name(host) or host in self._listed:
            return True
        if self._loopback or not host:
            return False
        ours = any(host == domain or host.endswith(f".{domain}") for domain in self._domains)
        return self._secure or ours or "." not in host


def is_own_name(host: str) -> bool:
    """Whether a C{Host} names this machine to whoever sends it: an IP literal or localhost."""
    host = _plain(host)
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return True


def _plain(host: str) -> str:
    return host.lower().rstrip(".")
