"""linphonec: a phone of another family than baresip, driven by the commands that a user would type."""

from __future__ import annotations

import os
import random
import shutil
import socket
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from demo.programs import Program
from tests.integration.sound import heard_tones, latest_tone, write_tone
from voipcluster.address import Hop, join_host_port
from voipcluster.phone.tone import RATE

HOST = "127.0.0.1"


class Linphone:
    """
    One running linphonec with one account; it plays a tone and records what it hears.

    @param hz: the tone that it sends, also to whom it holds.
    @param late_offer: whether it calls without a description, and answers the offer of the other one.
    @param rate: of the codec that they will agree on, and so of its recording: two of them take Opus, 48 kHz.
    """

    def __init__(
        self,
        reactor: Any,
        user: str,
        domain: str,
        password: str,
        proxy: Hop,
        hz: int,
        *,
        late_offer: bool = False,
        rate: int = RATE,
    ) -> None:
        self._rate = rate
        self._folder = Path(tempfile.mkdtemp(prefix="linphone-"))
        self._recording = self._folder / "heard.wav"
        tone = write_tone(self._folder / "tone.wav", hz, 60)
        port = _free_port()
        where = f"sip:{join_host_port(proxy.host, proxy.port)};transport={proxy.transport.lower()}"
        settings = {
            # without a TCP port it opens no UDP port either
            "sip": {
                "sip_port": port,
                "sip_tcp_port": port,
                "sip_tls_port": 0,
                "default_proxy": 0,
                "sdp_200_ack": int(late_offer),
                "use_ipv6": 0,
            },
            "rtp": {"audio_rtp_port": port + 2, "audio_adaptive_jitt_comp_enabled": 0},
            "proxy_0": {
                "reg_proxy": f"<{where}>",
                "reg_route": f"<{where};lr>",
                "reg_identity": f"sip:{user}@{domain}",
                "reg_expires": 600,
                "reg_sendregister": 1,
            },
            "auth_info_0": {"username": user, "userid": user, "passwd": password, "realm": domain},
            "audio_codec_0": {"mime": "PCMU", "rate": 8000, "enabled": 1},
        }
        config = self._folder / "linphonerc"
        config.touch(0o600)
        sections = (
            "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in keys.items())])
            for name, keys in settings.items()
        )
        config.write_text("\n".join(sections) + "\n")
        self._commands = self._folder / "commands"
        os.mkfifo(self._commands)
        # opened for both, the pipe has no end before the program has, and keeps what is written before it begins
        self._pipe = os.open(self._commands, os.O_RDWR | os.O_NONBLOCK)
        script = f'exec linphonec -c "{config}" <>"{self._commands}"'
        # without a place for its database it never begins
        (self._folder / ".local/share/linphone").mkdir(parents=True)
        home = {
            "HOME": str(self._folder),
            "XDG_CONFIG_HOME": str(self._folder),
        }
        self.program = Program.start(reactor, f"linphonec {user}", ["sh", "-c", script], environment=home)
        for command in ("soundcard use files", f"play {tone}", f"record {self._recording}"):
            self._type(command)

    def _type(self, command: str) -> None:
        os.write(self._pipe, f"{command}\n".encode())

    def dial(self, uri: str) -> Deferred[Any]:
        """Call; fires when the call is established."""
        start = len(self.program.output)
        self._type(f"call {uri}")
        return self.program.saw("Call [0-9]+ with .* connected|Media streams established", start=start)

    async def answer(self) -> None:
        """Take the call that comes."""
        await self.program.saw("Receiving new incoming call")
        self._type("answer")

    def hold(self) -> Deferred[Any]:
        """Fires when the other one knows."""
        start = len(self.program.output)
        self._type("pause")
        return self.program.saw("Call [0-9]+ with .* is now paused", start=start)

    def resume(self) -> Deferred[Any]:
        """Fires when it has what the other one answered."""
        start = len(self.program.output)
        self._type("resume")
        return self.program.saw("Media streams established", start=start)

    def hang_up(self) -> Deferred[Any]:
        """Fires when it says that the call is over."""
        start = len(self.program.output)
        self._type("terminate")
        return self.program.saw("Call [0-9]+ with .* ended", start=start)

    async def stop(self) -> None:
        await self.program.stop(3.0)
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        shutil.rmtree(self._folder, ignore_errors=True)

    def hears(self) -> int | None:
        """The tone that it has heard last, as far as its recording is written."""
        return latest_tone(self._recording, self._rate) if self._recording.exists() else None

    def heard_so_far(self) -> int:
        """Octets of what it has heard; it records nothing while nothing comes."""
        return self._recording.stat().st_size if self._recording.exists() else 0

    def heard(self) -> list[int | None]:
        """The tones that it has recorded in a call that is over, one each half second; none before its file is whole."""
        try:
            return heard_tones(self._recording)
        except EOFError:
            return []


# never the same for two phones of one run: one that was given to a phone may not be open yet
_PORTS = cycle(random.sample(range(12000, 14000, 10), 200))


def _free_port() -> int:
    """The first of five in a row, which nobody has."""
    for port in islice(_PORTS, 200):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
        ):
            try:
                datagrams.bind((HOST, port))
                stream.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port for linphonec")
