"""All transactions of one phone: messages in, new requests and answers out (RFC 3261 section 17)."""

from __future__ import annotations

from collections.abc import Sequence

from voipcluster.address import Flow, Hop
from voipcluster.errors import ParseError, TransportError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.phone.events import Answered, Asked, Closed, Key, Send
from voipcluster.sip.message import Request, Response
from voipcluster.sip.transaction import events
from voipcluster.sip.transaction.events import STANDARD, Durations
from voipcluster.sip.transaction.invite_client import InviteClient
from voipcluster.sip.transaction.invite_server import InviteServer
from voipcluster.sip.transaction.matching import server_key
from voipcluster.sip.transaction.non_invite_client import NonInviteClient
from voipcluster.sip.transaction.non_invite_server import NonInviteServer

Effect = Send | SetTimer | CancelTimer | Answered | Closed | Asked


def client_key(message: Request | Response) -> Key:
    """What a request of ours and its responses share: the branch of our Via, and the method (17.1.3)."""
    return (message.top_via.branch, message.cseq[1])


class Transactions:
    """
    The transaction layer of one user agent.

    Timers are named by C{KEY/NAME}, the key a running number, so that those of one transaction stay apart from others'.
    """

    def __init__(self, durations: Durations = STANDARD) -> None:
        self._durations = durations
        self._clients: dict[Key, tuple[InviteClient | NonInviteClient, Hop]] = {}
        self._servers: dict[Key, tuple[InviteServer | NonInviteServer, Flow]] = {}
        self._numbers: dict[Key, str] = {}
        self._keys: dict[str, Key] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def _number(self, key: Key) -> None:
        self._count += 1
        self._numbers[key] = str(self._count)
        self._keys[str(self._count)] = key

    def request(self, request: Request, hop: Hop) -> list[Effect]:
        """Send a request to a hop; its answers come as L{Answered} with its L{client_key}."""
        key = client_key(request)
        reliable = hop.transport != "UDP"
        machine: InviteClient | NonInviteClient
        if request.method == "INVITE":
            machine = InviteClient(request.to_bytes(), reliable, self._durations)
        else:
            machine = NonInviteClient(request.to_bytes(), reliable, self._durations)
        self._clients[key] = machine, hop
        self._number(key)
        return self._effects(key, hop, machine.start())

    def respond(self, key: Key, response: Response) -> list[Effect]:
        """Answer a request that came as L{Asked}; nothing when its transaction is gone."""
        if key not in self._servers:
            return []
        machine, flow = self._servers[key]
        return self._effects(key, flow, machine.feed(events.Respond(response.status, response.to_bytes())))

    def received(self, message: Request | Response, source: Flow) -> list[Effect]:
        try:
            if isinstance(message, Response):
                return self._response(message)
            return self._request(message, source)
        except ParseError:
            return []  # no Via or CSeq to answer or match by

    def _response(self, response: Response) -> list[Effect]:
        key = client_key(response)
        if key not in self._clients:
            return []
        machine, hop = self._clients[key]
        return self._effects(key, hop, machine.feed(events.ResponseReceived(response)))

    def _request(self, request: Request, source: Flow) -> list[Effect]:
        key = server_key(request)
        known = self._servers.get(key)
        if known is not None:
            machine, flow = known
            if request.method != "ACK":
                return self._effects(key, flow, machine.feed(events.RequestReceived()))
            if isinstance(machine, InviteServer):
                return self._effects(key, flow, machine.feed(events.AckReceived()))
        if request.method == "ACK":
            return [Asked(key, request)]  # that of a 2xx is no transaction (17.1.1.3)
        reliable = source.reliable
        new = InviteServer if request.method == "INVITE" else NonInviteServer
        self._servers[key] = new(reliable, self._durations), source
        self._number(key)
        return [Asked(key, request)]

    def timer_fired(self, name: str) -> list[Effect]:
        """@param name: of a L{SetTimer} that came from here; others give nothing."""
        number, _, timer = name.partition("/")
        key = self._keys.get(number)
        if key is None:
            return []
        client = self._clients.get(key)
        if client is not None:
            machine, hop = client
            return self._effects(key, hop, machine.feed(TimerFired(timer)))
        server, flow = self._servers[key]
        return self._effects(key, flow, server.feed(TimerFired(timer)))

    def send_failed(self, hop: Hop, reason: str) -> list[Effect]:
        """Requests on their way to that hop are answered with 503 (8.1.3.1)."""
        effects: list[Effect] = []
        for key, (machine, towards) in list(self._clients.items()):
            if towards == hop:
                effects += self._effects(key, hop, machine.feed(events.SendFailed(TransportError(reason))))
        return effects

    def _effects(self, key: Key, to: Hop | Flow, orders: Sequence[object]) -> list[Effect]:
        effects: list[Effect] = []
        number = self._numbers[key]
        for order in orders:
            match order:
                case events.SendRequest(wire) | events.SendResponse(wire):
                    effects.append(Send(wire, to))
                case SetTimer(name, delay):
                    effects.append(SetTimer(f"{number}/{name}", delay))
                case CancelTimer(name):
                    effects.append(CancelTimer(f"{number}/{name}"))
                case events.PassResponse(response):
                    effects.append(Answered(key, response.status, response.reason, response))
                case events.PassTimeout():
                    effects.append(Answered(key, 408, "No answer", None))
                case events.PassFailure(error):
                    effects.append(Answered(key, 503, str(error), None))
                case events.Finished():
                    if self._clients.pop(key, None) is not None:
                        effects.append(Closed(key))
                    self._servers.pop(key, None)
                    del self._keys[self._numbers.pop(key)]
                case _:
                    raise AssertionError(f"no order of a transaction: {order!r}")
        return effects
