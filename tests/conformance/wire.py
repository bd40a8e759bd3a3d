"""
SIP messages as the tests see them: a reader and writer of their own, so that no fault of the product's parser hides itself.

It is strict about what the product writes (line ends, Content-Length, no empty names) and lets a test write anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_LONG = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "e": "content-encoding", "f": "from", "i": "call-id",
    "k": "supported", "l": "content-length", "m": "contact", "o": "event", "r": "refer-to", "s": "subject", "t": "to",
    "u": "allow-events", "v": "via", "x": "session-expires",
}  # fmt: skip


class NotSip(Exception):
    """What the product wrote is no SIP message."""


def key(name: str) -> str:
    lower = name.strip().lower()
    return _LONG.get(lower, lower)


class Message:
    """
    @ivar start: the start line; C{headers}: (name, value) in their order; C{body}: octets.
    @ivar raw: the octets that came, of one that was received.
    @ivar answer: of one that was received: sends octets to where it came from.
    @ivar source: (host, port) it came from; C{transport}: UDP or TCP; C{at}: when, on the reactor's clock.
    """

    def __init__(self, start: str, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        self.start, self.headers, self.body = start, headers, body
        self.raw = b""
        self.answer: Callable[[bytes], Any] | None = None
        self.source: tuple[str, int] = ("", 0)
        self.transport = ""
        self.at = 0.0

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """@raise NotSip: no message; a Content-Length that is not the body's; a bare CR or LF."""
        head, blank, body = data.partition(b"\r\n\r\n")
        if not blank:
            raise NotSip(f"no blank line: {data!r}")
        lines = re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")
        if any(b"\r" in line or b"\n" in line for line in lines):
            raise NotSip(f"a CR or LF alone: {head!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
            if not colon or not name.strip():
                raise NotSip(f"not a header: {line!r}")
            headers.append((name, value.strip()))
        message = cls(lines[0].decode("utf-8", "surrogateescape"), headers, body)
        message.raw = data
        if not re.match(r"SIP/2\.0 [1-6][0-9][0-9] |\S+ \S+ SIP/2\.0$", message.start):
            raise NotSip(f"not a start line: {message.start!r}")
        if "content-length" in message and int(message["content-length"]) != len(body):
            raise NotSip(f"Content-Length {message['content-length']}, but {len(body)} octets of body")
        return message

    def to_bytes(self) -> bytes:
        """As it stands, with Content-Length unless it has one."""
        headers = self.headers
        if "content-length" not in self:
            headers = [*headers, ("Content-Length", str(len(self.body)))]
        head = "\r\n".join([self.start, *(f"{name}: {value}" for name, value in headers), "", ""])
        return head.encode("utf-8", "surrogateescape") + self.body

    def __repr__(self) -> str:
        return f"<{self.start} | {self.values('cseq')} | {self.values('call-id')}>"

    # reading

    @property
    def status(self) -> int:
        """0 of a request."""
        return int(self.start[8:11]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """An empty string of a response."""
        return "" if self.status else self.start.split(" ")[0]

    @property
    def uri(self) -> str:
        return self.start.split(" ")[1]

    def __contains__(self, name: str) -> bool:
        return any(key(other) == key(name) for other, _ in self.headers)

    def __getitem__(self, name: str) -> str:
        """The value of the first line of that header."""
        for other, value in self.headers:
            if key(other) == key(name):
                return value
        raise KeyError(f"no {name} in {self.start}")

    def lines(self, name: str) -> list[str]:
        """The values of all lines of that header, as they stand."""
        return [value for other, value in self.headers if key(other) == key(name)]

    def values(self, name: str) -> list[str]:
        """All values of that header, comma lists taken apart."""
        return [part for line in self.lines(name) for part in split(line)]

    def address(self, name: str) -> str:
        """The URI of the first value of that header."""
        return uri_of(self.values(name)[0])

    def tag(self, name: str) -> str | None:
        """The tag of From or To."""
        match = re.search(r";\s*tag\s*=\s*([^\s;]+)", re.sub(r"<[^>]*>|\"[^\"]*\"", "", self[name]))
        return match[1] if match else None

    def via(self, parameter: str, index: int = 0) -> str | None:
        """A parameter of a Via value, the top one unless told otherwise; an empty string when it has no value."""
        value = self.values("via")[index]
        match = re.search(
            rf";\s*{re.escape(parameter)}(?:\s*=\s*([^\s;,]+))?(?=[\s;,]|$)", value, re.IGNORECASE
        )
        return None if match is None else match[1] or ""

    @property
    def branch(self) -> str:
        return self.via("branch") or ""

    @property
    def call_id(self) -> str:
        return self["call-id"]

    @property
    def cseq(self) -> tuple[int, str]:
        number, _, method = self["cseq"].partition(" ")
        return int(number), method.strip()

    # changing

    def copy(self) -> Message:
        return Message(self.start, list(self.headers), self.body)

    def add(self, name: str, *values: str) -> Message:
        """Append a line for each value; gives itself, as the others here."""
        self.headers += [(name, value) for value in values]
        return self

    def set(self, name: str, *values: str) -> Message:
        """Put these lines into the place of all of that name."""
        places = [index for index, (other, _) in enumerate(self.headers) if key(other) == key(name)]
        place = places[0] if places else len(self.headers)
        self.drop(name)
        self.headers[place:place] = [(name, value) for value in values]
        return self

    def drop(self, name: str) -> Message:
        self.headers = [(other, value) for other, value in self.headers if key(other) != key(name)]
        return self


def split(line: str) -> list[str]:
    """Take a comma list apart; commas in quotes and angle brackets are none."""
    parts, depth, quoted, start, escaped = [], 0, False, 0, False
    for index, letter in enumerate(line):
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = letter == "\\", letter != '"'
        elif letter == '"':
            quoted = True
        elif letter in "<>":
            depth += 1 if letter == "<" else -1
        elif letter == "," and not depth:
            parts.append(line[start:index].strip())
            start = index + 1
    return [*parts, line[start:].strip()]


def uri_of(value: str) -> str:
    """The URI of an address value, without header parameters."""
    match = re.search(r"<([^>]*)>", value)
    return match[1] if match else value.partition(";")[0].strip()


class Framer:
    """Cuts the stream that the product writes into messages, by Content-Length; C{pongs} counts CRLFs between them."""

    def __init__(self) -> None:
        self._data = b""
        self.pongs = 0

    def feed(self, data: bytes) -> list[bytes]:
        """@raise NotSip: a message without Content-Length (RFC 3261 section 20.14)."""
        self._data += data
        found = []
        while True:
            while self._data.startswith(b"\r\n"):
                self._data = self._data[2:]
                self.pongs += 1
            head, blank, _ = self._data.partition(b"\r\n\r\n")
            if not blank:
                return found
            match = re.search(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*([0-9]+)", head, re.IGNORECASE)
            if match is None:
                raise NotSip(f"no Content-Length on a stream: {head!r}")
            size = len(head) + 4 + int(match[1])
            if len(self._data) < size:
                return found
            found.append(self._data[:size])
            self._data = self._data[size:]
