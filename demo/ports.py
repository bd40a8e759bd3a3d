"""Whether a port can be had, and who has it when not."""

from __future__ import annotations

import os
import re
import socket
import sys
from contextlib import suppress
from pathlib import Path

from voipcluster.address import join_host_port

_SOCKET = re.compile(r"socket:\[([0-9]+)\]")


def taken(host: str, port: int, transport: str) -> str | None:
    """
    Try to bind; nothing stays open.

    @param transport: C{"UDP"} or C{"TCP"}.
    @return: one line on what is in the way, or L{None}.
    """
    kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            if kind == socket.SOCK_STREAM:
                probe.listen()
        except OSError as error:
            reason = error.strerror or str(error)
            return f"{transport} {join_host_port(host, port)} cannot be used: {reason}{_by_whom(host, port, transport)}"
    return None


def _by_whom(host: str, port: int, transport: str) -> str:
    """C{" (NAME, process PID)"} of the program that holds a port, as far as this user may see it."""
    # the kernel writes IPv4 addresses as numbers in the machine's own byte order
    number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    inodes = set()
    with suppress(OSError):
        for line in Path(f"/proc/net/{transport.lower()}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            listening = transport == "UDP" or fields[3] == "0A"
            address, _, local_port = fields[1].partition(":")
            if listening and int(local_port, 16) == port and int(address, 16) in (number, 0):
                inodes.add(fields[9])
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                held = _SOCKET.fullmatch(os.readlink(descriptor))
                if held is not None and held[1] in inodes:
                    name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                    return f" ({name}, process {process.name})"
    return ""
