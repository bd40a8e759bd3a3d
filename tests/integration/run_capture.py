"""HEP receivers that others wrote: Kamailio's module sipcapture, and sngrep behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.programs import Program

PORT, NEXT = 9060, 9061  # of Kamailio, and of sngrep

_CHUNKS = {
    "family": 0x001, "protocol": 0x002, "source": 0x003, "destination": 0x004, "source_port": 0x007, "destination_port": 0x008,
    "seconds": 0x009, "microseconds": 0x00A, "type": 0x00B, "agent": 0x00C, "key": 0x00E, "correlation": 0x011,
}  # fmt: skip
_SHOWN = " ".join(f"{name}=$hep(0x{kind:03x})" for name, kind in _CHUNKS.items())
_CONFIGURATION = f"""#!KAMAILIO
debug=1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:HOST:{PORT}
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "db_text.so"
loadmodule "sipcapture.so"
modparam("sipcapture", "db_url", "text://FOLDER")
modparam("sipcapture", "capture_on", 1)
modparam("sipcapture", "hep_capture_on", 1)
modparam("sipcapture", "nonsip_hook", 1)

event_route[sipcapture:request] {{
	xlog("L_ALERT", "told version=$hep(version) {_SHOWN} first=$(hep(0x00f){{line.at,0}}) end\\n");
	sip_capture_forward("sip:HOST:{NEXT}");
	return 0;
}}

request_route {{
	exit;
}}
"""
_TOLD = re.compile(r"told (version=.*?) first=(.*?) end\n")


class Capture:
    """
    Kamailio as a HEP collector; it hands all of it on to a running sngrep, which keeps it as packets in a file.

    @param host: the address of both.
    """

    def __init__(self, reactor: Any, folder: Path, host: str) -> None:
        self._folder = folder
        file, self._packets = folder / "capture.cfg", folder / "capture.pcap"
        file.write_text(_CONFIGURATION.replace("HOST", host).replace("FOLDER", str(folder)))
        listen = f"udp:{host}:{NEXT}"
        sngrep = ("sngrep", "-F", "-N", "-q", "-L", listen, "-O", str(self._packets))
        self.sngrep = Program.start(reactor, "sngrep", sngrep)
        run = ("-Y", str(folder), "-w", str(folder), "-m", "32", "-M", "4")
        self.kamailio = Program.start(reactor, "kamailio", ("kamailio", "-DD", "-E", "-f", str(file), *run))

    def told(self) -> list[Mapping[str, str]]:
        """What Kamailio read of each packet: its chunks by name, and C{first}: the first line of the payload."""
        found = []
        for chunks, first in _TOLD.findall(self.kamailio.output):
            one = dict(word.split("=", 1) for word in chunks.split(" "))
            found.append({**one, "first": first.strip()})
        return found

    def kept(self) -> bytes:
        """What sngrep has written."""
        return self._packets.read_bytes() if self._packets.exists() else b""

    async def stop(self) -> None:
        await self.kamailio.stop()
        await self.sngrep.stop()
