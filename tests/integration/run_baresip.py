"""baresip: a real phone with real audio, driven over its control socket."""

from __future__ import annotations

import json
import random
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.protocols.basic import NetstringReceiver

from demo.programs import Program
from tests.integration.sound import heard_tones, latest_tone, write_tone
from voipcluster.address import Hop, join_host_port

MODULES = Path("/usr/lib/baresip/modules")
TONE_SECONDS = 120  # the call ends with the audio file
CODECS = {"PCMU/8000/1": "g711", "G722/16000/1": "g722", "opus/48000/2": "opus"}  # module by codec
ENCRYPTIONS = {"": "", "srtp-mand": "srtp", "dtls_srtp": "dtls_srtp"}  # module by mediaenc
HOST = "127.0.0.1"  # its RTP leaves from there, whatever it is told: another address would not be the one it signals
_SLOTS = 250  # instances at once on one machine: ports in tens for SIP, in forties for RTP


class _Control(NetstringReceiver):
    """Sends commands; events and answers are of no interest, what baresip prints says the same."""

    def stringReceived(self, string: bytes) -> None:
        pass

    def command(self, name: str, params: str = "") -> None:
        self.sendString(json.dumps({"command": name, "params": params, "token": "t"}).encode("utf-8"))


class Baresip:
    """
    One running baresip with one account.

    @param hz: the tone that it sends.
    @param answer: whether it answers by itself.
    @param ca: the file with the CA of the proxy's certificate, for TLS.
    @param codec: of L{CODECS}; C{encryption}: of L{ENCRYPTIONS}.
    @param outbound: whether the proxy takes all that it sends; else its account is one of the proxy's address.
    @ivar address: 127.0.0.1 and the port that it takes SIP at.
    """

    def __init__(
        self,
        reactor: Any,
        user: str,
        domain: str,
        password: str,
        proxy: Hop,
        hz: int = 440,
        *,
        answer: bool = False,
        expires: int = 600,
        outbound: bool = True,
        ca: Path | None = None,
        codec: str = "PCMU/8000/1",
        encryption: str = "",
    ) -> None:
        self._reactor, self.user = reactor, user
        slot = _free_slot()
        self.address = HOST, 15000 + 10 * slot
        self._control_port = 15005 + 10 * slot
        # not in the test's folder: baresip cuts the names of its recordings at 128 characters
        self._folder = Path(tempfile.mkdtemp(prefix="baresip-"))
        transport = proxy.transport.lower()
        rate, channels = (int(number) for number in codec.split("/")[1:])
        tone = write_tone(self._folder / "tone.wav", hz, TONE_SECONDS, rate, channels)
        modules = [CODECS[codec], *([ENCRYPTIONS[encryption]] if encryption else [])]
        lines = [
            f"sip_listen {join_host_port(*self.address)}",
            f"net_interface {HOST}",
            f"audio_source aufile,{tone.absolute()}",
            "audio_player aubridge,nowhere",
            f"rtp_ports {20000 + 40 * slot}-{20038 + 40 * slot}",
            f"module_path {MODULES}",
            *(f"module {name}.so" for name in (*modules, "aufile", "aubridge", "sndfile")),
            *(f"module_tmp {name}.so" for name in ("uuid", "account")),
            *(f"module_app {name}.so" for name in ("menu", "ctrl_tcp")),
            f"ctrl_tcp_listen {HOST}:{self._control_port}",
            f"snd_path {self._folder.absolute()}",
        ]
        if ca is not None:
            lines.append(f"sip_cafile {ca}")
        where = join_host_port(proxy.host, proxy.port)
        account = f"<sip:{user}@{domain if outbound else where};transport={transport}>"
        account += f";auth_user={user};auth_pass={password};regint={expires};audio_codecs={codec}"
        account += f";mediaenc={encryption}" if encryption else ""
        account += f';outbound="sip:{where};transport={transport}"' if outbound else ""
        account += ";answermode=auto" if answer else ""
        (self._folder / "config").write_text("\n".join(lines) + "\n")
        secret = self._folder / "accounts"
        secret.touch(0o600)
        secret.write_text(account + "\n")
        (self._folder / "contacts").write_text("")
        self._control: _Control | None = None
        self._heard: list[int | None] = []
        self.program = Program.start(
            reactor, f"baresip {user}", ["baresip", "-4", "-v", "-f", str(self._folder.absolute())]
        )

    async def registered(self, seconds: float = 15.0) -> None:
        """
        Return once its REGISTER was answered with 200; its control socket is connected then, too.

        @raise ProgramFailed: not in time.
        """
        await self.program.saw(r"200 OK \(.*\)|: 200 OK", seconds)
        if self._control is None:
            endpoint = TCP4ClientEndpoint(self._reactor, HOST, self._control_port, timeout=30)
            self._control = await connectProtocol(endpoint, _Control())

    def dial(self, uri: str) -> Deferred[Any]:
        """Call; fires when the call is established."""
        assert self._control is not None, "registered() first"
        start = len(self.program.output)
        self._control.command("dial", uri)
        return self.program.saw("Call established", start=start)

    def answered(self, seconds: float = 15.0) -> Deferred[Any]:
        """Fires when a call (any so far) is established."""
        return self.program.saw("Call established", seconds)

    def hang_up(self) -> Deferred[Any]:
        """Fires when it says that the call is over."""
        assert self._control is not None, "registered() first"
        start = len(self.program.output)
        self._control.command("hangup")
        return self.program.saw("(?i)call (terminated|closed)|session closed|terminate call", start=start)

    def command(self, name: str) -> None:
        """What a user may type, such as C{hold}, C{resume} or C{reinvite}."""
        assert self._control is not None, "registered() first"
        self._control.command(name)

    def hears(self) -> int | None:
        """The tone that it has heard last, in Hz, as far as its recording is written."""
        recordings = self._recordings()
        return latest_tone(recordings[-1]) if recordings else None

    def heard_so_far(self) -> int:
        """Octets of what it has heard; it records nothing while nothing comes."""
        return sum(path.stat().st_size for path in self._recordings())

    def _recordings(self) -> list[Path]:
        """The oldest first."""
        return sorted(self._folder.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime)

    async def stop(self) -> None:
        if self._control is not None and self._control.transport is not None:
            self._control.transport.abortConnection()
            self._control = None
        await self.program.stop(3.0)
        for recording in sorted(self._folder.glob("dump-*-dec.wav")):
            self._heard += heard_tones(recording)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def heard(self) -> list[int | None]:
        """Stop it, and give the tones that it heard in its calls, one each half second."""
        await self.stop()
        return self._heard


_given: set[int] = set()


def _free_slot() -> int:
    """
    A slot whose port nobody has, tests of other processes look for theirs at the same time; nor anybody here will have, who was
    given it and is not so far yet.
    """
    for slot in random.sample(range(_SLOTS), _SLOTS):
        if slot in _given:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((HOST, 15000 + 10 * slot))
            except OSError:
                continue
        _given.add(slot)
        return slot
    raise AssertionError("no free port for baresip")
