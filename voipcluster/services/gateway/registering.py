"""
Our registrations with the trunks that want one: the machine of L{voipcluster.gateway.registering}, its requests and its timers.

Which node registers follows from who is alive, see L{owner}; each node looks again a few times a second and tells nobody, since
all see the same members.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from voipcluster.address import UDP, Flow, is_ip, is_ipv6, join_host_port
from voipcluster.errors import ParseError, UsageError
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.registering import (
    EXPIRES,
    Answered,
    Effect,
    Event,
    Gone,
    Line,
    Registering,
    Send,
    Told,
    Unanswered,
    owner,
    register_request,
)
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.services.gateway.asking import Asking
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.sip.core import SipCore
from voipcluster.sip.challenges import Identity
from voipcluster.sip.message import Request, Response
from voipcluster.sip.uri import SipUri, parse_uri

LOOK = 0.5  # s between two looks at who is alive
SETTLING = 5.0  # s after the start in which a node that hears not yet of all others leaves it to them
PATIENCE = 5.0  # s of silence after which the next server of a registrar is asked
FAREWELL = 2.0  # s that a node which stops waits for its registrations to be taken back


class RegisteringService(Service):
    """
    @param alive: names of the nodes that are heard of, ours among them, those that take calls if there are any.
    @param rand: from 0.0 to below 1.0.
    """

    name = "registering"
    _log = Logger()

    def __init__(
        self,
        core: SipCore,
        book: GatewayBook,
        clock: IReactorTime,
        rand: Callable[[], float],
        alive: Callable[[], Collection[str]],
    ) -> None:
        self._core, self._book, self._clock, self._rand, self._alive = core, book, clock, rand, alive
        self._trunks: dict[str, _Trunk] = {}
        self._started = 0.0
        self._look: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        self._started = self._clock.seconds()
        self._book.changed.append(self._gateways_changed)
        self._gateways_changed()

    def stopService(self) -> Deferred[None]:
        """@return: fires when all registrations are taken back, or after L{FAREWELL}."""
        super().stopService()
        with suppress(ValueError):  # a node that stops while it starts has not come to this part
            self._book.changed.remove(self._gateways_changed)
        if self._look is not None:
            self._look.cancel()
            self._look = None
        trunks, self._trunks = list(self._trunks.values()), {}
        gone = DeferredList([trunk.farewell() for trunk in trunks])
        return gone.addCallback(lambda _: None)

    def _gateways_changed(self) -> None:
        wanted = {gateway.name: gateway for gateway in self._book if gateway.enabled and gateway.registrar}
        for name, trunk in list(self._trunks.items()):
            if not trunk.is_for(wanted.get(name)):
                del self._trunks[name]
                trunk.farewell()
        for name, gateway in wanted.items():
            if name not in self._trunks:
                self._add(gateway)
        if self._look is None and self._trunks:
            self._look_again()

    def _add(self, gateway: Gateway) -> None:
        try:
            self._trunks[gateway.name] = _Trunk(self, gateway, self._book.password(gateway.name))
        except (UsageError, ParseError) as error:
            self._log.error(
                "gateway {name} is not registered with: {error}", name=gateway.name, error=str(error)
            )
            self._book.set_registration(gateway.name, f"not registered: {error}")

    def _look_again(self) -> None:
        """Who is alive now, and is it for us to register?"""
        self._look = self._clock.callLater(LOOK, self._look_again) if self._trunks else None
        alive, core = set(self._alive()), self._core
        if len(alive) < len(core.addresses) and self._clock.seconds() - self._started < SETTLING:
            return
        first = owner(alive)
        for trunk in self._trunks.values():
            trunk.owned_by(first)


class _Trunk:
    """One registration."""

    _log = Logger()

    def __init__(self, service: RegisteringService, gateway: Gateway, password: str) -> None:
        self._service, self._gateway = service, gateway
        core = service._core
        self._uri = _registrar_uri(gateway)
        domain = evolve(self._uri.without_params("transport", "maddr"), user=None, password=None)
        aor = parse_uri(gateway.aor or f"sip:{gateway.auth_user}@{domain.host}")
        self._user = gateway.contact_user or aor.user or gateway.auth_user
        line = Line(
            str(domain),
            str(aor),
            self._contact(core.node),
            Identity(gateway.auth_user, password, gateway.realm),
            f"{core.octets(9).hex()}@{core.own_address[0]}",
            core.octets(6).hex(),
        )
        self._machine = Registering(line, service._rand, lambda: core.octets(8).hex())
        self._timers: dict[str, IDelayedCall] = {}
        self._asking: Asking | None = None
        self._owner = ""
        self._gone: Deferred[None] | None = None

    def is_for(self, gateway: Gateway | None) -> bool:
        """Whether nothing that concerns the registration is different in it."""
        ours = self._gateway
        return gateway is not None and _of_registration(gateway) == _of_registration(ours)

    def owned_by(self, node: str) -> None:
        """That node registers from now on."""
        if node == self._owner:
            return
        self._owner = node
        core = self._service._core
        if node == core.node:
            others = tuple(self._contact(name) for name in core.addresses if name != core.node)
            self._machine.line = evolve(self._machine.line, others=others)
            self._tell("not registered yet")
            self._obey(self._machine.begin())
        else:
            self._give_up()
            self._obey(self._machine.leave())
            self._tell(f"registered by node {node}" if node else "")

    def farewell(self) -> Deferred[None]:
        """Take the registration back. @return: fires when that is done, or was tried for long enough."""
        self._give_up()
        gone = self._gone = Deferred()
        self._obey([SetTimer(_FAREWELL, FAREWELL), *self._machine.remove()])
        return gone

    def _contact(self, node: str) -> str:
        """The Contact value of a node: where the trunk's calls are to come."""
        core, transport = self._service._core, self._uri.transport
        if node == core.node:
            address = core.transport.sent_by(transport, is_ipv6(core.own_address[0]))
        else:
            address = core.address_for(core.addresses[node], transport)
        suffix = "" if transport == UDP else f";transport={transport.lower()}"
        return f"<sip:{self._user}@{join_host_port(*address)}{suffix}>"

    def _tell(self, text: str) -> None:
        self._service._book.set_registration(self._gateway.name, text)

    def _obey(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetTimer(name, delay):
                    self._cancel(name)
                    self._timers[name] = self._service._clock.callLater(delay, self._fired, name)
                case CancelTimer(name):
                    self._cancel(name)
                case Send(number, headers):
                    self._send(number, headers)
                case Told(registered, why):
                    self._told(registered, why)
                case Gone():
                    self._is_gone()

    def _told(self, registered: bool, why: str) -> None:
        name, service = self._gateway.name, self._service
        before = service._book.registration(name)
        text = why if registered else f"not registered: {why}"
        self._tell(text)
        if text == before:
            return
        if registered and self._machine.failures == 0:
            self._log.info("gateway {name}: {text}", name=name, text=text)
        else:
            self._log.warn("gateway {name}: {text}", name=name, text=text)

    def _is_gone(self) -> None:
        self._cancel(_FAREWELL)
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.callback(None)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _fired(self, name: str) -> None:
        del self._timers[name]
        if name == _FAREWELL:
            self._give_up()
            self._obey([*self._machine.leave(), Gone()])
        else:
            self._obey(self._machine.feed(TimerFired(name)))

    def _give_up(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.give_up()

    def _send(self, number: int, headers: tuple[tuple[str, str], ...]) -> None:
        self._give_up()
        asking = self._asking = Asking(
            self._service._core, "REGISTER", partial(self._request, number, headers), PATIENCE, self._answered
        )
        asking.begin(self._uri, self._machine.line.call_id)

    def _request(self, number: int, headers: tuple[tuple[str, str], ...], flow: Flow, via: str) -> Request:
        return register_request(self._machine.line, number, headers, via)

    def _answered(self, response: Response | None, why: str) -> None:
        asking, self._asking = self._asking, None
        event: Event = Unanswered(why) if response is None else Answered(response)
        effects = self._machine.feed(event)
        if (
            self._machine.registered
            and asking is not None
            and asking.flow is not None
            and asking.flow.reliable
        ):
            # the trunk may send its calls over this connection, so it is not to go for being idle
            core = self._service._core
            core.transport.keep(asking.flow, EXPIRES)
        self._obey(effects)


_FAREWELL = "farewell"


def _registrar_uri(gateway: Gateway) -> SipUri:
    """The registrar with the transport of the gateway, unless it says another one itself."""
    uri = parse_uri(gateway.registrar)
    if uri.scheme == "sips" or uri.has_param("transport") or (gateway.transport == "udp" and is_ip(uri.host)):
        return uri
    return uri.with_param("transport", gateway.transport)


def _of_registration(gateway: Gateway) -> tuple[str, ...]:
    return (
        gateway.registrar, gateway.transport, gateway.auth_user, gateway.aor, gateway.contact_user, gateway.realm,
        gateway.secret, gateway.password,
    )  # fmt: skip
