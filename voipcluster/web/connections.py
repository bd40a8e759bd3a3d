"""How many connections a web page has: so many in all and of one address, and who holds the most gives way first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from voipcluster.address import source_of

MOST_CONNECTIONS = 256  # at once; a browser opens six
MOST_OF_SOURCE = 64  # of one IPv4 address or IPv6 /64; a proxy in front of the page has one, too


class Upgradable(ProtocolWrapper):
    """
    One connection, which may become something else than HTTP.

    @ivar source: whose it is, by its address.
    @ivar request: the last one that came whole; L{None} before it.
    """

    source = ""
    request: Any = None

    def upgraded(self) -> None:
        """It counts elsewhere from now on."""
        self.factory.unregisterProtocol(self)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer on it: no request has come, or only a part of one."""
        return self.request is None or bool(self.request.finished)


class CappedFactory(WrappingFactory):
    """
    Lets no more connections be open than there may be, so that they cannot take the files that calls need.

    A new one takes the place of one that is idle: when its address has as many as one may, of the oldest of them, and when all
    have too many, of the oldest of the address that has the most. So nobody can close the page to others by being there. Where
    none is idle the new one is closed.
    """

    noisy = False
    protocol: type[Upgradable] = Upgradable

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        self.protocols.pop(
            p, None
        )  # a second time when a connection ends that was upgraded, or has given way

    # Every factory may return None to close the connection; only the type of this parent does not say so.
    def buildProtocol(self, addr: IAddress | None) -> ProtocolWrapper | None:  # type: ignore[override]  # None refuses, as with any factory
        source = source_of(getattr(addr, "host", ""))
        if not self.make_room(source):
            return None
        built = super().buildProtocol(addr)
        if isinstance(built, Upgradable):
            built.source = source
        return built

    def make_room(self, source: str) -> bool:
        """For one more connection of that source. @return: whether there is some."""
        open_of = Counter(one.source for one in self._open())
        if open_of[source] >= MOST_OF_SOURCE:
            return self._close_idle(source)
        if len(self.protocols) < MOST_CONNECTIONS:
            return True
        return any(self._close_idle(one) for one, _ in open_of.most_common())

    def _open(self) -> Iterator[Any]:
        """The oldest first."""
        return iter(self.protocols)

    def _close_idle(self, source: str) -> bool:
        idle = next((one for one in self._open() if one.source == source and one.is_idle), None)
        if idle is None:
            return False
        self.unregisterProtocol(idle)
        idle.abortConnection()
        return True
