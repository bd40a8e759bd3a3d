"""
SIP phones that end calls in every way: one caller, one callee, each a socket, and a call is nothing but its place in a table.

The Call-ID begins with the name of the ending, so that the callee knows what to do without a word between the two.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from attrs import define, field

NODE = ("127.0.0.1", 5060)
CALLER, CALLEE, SECOND, STRANGER = (
    ("127.0.0.3", 5060),
    ("127.0.0.2", 5060),
    ("127.0.0.2", 5070),
    ("127.0.0.9", 5060),
)
ENDINGS = {
    "bye": "BYE of the caller",
    "bye of callee": "BYE of the callee",
    "cancel": "CANCEL while it rings",
    "busy": "486 of the callee",
    "declined": "603 of the callee",
    "redirected": "302 of the callee, to where nobody is",
    "unknown": "480 or 404 of the node",
    "no answer": "a callee that says nothing (Timer B)",
    "lost bye": "a BYE that nobody answers (Timer F)",
    "both crash": "both sides are gone without a word (media time-out)",
    "2xx lost": "a 200 that never arrives, and the BYE of the callee",
    "ack lost": "an ACK that never arrives, and the BYE of the callee",
    "re-INVITE refused": "a re-INVITE that gets 488, then BYE",
    "fork": "two phones ring, one answers, the other gets a CANCEL",
    "refused 488": "a description that nobody understands",
    "refused 503": "no more media ports for this caller",
}
USERS = {"fork": "fork", "unknown": "nobody"}
REFUSALS = {"busy": 486, "declined": 603, "redirected": 302}
AT_ONCE = {"no answer": 300, "lost bye": 300, "both crash": 300}  # calls that are under way; 50 of the others
# s for which the node has to do with a call that is nothing to these phones any more: without it the room for as many as
# there are at a time would grow with the speed of the moment
BEHIND = {"lost bye": 1.5, "both crash": 2.0}
BURST = 5  # calls that begin together
PATIENCE = 20.0  # seconds for one call; who is not through by then has failed

_CRLF = "\r\n"
_LINE = re.compile(rb"^([\w-]+) *: *(.*?)\r$", re.MULTILINE)
AUDIO = "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
LINE = "m=audio 9000 RTP/AVP 0\r\n"


class Read(NamedTuple):
    """What of a message is needed. C{status} is 0 for a request; the header values are as they came."""

    method: str
    status: int
    call_id: str
    headers: dict[str, list[str]]

    def one(self, name: str) -> str:
        return self.headers[name][0]


def read(data: bytes) -> Read:
    head = data.partition(b"\r\n\r\n")[0] + b"\r\n"
    headers: dict[str, list[str]] = {}
    for name, value in _LINE.findall(head.partition(b"\r\n")[2]):
        headers.setdefault(name.decode().lower(), []).append(value.decode())
    first = head.split(b" ", 2)
    status = int(first[1]) if first[0] == b"SIP/2.0" else 0
    method = headers["cseq"][0].split()[1]
    return Read(method, status, headers["call-id"][0], headers)


def _contact(read: Read) -> str:
    return read.one("contact").partition("<")[2].partition(">")[0]


class Phone:
    """One socket of one user."""

    def __init__(self, address: tuple[str, int], on_message: Callable[[Read], None]) -> None:
        self.address, self.on_message = address, on_message
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(address)
        self.socket.connect(NODE)
        self.socket.setblocking(False)
        self._branch = 0

    @property
    def where(self) -> str:
        return "{}:{}".format(*self.address)

    def sdp(self, lines: int = 1) -> str:
        return AUDIO.format(host=self.address[0]) + LINE * lines

    def request(self, method: str, uri: str, lines: list[str], body: str = "", branch: str = "") -> None:
        self._branch += 1
        via = branch or f"{self.address[1]}-{self._branch}"
        text = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.where};branch=z9hG4bK{via}",
            "Max-Forwards: 70",
            *lines,
        ]
        self._send(text, body)

    def respond(self, request: Read, status: int, tag: str, body: str = "", contact: str = "") -> None:
        lines = [f"SIP/2.0 {status} Whatever"]
        lines += [f"Via: {value}" for value in request.headers["via"]]
        lines += [f"Record-Route: {value}" for value in request.headers.get("record-route", ())]
        to = request.one("to")
        lines += [f"From: {request.one('from')}", f"To: {to}" + ("" if "tag=" in to else f";tag={tag}")]
        lines += [f"Call-ID: {request.call_id}", f"CSeq: {request.one('cseq')}"]
        lines.append(f"Contact: <{contact or f'sip:{tag}@{self.where}'}>")
        self._send(lines, body)

    def _send(self, lines: list[str], body: str) -> None:
        if body:
            lines = [*lines, "Content-Type: application/sdp"]
        text = _CRLF.join([*lines, f"Content-Length: {len(body)}", "", body])
        with suppress(BlockingIOError, ConnectionRefusedError):  # then somebody's timer deals with it
            self.socket.send(text.encode())

    def drain(self) -> None:
        for _ in range(100):
            try:
                data = self.socket.recv(65535)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self.on_message(read(data))


@define
class Call:
    """
    What both phones know of one call.

    @ivar until: when our patience is over.
    @ivar routes: and C{target}: where the caller's requests within the dialog go.
    @ivar invites: as they came at the callee, by its tag.
    """

    name: str
    number: int
    until: float
    routes: list[str] = field(factory=list)
    target: str = ""
    invites: dict[str, Read] = field(factory=dict)


class Load:
    """
    @ivar ended: how many calls came to the end that was meant, by ending; C{failed} likewise, those that did not.
    """

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._calls: dict[str, Call] = {}
        self._left: deque[tuple[float, str]] = (
            deque()
        )  # calls that only the node has to do with, and until when
        self._number = self._registered = 0
        self.caller = Phone(CALLER, lambda message: self._at_caller(self.caller, message))
        self.stranger = Phone(STRANGER, lambda message: self._at_caller(self.stranger, message))
        self.callee = Phone(CALLEE, lambda message: self._at_callee(self.callee, message))
        self.second = Phone(SECOND, lambda message: self._at_callee(self.second, message))
        self._phones = (self.caller, self.stranger, self.callee, self.second)
        self._selector = selectors.DefaultSelector()
        for phone in self._phones:
            self._selector.register(phone.socket, selectors.EVENT_READ, phone)

    def close(self) -> None:
        for phone in self._phones:
            phone.socket.close()
        self._selector.close()

    # driving

    def register(self) -> None:
        """The callee as bob, and both of its sockets as fork."""
        pairs = [(self.callee, "bob"), (self.callee, "fork"), (self.second, "fork")]
        for number, (phone, user) in enumerate(pairs, 1):
            uri = f"sip:{user}@example.com"
            lines = [
                f"From: <{uri}>;tag=r{number}",
                f"To: <{uri}>",
                f"Call-ID: register-{number}@x",
                "CSeq: 1 REGISTER",
            ]
            contact = f"Contact: <sip:{user}@{phone.where}>"
            phone.request("REGISTER", "sip:example.com", [*lines, contact, "Expires: 3600"])
            end = time.monotonic() + 5
            while self._registered < number and time.monotonic() < end:
                self._turn(0.1)
        if self._registered < len(pairs):
            raise SystemExit("the callee could not register")

    def run(self, names: Sequence[str], calls: int) -> None:
        """So many calls of each ending, in turn; returns when this side is through with them."""
        at_once = max(AT_ONCE.get(name, 50) for name in names)
        waiting = deque(name for _ in range(calls) for name in names)
        while waiting or self._calls:
            for _ in range(min(BURST, len(waiting), at_once - len(self._calls))):
                self._begin(waiting.popleft())
            self._turn(0.01)
            now = time.monotonic()
            while self._left and self._left[0][0] < now:
                self._over(self._left.popleft()[1])
            while self._calls and self._calls[next(iter(self._calls))].until < now:
                self._over(next(iter(self._calls)), good=False)

    def _turn(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data.drain()

    def _over(self, call_id: str, *, good: bool = True) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            (self.ended if good else self.failed)[call.name] += 1

    # the caller

    def _begin(self, name: str) -> None:
        self._number += 1
        call_id = f"{name.replace(' ', '-')}.{self._number}"
        call = self._calls[call_id] = Call(name, self._number, time.monotonic() + PATIENCE)
        phone, body = self.caller, self.caller.sdp()
        if name == "refused 488":
            body = "v=0\r\nc=IN IP4 127.0.0.3\r\nm=audio\r\n"
        elif name == "refused 503":
            phone, body = self.stranger, self.stranger.sdp(30)
        uri = f"sip:{USERS.get(name, 'bob')}@example.com"
        lines = self._names(phone, call_id, f"<{uri}>", "1 INVITE")
        contact = f"Contact: <sip:alice@{phone.where}>"
        phone.request("INVITE", uri, [*lines, contact], body, branch=f"i{call.number}")

    def _names(self, phone: Phone, call_id: str, to: str, cseq: str) -> list[str]:
        return [f"From: <sip:alice@{phone.where}>;tag=a", f"To: {to}", f"Call-ID: {call_id}", f"CSeq: {cseq}"]

    def _at_caller(self, phone: Phone, message: Read) -> None:
        call = self._calls.get(message.call_id)
        if not message.status:
            if message.method == "BYE":
                phone.respond(message, 200, "a")
        elif call is None:
            pass  # a copy, or of a call that was left alone
        elif message.method == "INVITE" and message.status >= 180:
            self._invite_answered(phone, call, message)
        elif message.method == "BYE" and message.status >= 200:
            self._over(message.call_id)

    def _invite_answered(self, phone: Phone, call: Call, message: Read) -> None:
        name, status, call_id = call.name, message.status, message.call_id
        if status < 200:
            if name == "cancel":
                lines = self._names(phone, call_id, "<sip:bob@example.com>", "1 CANCEL")
                phone.request("CANCEL", "sip:bob@example.com", lines, branch=f"i{call.number}")
        elif status >= 300:
            self._ack(phone, call, message)
            if message.one("cseq") == "2 INVITE":
                self._within(phone, call, message, "BYE", 3)
            else:
                self._over(call_id)
        elif not call.routes:  # no copy
            call.routes = message.headers.get("record-route", [])[::-1]
            call.target = _contact(message)
            if name in ("2xx lost", "ack lost"):
                return  # it does not reach us, or our ACK reaches nobody: the callee ends it
            self._within(phone, call, message, "ACK", 1)
            if name == "re-INVITE refused":
                self._within(phone, call, message, "INVITE", 2, phone.sdp(2))
            elif name in ("bye", "fork", "lost bye"):
                self._within(phone, call, message, "BYE", 2)
            if name in BEHIND:
                self._left.append((time.monotonic() + BEHIND[name], call_id))

    def _ack(self, phone: Phone, call: Call, message: Read) -> None:
        """For a final response that is no 2xx: with the branch of its INVITE (RFC 3261 section 17.1.1.3)."""
        number = message.one("cseq").split()[0]
        branch = message.one("via").partition("branch=z9hG4bK")[2].partition(";")[0]
        lines = [f"Route: {route}" for route in call.routes]
        lines += self._names(phone, message.call_id, message.one("to"), f"{number} ACK")
        uri = call.target or message.one("to").partition("<")[2].partition(">")[0]
        phone.request("ACK", uri, lines, branch=branch)

    def _within(
        self, phone: Phone, call: Call, message: Read, method: str, cseq: int, body: str = ""
    ) -> None:
        """A request of the caller within the dialog (RFC 3261 section 12.2.1.1)."""
        lines = [f"Route: {route}" for route in call.routes]
        lines += self._names(phone, message.call_id, message.one("to"), f"{cseq} {method}")
        if method == "INVITE":
            lines.append(f"Contact: <sip:alice@{phone.where}>")
        phone.request(method, call.target, lines, body)

    # the callee

    def _at_callee(self, phone: Phone, message: Read) -> None:
        call = self._calls.get(message.call_id)
        tag = f"b{phone.address[1]}"
        if message.status:
            if message.method == "REGISTER":
                self._registered += message.status == 200
            elif message.method == "BYE":
                self._over(message.call_id)
        elif message.method == "CANCEL":
            phone.respond(message, 200, tag)
            if call is not None and tag in call.invites:
                phone.respond(call.invites[tag], 487, tag)
        elif message.method == "BYE":
            if not message.call_id.startswith("lost-bye"):
                phone.respond(message, 200, tag)
        elif call is None:
            pass
        elif message.method == "INVITE":
            self._invited(phone, call, tag, message)
        elif message.method == "ACK" and call.name == "bye of callee":
            self._hang_up(phone, call, tag)

    def _invited(self, phone: Phone, call: Call, tag: str, message: Read) -> None:
        name = call.name
        first = call.invites.setdefault(tag, message) is message
        if name == "re-INVITE refused" and not first:
            if message.one("cseq") == "2 INVITE":
                phone.respond(message, 488, tag)
        elif name == "no answer":
            pass  # Timer B
        elif name in REFUSALS:
            phone.respond(message, REFUSALS[name], tag, contact="sip:elsewhere@192.0.2.200")
        elif name == "cancel" or (name == "fork" and phone is self.second):
            phone.respond(message, 180, tag)
        else:
            phone.respond(message, 200, tag, phone.sdp())
            if name in ("2xx lost", "ack lost") and first:
                self._hang_up(phone, call, tag)

    def _hang_up(self, phone: Phone, call: Call, tag: str) -> None:
        """A BYE of the callee, along the route set of the INVITE (RFC 3261 section 12.1.1)."""
        invite = call.invites[tag]
        lines = [f"Route: {route}" for route in invite.headers.get("record-route", ())]
        lines += [f"From: {invite.one('to')};tag={tag}", f"To: {invite.one('from')}"]
        lines += [f"Call-ID: {invite.call_id}", "CSeq: 1 BYE"]
        phone.request("BYE", _contact(invite), lines)
