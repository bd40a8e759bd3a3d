"""
The relay that C{bench/relay.py} measures: the real service on the real reactor, with calls set up by real messages.

Run: C{python bench/relay_server.py CALLS CALLER_PORT CALLEE_PORT PATH RELAY CALLER CALLEE}: the path is C{kernel} or
C{userspace}, and the last three are addresses. Prints one line of JSON: C{legs}, of each party (0 the caller) its port and
the relay's port for it, C{python}, which build this is, and what a call costs to set up. Then it relays until it is terminated.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import Any

from twisted.internet import reactor as installed_reactor

from bench.common import python_build
from bench.relays import SDP, resident_kb
from voipcluster.address import Hop
from voipcluster.config.media import MediaOptions
from voipcluster.media.offer_answer import Side
from voipcluster.media.sdp import SessionDescription
from voipcluster.net.port_group import port_readers
from voipcluster.services.media.ports import RelayAddress
from voipcluster.services.media.relay import CallKey, MediaService

reactor: Any = installed_reactor


def set_up(media: MediaService, number: int, sender: Side, host: str, port: int) -> int:
    """Offer or answer of one call; gives the port that the other side is told."""
    body = media.message_passes(
        CallKey(f"call{number}", "a"),
        sender=sender,
        method="INVITE",
        status=None if sender is Side.CALLER else 200,
        cseq=1,
        to_tag=None if sender is Side.CALLER else "b",
        content_type="application/sdp",
        body=SDP.format(host, port).encode(),
        source=Hop("UDP", host, 5060),
    )
    return SessionDescription.parse(body).media[0].port


def main() -> None:
    calls, caller, callee = (int(argument) for argument in sys.argv[1:4])
    path, host, caller_host, callee_host = sys.argv[4:]
    media = MediaService(
        reactor,
        ports=(40000, 59999),
        addresses=[RelayAddress(host)],
        relay=path,
        readers=partial(port_readers, gather=MediaOptions().gather),
    )
    media.startService()
    legs = []
    before = time.process_time(), resident_kb(os.getpid())
    for n in range(calls):
        for_callee = set_up(media, n, Side.CALLER, caller_host, caller + 2 * n)
        for_caller = set_up(media, n, Side.CALLEE, callee_host, callee + 2 * n)
        legs += [(0, caller + 2 * n, for_caller), (1, callee + 2 * n, for_callee)]
    setup_us = (time.process_time() - before[0]) / calls * 1e6
    memory_kb = (resident_kb(os.getpid()) - before[1]) / calls
    build = f"{python_build()}, {type(reactor).__name__}"
    print(
        json.dumps({"legs": legs, "python": build, "setup_us": setup_us, "memory_kb": memory_kb}), flush=True
    )

    def stop() -> None:
        for n in range(calls):  # else the kernel would go on with them, for the next process
            media.call_ended(CallKey(f"call{n}", "a"), "the end")
        media.stopService()

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.run()


main()
