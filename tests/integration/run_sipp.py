"""sipp: scenarios in F{tests/integration/sipp}, users by CSV, its figures, and audio that it leaves to us."""

from __future__ import annotations

import csv
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall

from demo.programs import Program, ProgramFailed
from voipcluster.address import Hop, join_host_port
from voipcluster.phone.media import AudioClock, AudioStream

SCENARIOS = Path(__file__).parent / "sipp"
_MEDIA = re.compile(r"^media (\d+) (\S+) (\d+)$", re.MULTILINE)
_REDIRECTED = re.compile(r"^redirected (\d+) (\S+) (\d+)$", re.MULTILINE)
_UP = re.compile(r"^up (\S+) (To: .*)$", re.MULTILINE)
_HELD = '<recv request="MESSAGE"/>'


def credentials(user: str, password: str) -> str:
    """What sipp puts in place of a CSV field to answer a challenge."""
    return f"[authentication username={user} password={password}]"


class Sipp:
    """
    One running sipp.

    @param scenario: name of a file in F{tests/integration/sipp} without its suffix, or a path.
    @param target: whom it calls, L{None} for a callee; C{host} and C{port}: its own address.
    @param rows: one a call: the fields of the scenario's CSV; taken in turn.
    @param hold: seconds of the scenario's C{<pause/>}; L{None}: a call goes on until L{hang_up}, over UDP.
    @ivar streams: for calling scenarios: the callers' audio by media port, with what came back; C{tones} in Hz.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        scenario: str | Path,
        host: str,
        target: Hop | None = None,
        *,
        domain: str = "example.com",
        port: int = 5060,
        transport: str = "UDP",
        rows: Sequence[Sequence[str]] = (),
        calls: int | None = None,
        rate: float = 10.0,
        hold: float | None = 1.0,
        limit: float = 120.0,
        options: Sequence[str] = (),
    ) -> None:
        path = scenario if isinstance(scenario, Path) else SCENARIOS / f"{scenario}.xml"
        self._reactor = reactor
        self._files = folder / f"sipp-{path.stem}-{host}-{port}"
        self.host, self.port = host, port
        if hold is None:
            held = Path(self._name("xml"))
            held.write_text(path.read_text().replace("<pause/>", _HELD))
            path = held
        self.streams: dict[int, AudioStream] = {}
        self.tones: dict[int, int] = {}
        self._log_read = 0
        self._audio = AudioClock(reactor)
        self._aiming = LoopingCall(self._aim)
        self._hanging_up = LoopingCall(self.hang_up)
        self._told: set[str] = set()  # Call-IDs of those that were to end
        mode = {"UDP": "u1", "TCP": "t1"}[transport]
        count = calls if calls is not None else len(rows)
        words = ["sipp", *([join_host_port(target.host, target.port)] if target else [])]
        words += ["-sf", str(path), "-i", host, "-mi", host, "-p", str(port), "-t", mode, "-nostdin"]
        words += ["-key", "domain", domain, "-d", str(round(1000 * (hold or 0))), "-r", str(rate)]
        words += [
            "-timeout",
            f"{limit:.0f}s",
            "-timeout_error",
            "-fd",
            "1",
            "-trace_stat",
            "-stf",
            self._name("stat"),
        ]
        words += [
            "-trace_err",
            "-error_file",
            self._name("errors"),
            "-trace_logs",
            "-log_file",
            self._name("log"),
        ]
        words += ["-trace_msg", "-message_file", self._name("messages")]
        if count:
            words += ["-m", str(count)]
        if rows:
            Path(self._name("csv")).write_text("SEQUENTIAL\n" + "".join(";".join(row) + "\n" for row in rows))
            words += ["-inf", self._name("csv")]
        self.program = Program.start(
            reactor,
            f"sipp {Path(scenario).stem}",
            [*words, *options],
            environment={"TERM": "dumb", "LC_ALL": "C"},
        )

    def _name(self, kind: str) -> str:
        return f"{self._files}.{kind}"

    def play(self, streams: dict[int, AudioStream]) -> None:
        """Take over the callers' audio: each stream is aimed as soon as the answer to its call says where to."""
        self.streams = streams
        self._aiming.start(0.05)

    def _aim(self) -> None:
        for port, host, theirs in _MEDIA.findall(self._new_log_lines()):
            self.streams[int(port)].aim((host, int(theirs)))

    def _new_log_lines(self) -> str:
        log = Path(self._name("log"))
        text = log.read_text(errors="replace") if log.exists() else ""
        whole = text[self._log_read : text.rfind("\n") + 1]
        self._log_read += len(whole)
        return whole

    @property
    def up(self) -> dict[str, str]:
        """The To header line of each call that was established, by Call-ID."""
        return dict(_UP.findall(self._text("log")))

    def hang_up(self, *call_ids: str) -> None:
        """
        End these of the calls that are held; when none is named all of them, also one whose answer sipp has not read yet: for
        the node it is up already.
        """
        if not call_ids and not self._hanging_up.running:
            self._hanging_up.start(0.5, now=False)
        up = self.up
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for call_id in [one for one in call_ids or up if one not in self._told]:
                self._told.add(call_id)
                # a message of that dialog is what the scenario waits for; what it sends next copies To from it
                lines = ["MESSAGE sip:sipp SIP/2.0", f"Via: SIP/2.0/UDP {self.host};branch=z9hG4bK{call_id}"]
                lines += ["From: <sip:test>;tag=t", up[call_id], f"Call-ID: {call_id}", "CSeq: 9 MESSAGE"]
                out.sendto(
                    "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(), (self.host, self.port)
                )

    @property
    def media(self) -> dict[int, tuple[str, int]]:
        """Where the far end of each call takes audio, by the caller's media port."""
        return {int(port): (host, int(theirs)) for port, host, theirs in _MEDIA.findall(self._text("log"))}

    @property
    def redirected_to(self) -> list[tuple[str, int]]:
        """The addresses in the Contacts of the 302s, in their order."""
        return [(host, int(port)) for _, host, port in _REDIRECTED.findall(self._text("log"))]

    @property
    def messages(self) -> str:
        """All that it sent and received, as it writes it down."""
        return self._text("messages")

    @property
    def errors(self) -> str:
        """What it complains about."""
        return self._text("errors")

    def _text(self, kind: str) -> str:
        path = Path(self._name(kind))
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def figures(self) -> dict[str, str]:
        """The last line of its statistics: C{SuccessfulCall(C)}, C{FailedCall(C)}, C{CurrentCall} ... ((C): cumulative)."""
        rows = list(csv.DictReader(self._text("stat").splitlines(), delimiter=";"))
        return {key: value for key, value in rows[-1].items() if key} if rows else {}

    def figure(self, name: str) -> int:
        return int(self.figures.get(name) or 0)

    @property
    def successful(self) -> int:
        return self.figure("SuccessfulCall(C)")

    @property
    def failed(self) -> int:
        return self.figure("FailedCall(C)")

    async def finished(self, seconds: float = 120.0) -> None:
        """
        Return when all calls are done.

        @raise ProgramFailed: one failed; the text has what sipp says of it.
        """
        status = await self.program.ended(seconds)
        if status:
            raise ProgramFailed(
                f"{self.program.name}: status {status}, {self.successful} calls good, {self.failed} failed\n"
                f"{self.errors[-3000:]}\n{self.program.output[-1000:] if not self.errors else ''}"
            )

    async def stop(self) -> None:
        for repeated in (self._aiming, self._hanging_up):
            if repeated.running:
                repeated.stop()
        for stream in self.streams.values():
            stream.close()
        if self.program.status is None:
            self.program.send_signal("KILL")  # asked politely it waits for its calls to end
            await self.program.ended()
