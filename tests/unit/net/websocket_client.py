"""The client's end of a WebSocket: frames as a browser makes them."""

from __future__ import annotations

from typing import Any

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage


class WebSocketClient:
    """
    What a client sends, and what it understood of the answers.

    @ivar messages: whole messages, text or bytes; C{closed}: the code of the close frame; C{pongs}: payloads.
    """

    def __init__(self) -> None:
        self._frames = Connection(ConnectionType.CLIENT)
        self._parts: list[Any] = []
        self.messages: list[str | bytes] = []
        self.closed: int | None = None
        self.pongs: list[bytes] = []

    def text(self, data: str, finished: bool = True) -> bytes:
        return self._frames.send(TextMessage(data, message_finished=finished))

    def binary(self, data: bytes, finished: bool = True) -> bytes:
        return self._frames.send(BytesMessage(data, message_finished=finished))

    def ping(self, payload: bytes = b"") -> bytes:
        return self._frames.send(Ping(payload))

    def close(self, code: int = 1000) -> bytes:
        return self._frames.send(CloseConnection(code))

    def receive(self, data: bytes) -> None:
        self._frames.receive_data(data)
        for event in self._frames.events():
            match event:
                case TextMessage() | BytesMessage():
                    self._parts.append(event.data)
                    if event.message_finished:
                        whole = self._parts[0]
                        for part in self._parts[1:]:
                            whole += part
                        self._parts = []
                        self.messages.append(bytes(whole) if not isinstance(whole, str) else whole)
                case CloseConnection(code=code):
                    self.closed = code
                case Pong(payload=payload):
                    self.pongs.append(bytes(payload))
