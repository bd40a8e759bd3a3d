"""The recorded messages and what a proxy and registrar does with each (messages.toml)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent
_DATA = _HERE.parent / "data"


class Torture(NamedTuple):
    """
    One message.

    @ivar udp: the outcomes that are right (L{is_right}); C{stream}: what happens on a stream, where it differs.
    @ivar data: the octets; C{section}: of its RFC.
    """

    name: str
    section: str
    udp: tuple[str, ...]
    stream: str
    data: bytes

    @property
    def silence(self) -> bool:
        """Whether no answer may be right."""
        return "none" in self.udp

    @property
    def top_via(self) -> bytes:
        """The line of its topmost Via."""
        line = re.search(rb"^(?:v|via)[ \t]*:.*$", self.data, re.I | re.M)
        return line[0] if line else b""

    @property
    def via_port(self) -> int:
        """Where its sender says that it waits for the answer: 5060 unless the top Via names a port."""
        top = re.search(rb"^(?:v|via)[ \t]*:\s*SIP[^\r,;]*?:([0-9]+)[ \t]*[;\r]", self.data, re.I | re.M)
        return int(top[1]) if top else 5060


def is_right(outcomes: tuple[str, ...], statuses: list[int]) -> bool:
    """
    Whether the final answers are as they should be.

    @param outcomes: C{"400"}: that answer is right; C{"!400"}: any answer but this one (and but all others so marked);
        C{"none"}: no answer is right.
    """
    if not statuses:
        return "none" in outcomes
    wrong = {int(text[1:]) for text in outcomes if text.startswith("!")}
    right = {int(text) for text in outcomes if text.isdigit()}
    return all(status in right or (bool(wrong) and status not in wrong) for status in statuses)


def _messages(rfc: str) -> list[Torture]:
    with (_HERE / "messages.toml").open("rb") as file:
        entries = tomllib.load(file)[rfc]
    return [
        Torture(
            entry["id"],
            entry["section"],
            tuple(entry["udp"]),
            entry.get("stream", ""),
            (_DATA / rfc / f"{entry['id']}.dat").read_bytes(),
        )
        for entry in entries
    ]


MESSAGES = {rfc: _messages(rfc) for rfc in ("rfc4475", "rfc5118")}
