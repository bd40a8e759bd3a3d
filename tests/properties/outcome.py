"""What comes of asking: a value or the fault that is found, and whether anything went wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python import log

from voipcluster.errors import PeerError


def outcome(ask: Callable[[], Any]) -> Any:
    """The value, or C{"fault"} and the status; anything but a L{PeerError} goes on to the caller."""
    try:
        return ask()
    except PeerError as error:
        return "fault", error.status_hint


def failed(result: Any) -> bool:
    return isinstance(result, tuple) and len(result) == 2 and result[0] == "fault"


def text_of(octets: bytes) -> str:
    """Text as the message layer makes it of header octets."""
    return octets.decode("utf-8", "surrogateescape")


def nothing_logged(act: Callable[[], None]) -> None:
    """Do it, and see that no failure was logged: what a peer sends is no fault of ours."""
    seen: list[dict[str, Any]] = []
    log.addObserver(seen.append)
    try:
        act()
    finally:
        log.removeObserver(seen.append)
    errors = [event for event in seen if event.get("isError")]
    assert not errors, errors[0]
