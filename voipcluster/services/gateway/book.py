"""The gateways of a node as they are now: declared, usable or not, and how much of each is in use."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

from attrs import define, frozen

from voipcluster.address import Flow, is_ip, split_host_port
from voipcluster.config.gateways import read_secret
from voipcluster.gateway.access import Direction, Refusal, behind, identify, may_pass
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.hours import is_open
from voipcluster.gateway.permission import Party
from voipcluster.services.gateway.merging import FILE, Origin
from voipcluster.sip.challenges import Identity

_ANY_PORT = (0, 5060, 5061)  # 0: not given; a name without one has those that its SRV records say
_KEPT = 4096  # hosts of which it is remembered whether a gateway is there


class ITallies(Protocol):
    """Counts over all nodes; L{voipcluster.services.cluster.tallies} is the real one."""

    def add(self, key: str, amount: int) -> None: ...

    def total(self, key: str) -> int: ...


@frozen
class GatewayState:
    """
    How a gateway is.

    @ivar up: as this node knows it; C{reason}: why it is not.
    @ivar channels: calls in progress over it, on all nodes; C{most}: how many there may be, 0 is any number.
    @ivar seizures: how many calls this node has tried to bring over it or got from it; C{answers}: how many were answered.
    @ivar last_cause: how the latest of them ended, C{last_at}: when, in unix seconds.
    @ivar registration: how our registration with it stands, as this node knows; empty: there is to be none.
    """

    enabled: bool
    up: bool
    reason: str
    channels: int
    most: int
    seizures: int
    answers: int
    last_cause: str
    registration: str = ""
    last_at: float = 0.0

    @property
    def asr(self) -> float | None:
        """The answer-seizure ratio (ITU-T E.411), 0 to 1, or L{None} before the first seizure."""
        return self.answers / self.seizures if self.seizures else None

    @property
    def full(self) -> bool:
        return 0 < self.most <= self.channels


@define
class _Use:
    """What this node knows of the use of one gateway."""

    up: bool = True
    reason: str = ""
    seizures: int = 0
    answers: int = 0
    last_cause: str = ""
    registration: str = ""
    last_at: float = 0.0


class GatewayBook:
    """
    @param declared: all gateways there are at the start.
    @param tallies: where channels are counted.
    @param wall: seconds since 1970.
    @param local: the local time of such a moment; opening hours are meant in it.
    @ivar changed: each is called when the list of gateways, or one of them, has changed.
    """

    def __init__(
        self,
        declared: Iterable[Gateway],
        tallies: ITallies,
        wall: Callable[[], float],
        local: Callable[[float], time.struct_time] = time.localtime,
    ) -> None:
        self._gateways = {gateway.name: gateway for gateway in declared}
        self._where: dict[str, str] = {}
        self._uses: dict[str, _Use] = {}
        self._at: dict[str, bool] = {}  # by host: whether a gateway is there
        self._tallies, self._wall, self._local = tallies, wall, local
        self.changed: list[Callable[[], object]] = []

    def __len__(self) -> int:
        return len(self._gateways)

    def __iter__(self) -> Iterator[Gateway]:
        return iter(list(self._gateways.values()))

    def get(self, name: str) -> Gateway | None:
        return self._gateways.get(name)

    def where(self, name: str) -> str:
        """Where a gateway is declared, for people."""
        return self._where.get(name, FILE)

    def replace(self, declared: Iterable[Origin]) -> None:
        """These are the gateways from now on; what is known of one that stays is kept. Its calls go on in any case."""
        origins = list(declared)
        gateways = {gateway.name: gateway for gateway, _ in origins}
        self._where = {gateway.name: where for gateway, where in origins}
        if gateways != self._gateways:
            self._gateways = gateways
            self._at.clear()
            for call in list(self.changed):
                call()

    def identify(
        self, flow: Flow, certificate: Collection[str] = (), user: str | None = None
    ) -> Gateway | None:
        """Which gateway a client is, as L{voipcluster.gateway.access.identify} tells."""
        return identify(self._gateways.values(), flow, certificate, user)

    def is_at(self, host: str) -> bool:
        """
        Whether a gateway is at an address: one of its servers, or in the networks that it sends from.

        @param host: an IP literal.
        """
        known = self._at.get(host)
        if known is None:
            address = ipaddress.ip_address(host.partition("%")[0])
            known = any(
                any(address in network for network in gateway.networks)
                or any(split_host_port(server, 5060)[0] == host for server in gateway.servers)
                for gateway in self._gateways.values()
            )
            if len(self._at) >= _KEPT:
                self._at.clear()
            self._at[host] = known
        return known

    def server_at(self, host: str, port: int) -> Gateway | None:
        """
        The gateway of which this is a server, whoever wants to know it and for what.

        @param host: a name, or an IP literal; C{port}: 0 is any of the two that SIP has (RFC 3261 section 19.1.2).
        """
        host = _same_host(host)
        for gateway in self._gateways.values():
            for server in gateway.servers:
                name, at = split_host_port(server, 0)
                if _same_host(name) == host and (
                    port == at or (at in _ANY_PORT and (port in _ANY_PORT or not (at or is_ip(name))))
                ):
                    return gateway
        return None

    def behind(self, host: str) -> Gateway | None:
        """The gateway through which clients at an address have to come, if there is one."""
        return behind(self._gateways.values(), host)

    def password(self, name: str) -> str:
        """
        Our password at a gateway, read anew from its file; empty when there is none.

        @raise UsageError: what is wrong with the file.
        """
        gateway = self._gateways.get(name)
        if gateway is None:
            return ""
        return read_secret(gateway.secret) if gateway.secret else gateway.password

    def credentials(self, name: str) -> Callable[[], Identity] | None:
        """
        Who we are at a gateway that may challenge us; L{None}: we have no account there.

        @return: reads the password when it is needed, and raises L{UsageError} when it cannot.
        """
        gateway = self._gateways.get(name)
        if gateway is None or not gateway.auth_user:
            return None
        user, realm = gateway.auth_user, gateway.realm
        return lambda: Identity(user, self.password(name), realm)

    # -- what may be done

    def refusal(
        self,
        gateway: Gateway,
        direction: Direction,
        caller: Party,
        callee: Party,
        codecs: Collection[str] = (),
    ) -> Refusal | None:
        """Why a gateway may not pass a call now, apart from its channels; L{None}: it may."""
        return may_pass(gateway, direction, caller, callee, *self.local_time(), codecs)

    def usable(self, name: str, emergency: bool = False) -> bool:
        """
        Whether calls can go to a gateway now: enabled, up, open, with a free channel.

        @param emergency: hours and channels do not count.
        """
        gateway = self._gateways.get(name)
        if gateway is None or not gateway.enabled or not gateway.servers:
            return False
        use = self._uses.get(name)
        if use is not None and not use.up:
            return False
        return emergency or (is_open(gateway.spans, *self.local_time()) and not self.is_full(name))

    def is_full(self, name: str) -> bool:
        """Whether all channels of a gateway are in use, counted over all nodes."""
        gateway = self._gateways.get(name)
        return gateway is not None and 0 < gateway.channels <= self._tallies.total(channels_key(name))

    def local_time(self) -> tuple[int, int]:
        """The day of the week, 0 is Monday, and the minute of the day, as opening hours are meant."""
        now = self._local(self._wall())
        return now.tm_wday, now.tm_hour * 60 + now.tm_min

    # -- how they are

    def state(self, name: str) -> GatewayState | None:
        """L{None}: there is no such gateway."""
        gateway = self._gateways.get(name)
        if gateway is None:
            return None
        use = self._uses.get(name) or _Use()
        return GatewayState(
            gateway.enabled,
            use.up,
            use.reason,
            self._tallies.total(channels_key(name)),
            gateway.channels,
            use.seizures,
            use.answers,
            use.last_cause,
            use.registration,
            use.last_at,
        )

    def set_up(self, name: str, up: bool, reason: str = "") -> None:
        """It was found to be there, or not, and why not."""
        if name in self._gateways:
            use = self._use(name)
            use.up, use.reason = up, "" if up else reason

    def set_registration(self, name: str, text: str) -> None:
        """How our registration with it stands now."""
        if name in self._gateways:
            self._use(name).registration = text

    def registration(self, name: str) -> str:
        use = self._uses.get(name)
        return "" if use is None else use.registration

    # -- calls

    def seized(self, name: str) -> None:
        """A call takes a channel of a gateway, which L{released} gives back."""
        self._use(name).seizures += 1
        self._tallies.add(channels_key(name), 1)

    def answered(self, name: str) -> None:
        """A call over it was answered."""
        self._use(name).answers += 1

    def released(self, name: str, cause: str) -> None:
        """A call over it has ended, or was never answered; C{cause} says how, in a few words."""
        use = self._use(name)
        use.last_cause, use.last_at = cause, self._wall()
        self._tallies.add(channels_key(name), -1)

    def adopted(self, name: str) -> None:
        """A call of the last process goes on, and holds its channel."""
        self._tallies.add(channels_key(name), 1)

    def _use(self, name: str) -> _Use:
        use = self._uses.get(name)
        if use is None:
            use = self._uses[name] = _Use()
        return use


def _same_host(host: str) -> str:
    """A host as it is compared, however it is written."""
    bare = host.strip("[]")
    return str(ipaddress.ip_address(bare)) if is_ip(bare) else bare.rstrip(".").lower()


def channels_key(name: str) -> str:
    """Under which the channels in use are counted over all nodes."""
    return f"gateway:{name}"
