"""One scripted element around the node: its socket, what came, and what it says."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.conformance.wire import Framer, Message, NotSip, key, uri_of

if TYPE_CHECKING:
    from tests.conformance.case import ConformanceTestCase

SOON = 10.0  # seconds within which whatever is expected at once has to come, also on a machine that is busy

Where = Callable[[Message], Any]


class Peer:
    """
    A caller, callee, next hop or attacker. What it sends goes to the node unless told otherwise.

    @ivar user: its name in our domain; C{aor} the SIP URI of that.
    @ivar inbox: messages that came and that no test has taken yet.
    @ivar heard: all that came.
    @ivar on_message: called with each at once, for a peer that answers by itself.
    @ivar transport: UDP or TCP; C{host}, C{port}: where it is, and what its Via and Contact say.
    """

    def __init__(self, case: ConformanceTestCase, user: str, transport: str, host: str) -> None:
        self._case = case
        self.user, self.transport, self.host, self.port = user, transport, host, 0
        self.inbox: list[Message] = []
        self.heard: list[Message] = []
        self._known: set[bytes] = set()  # requests that came over UDP
        self.on_message: Callable[[Message], object] | None = None
        self.connection: Stream | None = None
        self.connections: list[Stream] = []  # those that were opened to us
        self._datagrams: Any = None
        self._listening: Any = None
        self._cseq = 0

    # how it is opened, by the test case

    def listen_udp(self, port: int) -> Peer:
        """Take a UDP socket; port 0 is a free one."""
        protocol = _Datagrams(self)
        listening = self._case.reactor.listenUDP(port, protocol, self.host, 70_000)
        self._case.at_end(_later(listening.stopListening))
        self._listening = listening
        self._datagrams, self.port = protocol.transport, listening.getHost().port
        return self

    async def close_udp(self) -> None:
        """Give the UDP socket back: from now on nobody listens there."""
        await _fired(self._listening.stopListening())

    def listen_tcp(self, port: int = 0) -> Peer:
        """Take connections too, by default on the port that it has for UDP."""
        listening = self._case.reactor.listenTCP(
            port or self.port, Factory.forProtocol(lambda: Stream(self, opened=False)), interface=self.host
        )
        self.port = listening.getHost().port
        self._case.at_end(_later(listening.stopListening))
        return self

    async def connect(self, host: str = "", port: int = 0) -> Stream:
        """Open a connection, over which it sends from now on."""
        node = host or self._case.node.address
        endpoint = HostnameEndpoint(
            self._case.reactor, node, port or self._case.node_port, bindAddress=(self.host, 0)
        )
        stream = await connectProtocol(endpoint, Stream(self, opened=True))
        if not self.port:
            self.port = stream.transport.getHost().port
        self.connection = stream
        return stream

    # names

    @property
    def where(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def uri(self) -> str:
        """Its Contact."""
        return f"sip:{self.user}@{self.where}" + (";transport=tcp" if self.transport == "TCP" else "")

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{self._case.domain}"

    # sending

    def request(
        self,
        method: str,
        uri: str,
        *headers: tuple[str, str],
        body: bytes = b"",
        to: str = "",
        via: str = "",
    ) -> Message:
        """
        A new request out of a dialog; nothing is sent yet.

        @param uri: Request-URI; C{"bob"} alone is bob in our domain. C{to}: the To value, if not the same.
        @param via: parameters for our Via, such as C{";rport"}.
        """
        if ":" not in uri:
            uri = f"sip:{uri}@{self._case.domain}"
        self._cseq += 1
        lines = [
            ("Via", f"SIP/2.0/{self.transport} {self.where};branch={new_branch()}{via}"),
            ("Max-Forwards", "70"),
            ("From", f"<{self.aor}>;tag={secrets.token_hex(4)}"),
            ("To", to or f"<{uri}>"),
            ("Call-ID", f"{secrets.token_hex(8)}@{self.host}"),
            ("CSeq", f"{self._cseq} {method}"),
        ]
        if method in ("INVITE", "SUBSCRIBE", "REFER"):
            lines.append(("Contact", f"<{self.uri}>"))
        if body:
            lines.append(("Content-Type", "application/sdp" if body.startswith(b"v=0") else "text/plain"))
        return Message(f"{method} {uri} SIP/2.0", [*lines, *headers], body)

    def invite(self, uri: str, *headers: tuple[str, str], **more: Any) -> Message:
        """An INVITE with an offer of G.711."""
        return self.request("INVITE", uri, *headers, **{"body": self.sdp(), **more})

    def sdp(self, port: int = 40_000) -> bytes:
        family = "IP6" if ":" in self.host else "IP4"
        lines = [
            "v=0",
            f"o=- {port} 1 IN {family} {self.host}",
            *(
                "s=-",
                f"c=IN {family} {self.host}",
                "t=0 0",
                f"m=audio {port} RTP/AVP 0",
                "a=rtpmap:0 PCMU/8000",
            ),
        ]
        return "".join(f"{line}\r\n" for line in lines).encode()

    def send(self, message: Message | bytes, to: tuple[str, int] | None = None) -> None:
        """Send octets or a message; over the connection if it has one."""
        data = message if isinstance(message, bytes) else message.to_bytes()
        if self.connection is not None:
            self.connection.write(data)
        else:
            assert self._datagrams is not None, "this peer is not open"
            self._datagrams.write(data, to or (self._case.node.address, self._case.node_port))

    def reply(
        self,
        request: Message,
        status: int,
        *headers: tuple[str, str],
        tag: str = "",
        body: bytes = b"",
        reason: str = "Whatever",
    ) -> Message:
        """Answer a request that came, the way it came; gives the response. Above 100 it has a tag and our Contact."""
        response = response_to(request, status, reason, tag=tag or f"tag-{self.user}", body=body)
        if status > 100 and request.method in ("INVITE", "SUBSCRIBE", "REFER") and status < 400:
            response.add("Contact", f"<{self.uri}>")
        response.headers += headers
        if body:
            response.add("Content-Type", "application/sdp")
        assert request.answer is not None, "this request was not received"
        request.answer(response.to_bytes())
        return response

    def ack(self, invite: Message, final: Message) -> Message:
        """Send the ACK for a final response that is no 2xx: part of the INVITE's transaction (RFC 3261 section 17.1.1.3)."""
        made = Message(
            f"ACK {invite.uri} SIP/2.0",
            [
                ("Via", invite.values("via")[0]),
                ("Max-Forwards", "70"),
                *(("Route", value) for value in invite.lines("route")),
                ("From", invite["from"]),
                ("To", final["to"]),
                ("Call-ID", invite.call_id),
                ("CSeq", f"{invite.cseq[0]} ACK"),
            ],
        )
        self.send(made)
        return made

    def cancel(self, invite: Message) -> Message:
        """Send the CANCEL of an INVITE that we sent (RFC 3261 section 9.1)."""
        made = Message(
            f"CANCEL {invite.uri} SIP/2.0",
            [
                ("Via", invite.values("via")[0]),
                ("Max-Forwards", "70"),
                *(("Route", value) for value in invite.lines("route")),
                ("From", invite["from"]),
                ("To", invite["to"]),
                ("Call-ID", invite.call_id),
                ("CSeq", f"{invite.cseq[0]} CANCEL"),
            ],
        )
        self.send(made)
        return made

    # receiving

    def came(
        self, data: bytes, answer: Callable[[bytes], Any], source: tuple[str, int], transport: str
    ) -> None:
        """Octets from the node; what is no message fails the test."""
        try:
            message = Message.parse(data)
        except NotSip as error:
            self._case.faults.append(f"{self.user} got no SIP message: {error}")
            return
        message.answer, message.source, message.transport = answer, source, transport
        message.at = self._case.reactor.seconds()
        self.heard.append(message)
        if not self._is_copy(data, message):
            self.inbox.append(message)
        if self.on_message is not None:
            self.on_message(message)

    def _is_copy(self, data: bytes, message: Message) -> bool:
        """
        Whether the node has sent this very request over UDP before (Timers A and E), as it does when we are slow to answer on a
        busy machine: nobody is to take it for the next one. An ACK is sent again for a reason.
        """
        if message.transport != "UDP" or message.method in ("", "ACK"):
            return False
        known = data in self._known
        self._known.add(data)
        return known

    async def expect(
        self, what: int | str, method: str = "", *, where: Where | None = None, seconds: float = SOON
    ) -> Message:
        """
        Take the first message that matches, waiting for it if need be.

        @param what: a status, or the method of a request; C{method}: that in CSeq, of a response.
        @param where: gives something true for the message that is wanted.
        """

        def matches(message: Message) -> bool:
            kind = message.status or message.method
            return (
                kind == what and method in ("", message.cseq[1]) and (where is None or bool(where(message)))
            )

        def found() -> Message | None:
            return next((message for message in self.inbox if matches(message)), None)

        name = f"{what} {method}".strip()
        try:
            message: Message = await self._case.until(found, f"{self.user} gets {name}", seconds)
        except self._case.failureException as error:
            raise self._case.failureException(f"{error}; it got {self.heard}") from None
        self.inbox.remove(message)
        return message

    async def final(self, request: Message, seconds: float = SOON) -> Message:
        """Take the final response to a request that we sent, whichever it is."""

        def found() -> Message | None:
            return next((m for m in self.inbox if m.status >= 200 and answers(m, request)), None)

        message: Message = await self._case.until(found, f"{self.user} gets the answer to {request}", seconds)
        self.inbox.remove(message)
        return message

    async def exchange(self, request: Message, seconds: float = SOON) -> Message:
        """Send a request and take its final response; one above 299 to an INVITE gets its ACK."""
        self.send(request)
        response = await self.final(request, seconds)
        if response.status >= 300 and request.method == "INVITE":
            self.ack(request, response)
        return response

    async def silence(self, what: int | str | None = None) -> None:
        """
        Fail when such a message came, or anything (None), in answer to what was sent until now.

        The node works in order: once it answered an OPTIONS that another peer sent later, it has done all that it does at
        once. For what it might do later wait for something that comes later, or use C{case.hold}.
        """
        await self._case.node_answers()
        got = [m for m in self.inbox if what is None or what in (m.status or None, m.method or None)]
        self._case.assertEqual(got, [], f"{self.user} got what should not come")

    # as a phone

    async def register(self, *headers: tuple[str, str], contact: str = "") -> Message:
        """Register our Contact, and give the 200; with digest when the node asks for it."""
        request = self.request("REGISTER", f"sip:{self._case.domain}", *headers, to=f"<{self.aor}>")
        request.add("Contact", contact or f"<{self.uri}>")
        response = await self.exchange(request)
        if response.status == 401:
            again = self.authorized(request, response)
            response = await self.exchange(again)
        self._case.assertEqual(response.status, 200, f"{response.start} {response.headers}")
        self._case.registered.add(self.user)
        return response

    def authorized(
        self, request: Message, challenge: Message, password: str = "", index: int = -1
    ) -> Message:
        """
        The request once more with credentials for a 401 or 407: a new branch, the next CSeq.

        @param index: which challenge to answer; the last one is MD5.
        """
        return self._case.authorized(self, request, challenge, password, index)

    def next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq


class Stream(Protocol):
    """One TCP connection of a peer; C{closed} fires when the node has closed it."""

    transport: Any

    def __init__(self, peer: Peer, opened: bool) -> None:
        self._peer, self._opened = peer, opened
        self._framer = Framer()
        self.received = b""
        self.is_closed = False
        self.closed: Deferred[None] = Deferred()

    @property
    def pongs(self) -> int:
        return self._framer.pongs

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._peer._case.at_end(self.close)
        if not self._opened:
            self._peer.connections.append(self)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        host = self.transport.getPeer()
        try:
            for message in self._framer.feed(data):
                self._peer.came(message, self.write, (host.host, host.port), "TCP")
        except NotSip as error:
            self._peer._case.faults.append(f"{self._peer.user} got a broken stream: {error}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_closed = True
        self.closed.callback(None)

    async def close(self) -> None:
        """Close it at once; returns when it is closed."""
        if not self.is_closed:
            self.transport.abortConnection()
            await self._peer._case.until(lambda: self.is_closed, "the connection is closed")


class _Datagrams(DatagramProtocol):
    transport: Any
    noisy = False

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def datagramReceived(self, datagram: bytes, addr: tuple[Any, ...]) -> None:
        source = (addr[0], addr[1])
        self._peer.came(datagram, lambda data: self.transport.write(data, source), source, "UDP")


class Dialog:
    """
    One side of a dialog: what its later requests look like (RFC 3261 section 12).

    Made by C{Dialog.of_caller(peer, invite, response)} or C{Dialog.of_callee(peer, invite, response)}.

    @ivar peer: whose side it is; C{local}, C{remote}: its From and To values; C{target}: the Contact of the other side.
    """

    def __init__(
        self, peer: Peer, local: str, remote: str, call_id: str, target: str, routes: list[str]
    ) -> None:
        self.peer = peer
        self.local, self.remote, self.call_id, self.target, self.routes = (
            local,
            remote,
            call_id,
            target,
            routes,
        )
        self.cseq = 0

    @classmethod
    def of_caller(cls, peer: Peer, invite: Message, response: Message) -> Dialog:
        made = cls(
            peer,
            invite["from"],
            response["to"],
            invite.call_id,
            response.address("contact"),
            response.values("record-route")[::-1],
        )
        made.cseq = invite.cseq[0]
        return made

    @classmethod
    def of_callee(cls, peer: Peer, invite: Message, response: Message) -> Dialog:
        return cls(
            peer,
            response["to"],
            invite["from"],
            invite.call_id,
            uri_of(invite["contact"]),
            invite.values("record-route"),
        )

    def request(self, method: str, *headers: tuple[str, str], body: bytes = b"", cseq: int = 0) -> Message:
        """A request within it, not sent yet; its CSeq is the next one unless given."""
        if not cseq:
            self.cseq += 1
        made = self.peer.request(method, self.target, *headers, body=body, to=self.remote)
        made.set("From", self.local).set("Call-ID", self.call_id)
        made.set("CSeq", f"{cseq or self.cseq} {method}")
        if self.routes:
            made.set("Route", *self.routes)
        return made

    def ack(self, body: bytes = b"") -> Message:
        """Send the ACK for a 2xx: a request of its own (RFC 3261 section 13.2.2.4)."""
        made = self.request("ACK", body=body, cseq=self.cseq)
        self.peer.send(made)
        return made


def response_to(request: Message, status: int, reason: str, tag: str = "", body: bytes = b"") -> Message:
    """A response with what is to be copied (RFC 3261 section 8.2.6.2)."""
    copied = ("via", "from", "call-id", "cseq", "record-route")
    headers = [(name, value) for name, value in request.headers if key(name) in copied]
    to = request["to"]
    if status > 100 and request.tag("to") is None:
        to += f";tag={tag}"
    return Message(f"SIP/2.0 {status} {reason}", [*headers, ("To", to)], body)


def answers(response: Message, request: Message) -> bool:
    """Whether a response belongs to a request that we sent."""
    return (response.call_id, response.cseq) == (request.call_id, request.cseq)


def new_branch() -> str:
    return f"z9hG4bK{secrets.token_hex(8)}"


def _later(stop: Callable[[], Any]) -> Callable[[], Any]:
    async def stopped() -> None:
        await _fired(stop())

    return stopped


async def _fired(result: Any) -> None:
    if isinstance(result, Deferred):
        await result
