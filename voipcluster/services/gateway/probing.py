"""Each gateway asked by OPTIONS whether it is there, and what is found told to the list of gateways (L{GatewayBook})."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from voipcluster.address import Flow
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.probing import (
    Answered,
    Ask,
    Effect,
    Failed,
    Judged,
    Probing,
    Verdict,
    wait_for_answer,
)
from voipcluster.gateway.servers import server_uri
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.services.gateway.asking import Asking
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.sip.core import SipCore
from voipcluster.sip.message import Request, Response
from voipcluster.sip.outgoing import build_request
from voipcluster.sip.retry_after import retry_after


class ServerState(NamedTuple):
    """How one server of a gateway is, for its operator."""

    server: str
    verdict: str
    why: str


class ProbingService(Service):
    """@param rand: from 0.0 to below 1.0."""

    name = "probing"
    _log = Logger()

    def __init__(
        self, core: SipCore, book: GatewayBook, clock: IReactorTime, rand: Callable[[], float]
    ) -> None:
        self._core, self._book, self._clock, self._rand = core, book, clock, rand
        self._probed: dict[str, tuple[Gateway, list[_Server]]] = {}

    def startService(self) -> None:
        super().startService()
        self._book.changed.append(self._gateways_changed)
        self._gateways_changed()

    def stopService(self) -> None:
        super().stopService()
        with suppress(ValueError):  # a node that stops while it starts has not come to this part
            self._book.changed.remove(self._gateways_changed)
        for name in list(self._probed):
            self._stop(name)

    def servers(self, name: str) -> list[ServerState]:
        """The servers of a gateway that is probed."""
        _, servers = self._probed.get(name, (None, ()))
        return [ServerState(one.server, one.machine.verdict.value, one.machine.why) for one in servers]

    def suspect(self, name: str) -> None:
        """A call to a gateway found it silent: ask now, not when it is time."""
        _, servers = self._probed.get(name, (None, ()))
        for one in servers:
            one.obey(one.machine.suspect())

    def _gateways_changed(self) -> None:
        wanted = {gateway.name: gateway for gateway in self._book if _is_probed(gateway)}
        for name, (gateway, _) in list(self._probed.items()):
            if name not in wanted or not _is_probed_alike(gateway, wanted[name]):
                self._stop(name)
        for name, gateway in wanted.items():
            if name not in self._probed:
                self._probed[name] = gateway, [_Server(self, gateway, one) for one in gateway.servers]
                for server in self._probed[name][1]:
                    server.obey(server.machine.start())
        for gateway in self._book:
            if gateway.name not in wanted:
                self._book.set_up(gateway.name, True)  # nobody knows better

    def _stop(self, name: str) -> None:
        _, servers = self._probed.pop(name)
        for server in servers:
            server.stop()

    def _judged(self, name: str, why: str) -> None:
        """One of its servers is enough for a gateway to be up."""
        _, servers = self._probed[name]
        up = any(server.machine.verdict is not Verdict.DOWN for server in servers)
        state = self._book.state(name)
        self._book.set_up(name, up, "" if up else why)
        if state is None or (state.up == up and (up or state.reason == why)):
            return
        if up:
            self._log.info("gateway {name} is up again: {why}", name=name, why=why)
        elif not state.up:
            self._log.warn("gateway {name} is still down: {why}", name=name, why=why)
        else:
            self._log.warn("gateway {name} is down, no calls go to it: {why}", name=name, why=why)


def _is_probed(gateway: Gateway) -> bool:
    return gateway.enabled and gateway.probe > 0.0 and bool(gateway.servers)


def _is_probed_alike(one: Gateway, other: Gateway) -> bool:
    return (one.servers, one.transport, one.probe, one.not_alive) == (
        other.servers,
        other.transport,
        other.probe,
        other.not_alive,
    )


class _Server:
    """One server of a gateway and its machine."""

    def __init__(self, owner: ProbingService, gateway: Gateway, server: str) -> None:
        self._owner, self._name, self.server = owner, gateway.name, server
        self.machine = Probing(gateway.probe, owner._rand, gateway.not_alive)
        self._uri = server_uri(gateway, server)
        self._patience = (
            wait_for_answer(gateway.probe) / 2
        )  # the others of a name have to be asked in that time, too
        core = owner._core
        self._call_id = f"{core.octets(9).hex()}@{core.own_address[0]}"
        self._tag = core.octets(6).hex()
        self._number = 0
        self._timers: dict[str, IDelayedCall] = {}
        self._asking: Asking | None = None

    def obey(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetTimer(name, delay):
                    self._cancel(name)
                    self._timers[name] = self._owner._clock.callLater(delay, self._fired, name)
                case CancelTimer(name):
                    self._cancel(name)
                case Ask():
                    self._ask()
                case Judged(_, why):
                    self._owner._judged(self._name, f"{self.server}: {why}")

    def stop(self) -> None:
        for name in list(self._timers):
            self._cancel(name)
        self._give_up()

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _fired(self, name: str) -> None:
        del self._timers[name]
        self.obey(self.machine.feed(TimerFired(name)))

    def _give_up(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.give_up()

    def _ask(self) -> None:
        self._give_up()
        self._number += 1
        asking = self._asking = Asking(
            self._owner._core, "OPTIONS", partial(self._request, self._number), self._patience, self._answered
        )
        asking.begin(self._uri, self._call_id)

    def _request(self, number: int, flow: Flow, via: str) -> Request:
        ours = self._owner._core.sent_by(flow)
        return build_request(
            "OPTIONS",
            str(self._uri),
            [
                ("Via", via),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{ours}>;tag={self._tag}"),
                ("To", f"<{self._uri}>"),
                ("Call-ID", self._call_id),
                ("CSeq", f"{number} OPTIONS"),
                ("Contact", f"<sip:{ours}{_transport(flow)}>"),
                ("Accept", "application/sdp"),
            ],
        )

    def _answered(self, response: Response | None, why: str) -> None:
        self._asking = None
        if response is None:
            self.obey(self.machine.feed(Failed(why)))
        else:
            event = Answered(response.status, response.reason, retry_after(response))
            self.obey(self.machine.feed(event))


def _transport(flow: Flow) -> str:
    return "" if flow.transport == "UDP" else f";transport={flow.transport.lower()}"
