"""C{[hep]} and C{[trace]}: who else sees the messages of calls."""

from __future__ import annotations

import re

from attrs import frozen

from voipcluster.config.kinds import Choice, FilePath, Flag, Number, Octets, Server, Whole, Word, Words
from voipcluster.config.option import option

_METHOD = re.compile(r"[A-Z]{1,32}", re.ASCII)


@frozen
class HepOptions:
    """Telling a collector such as Homer what passes, by HEP version 3 (C{docs/tracing.md})."""

    server: str = option(
        "", Server(9060), 'the collector, such as "10.0.0.9:9060" or "homer.example.com"; "" = nobody is told'
    )
    transport: str = option(
        "udp",
        Choice(("udp", "tcp")),
        "udp | tcp; neither is encrypted, nor is what was encrypted on its way here",
    )
    capture_id: int = option(
        2001, Whole(0, 0xFFFFFFFF), "the number by which the collector knows this cluster"
    )
    auth_key_file: str = option(
        "", FilePath(), 'file of mode 0600 with what the collector asks of those who send to it; "" = nothing'
    )
    methods: tuple[str, ...] = option(
        (), Words(Word(_METHOD, "a method"), 'methods such as "INVITE"'), "tell of these alone; [] = all"
    )
    share: float = option(
        1.0, Number(0, 1), "share of the calls that are told of, the same ones at every node"
    )
    quality: bool = option(True, Flag(), "tell at the end of a call how each direction of it sounded")
    mask: bool = option(
        True, Flag(), "make answers to challenges, keys of media and typed tones unreadable there"
    )


@frozen
class TraceOptions:
    """What C{voipctl trace} can show of a call (C{docs/tracing.md})."""

    memory: int = option(
        16 << 20,
        Octets(64 << 10, 1 << 32),
        "octets of messages that are kept while tracing is on; the oldest call goes first",
    )
    mask: bool = option(True, Flag(), "keep and show no answers to challenges, keys of media and typed tones")
    outlines: int = option(
        1000, Whole(0, 1_000_000), "calls that are over of which an outline is kept in any case; 0 = none"
    )
