"""
One SIP connection over a WebSocket (RFC 7118): a message each, in text or binary.

L{twisted.web.websocket} leaves the size of a message open, and lets an exception escape where a peer breaks the protocol; so the
frames come from wsproto, which it is made of, directly.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from twisted.protocols.policies import ProtocolWrapper
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from voipcluster.address import WSS
from voipcluster.net.stream import PONGS_PER_SECOND, SipStream

FRAMES = 100  # of one message, and control frames in a second: each costs us more than its sender
_SIP = re.compile(
    rb"(?:[A-Za-z0-9.!%*_+`'~-]+ [^\r\n]* SIP/[0-9.]+|SIP/[0-9.]+ [^\r\n]*)\r?\n", re.IGNORECASE
)


class SipWebSocket(SipStream):
    """
    The connection behind its opening handshake.

    @param frames: what turns messages into frames and back, of the server.
    """

    def __init__(self, *, frames: Connection, **rest: Any) -> None:
        super().__init__(**rest)
        self._frames = frames
        self._message = bytearray()
        self._count = 0  # frames of the message that has begun
        self._binary = False  # what the client sent last is what it takes
        self._control_second, self._controls = 0.0, 0
        self._closed = False

    @property
    def partial(self) -> bool:
        return bool(self._count)

    def connectionMade(self) -> None:
        self._wire = self.transport
        self._wire.unregisterProducer()  # the web server's
        self._tune(_below(self._wire))
        self._begin()

    def dataReceived(self, data: bytes) -> None:
        if not self._alive:
            return
        self._active_at = self._heard_at = self._seconds()
        self._frames.receive_data(data)
        whole = False
        for event in self._frames.events():
            whole = self._take(event) or whole
            if not self.alive:
                return
        self._limit_message(whole)

    def send(self, data: bytes) -> bool:
        event: Event
        try:
            event = BytesMessage(data) if self._binary else TextMessage(data.decode("utf-8"))
        except UnicodeDecodeError:
            event = BytesMessage(data)  # RFC 6455 section 5.6: text is UTF-8
        return super().send(self._frames.send(event))

    def _take(self, event: Event) -> bool:
        """@return: whether a message is whole."""
        match event:
            case Message():
                return self._take_part(event)
            case CloseConnection(code=code):
                # of the peer, to be answered in kind (RFC 6455 section 5.5.1), or of ours about what it sent
                self._give_up(code)
            case Ping():
                if self._controls_allowed() <= PONGS_PER_SECOND:
                    super().send(self._frames.send(event.response()))
            case _:
                self._controls_allowed()
        return False

    def _controls_allowed(self) -> int:
        """How many control frames there were in this second, this one included; too many end the connection."""
        if self._active_at - self._control_second >= 1.0:
            self._control_second, self._controls = self._active_at, 0
        self._controls += 1
        if self._controls > FRAMES:
            self._give_up(CloseReason.POLICY_VIOLATION)
            return FRAMES
        return self._controls

    def _take_part(self, event: Message[Any]) -> bool:
        data = event.data
        self._binary = not isinstance(data, str)
        self._message += data.encode("utf-8") if isinstance(data, str) else data
        self._count += bool(event.frame_finished)
        if len(self._message) > self._limits.max_head + self._limits.max_body:
            self._give_up(CloseReason.MESSAGE_TOO_BIG)
            return False
        if not event.message_finished:
            self._count = max(self._count, 1)
            if self._count > FRAMES:
                self._give_up(CloseReason.POLICY_VIOLATION)
            return False
        message, self._message, self._count = bytes(self._message), bytearray(), 0
        if _SIP.match(message.lstrip(b"\r\n")) is None:
            if message.strip(b"\r\n"):
                self._give_up(
                    CloseReason.UNSUPPORTED_DATA
                )  # nothing but SIP goes over it (RFC 7118 section 5)
            elif len(message) >= 4:
                self._answer_ping(1)
            return False
        if not self._proven:
            self._prove()
        try:
            self._sink.bytes_received(message, self.flow)
        except Exception:
            self._errors.failed(self.flow)
        return True

    def _give_up(self, code: int) -> None:
        self._say_closed(code)
        self.close()

    def _say_closed(self, code: int) -> None:
        if not self._closed:
            self._closed = True
            # 1005 and 1006 stand for "no code" and are never sent (RFC 6455 section 7.4.1)
            event = CloseConnection(code if code not in (1005, 1006) else 1000)
            with suppress(LocalProtocolError):  # when it is closed already
                self._wire.write(self._frames.send(event))

    def _close_transport(self) -> None:
        self._say_closed(CloseReason.GOING_AWAY)
        if self.flow.transport == WSS:
            self._wire.loseConnection()
        else:
            super()._close_transport()


def _below(wire: Any) -> Any:
    """The transport of the system, below TLS and what else a web server puts around it."""
    while isinstance(wire, ProtocolWrapper):
        wire = wire.transport
    return wire
