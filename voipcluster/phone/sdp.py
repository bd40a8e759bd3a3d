"""The session descriptions of a phone that knows one codec (RFC 4566, RFC 3264)."""

from __future__ import annotations

import re
from typing import NamedTuple

from voipcluster.address import is_ip, is_ipv6

_CONNECTION = re.compile(r"c=IN IP[46] ([^\s/]+)")
_AUDIO = re.compile(r"m=audio ([0-9]{1,5})(?:/[0-9]+)? RTP/AVPF? ([0-9 ]+)")


class Audio(NamedTuple):
    """Where the far end wants its audio: IP literal and port; C{sending}: whether it says that it sends too."""

    host: str
    port: int
    receiving: bool = True
    sending: bool = True


def describe(host: str, port: int, version: int, direction: str = "sendrecv") -> bytes:
    """An offer or answer of PCMU at 20 ms; C{version} counts the changes of the session (RFC 4566 section 5.2)."""
    family = "IP6" if is_ipv6(host) else "IP4"
    lines = [
        "v=0",
        f"o=phone 1 {version} IN {family} {host}",
        "s=-",
        f"c=IN {family} {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=ptime:20",
        f"a={direction}",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def read_audio(body: bytes) -> Audio | None:
    """The first audio line that takes PCMU; L{None} when there is none, or it is refused with port 0."""
    lines = body.decode("utf-8", "replace").splitlines()
    session_host = ""
    found: Audio | None = None
    in_media = False
    for line in lines:
        if line.startswith("m="):
            if found is not None:
                break
            in_media = True
            audio = _AUDIO.fullmatch(line.strip())
            if audio is not None and "0" in audio[2].split() and 0 < int(audio[1]) < 65536:
                found = Audio(session_host, int(audio[1]))
        elif (connection := _CONNECTION.match(line)) is not None:
            if not in_media:
                session_host = connection[1]
            elif found is not None:
                found = found._replace(host=connection[1])
        elif found is not None and line.strip() in ("a=sendonly", "a=inactive", "a=recvonly"):
            kind = line.strip()[2:]
            found = found._replace(receiving=kind == "recvonly", sending=kind == "sendonly")
    return found if found is not None and is_ip(found.host) else None
