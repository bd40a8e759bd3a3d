"""
The payload of a message on the cluster link: who says it, in which life and order, and a body of plain values.

UTF-8 JSON of C{{"node", "epoch", "seq", "body"}}; the answer to it is C{{"ok": body}} or C{{"error": text}}.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from attrs import define, field

from voipcluster.errors import PeerError
from voipcluster.net.certificates import Certified

Body = dict[str, Any]
"""Dicts, lists, strings, numbers, booleans and None only."""

MAX_PAYLOAD = 480 * 1024  # octets; below the guard's cap and banana's own 640 KiB


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def pack(body: Body) -> bytes:
    """@raise PeerError: longer than the link carries."""
    payload = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    if len(payload) > MAX_PAYLOAD:
        raise PeerError(f"a message of {len(payload)} octets is longer than {MAX_PAYLOAD}", 513)
    return payload


def unpack(payload: object) -> Body:
    """@raise PeerError: not the JSON of an object."""
    if not isinstance(payload, bytes) or len(payload) > MAX_PAYLOAD:
        raise PeerError("a message is not the bytes of an envelope")
    try:
        body = json.loads(payload, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise PeerError("a message is not JSON") from None
    if not isinstance(body, dict):
        raise PeerError("a message is not a JSON object")
    return body


@define
class Ordering:
    """What was heard last of each node; drops copies, and what an earlier life of the node sent."""

    _last: dict[str, tuple[int, int]] = field(factory=dict)

    def fault(self, node: str, epoch: int, sequence: int) -> str | None:
        """@return: why the message is to be dropped, or L{None}; then it is the last one heard."""
        last_epoch, last_sequence = self._last.get(node, (0, -1))
        if epoch < last_epoch:
            return f"epoch {epoch} is older than {last_epoch}"
        if epoch == last_epoch and sequence <= last_sequence:
            return f"sequence {sequence} of epoch {epoch} is not above {last_sequence}"
        self._last[node] = (epoch, sequence)
        return None

    def restarted(self, node: str, epoch: int) -> bool:
        """Whether that epoch is a new one of a node that was heard before."""
        return node in self._last and epoch > self._last[node][0]

    def forget(self, node: str) -> None:
        self._last.pop(node, None)


def open_envelope(peer: Certified, payload: object) -> tuple[int, int, Body]:
    """
    @return: epoch, sequence and body of a received message.
    @raise PeerError: fields are missing or wrong, or the sender is not the node that its certificate names.
    """
    envelope = unpack(payload)
    node, epoch, sequence, body = (envelope.get(key) for key in ("node", "epoch", "seq", "body"))
    if node != peer.name:
        raise PeerError(f"it speaks for node {str(node)[:64]!r}", 403)
    # bool is an int to isinstance, and a number of any size would stay in our memory
    for name, number in (("epoch", epoch), ("seq", sequence)):
        if type(number) is not int or not 0 <= number < 2**53:
            raise PeerError(f"{name} of a message is not a number from 0 to 2**53")
    if not isinstance(body, dict):
        raise PeerError("body of a message is not an object")
    assert isinstance(epoch, int)
    assert isinstance(sequence, int)
    return epoch, sequence, body
