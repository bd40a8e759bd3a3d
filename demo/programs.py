"""Child programs: their output line by line, their end, and the certainty that none stays."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

LAST_LINES = 15  # of its output, in an error
_LAST_WORDS = 1.0  # seconds for the output of a program that has ended


class ProgramFailed(Exception):
    """A program ended, or did not say in time what was waited for; the text has the end of its output."""


class Program(ProcessProtocol):
    """
    One child program in a session of its own; it is killed when this process dies, however it dies.

    @ivar output: all that it wrote on standard output and standard error, in the order of arrival.
    @ivar standard_output: only the former.
    @ivar status: its exit status, negative for a signal, or L{None} while it runs.
    @ivar ended_at: when that was, in seconds since the machine was started.
    """

    def __init__(self, reactor: Any, name: str, log: Path | None = None) -> None:
        self._reactor = reactor
        self.name = name
        self.output = ""
        self.standard_output = ""
        self.status: int | None = None
        self.ended_at = 0.0
        self.pid = 0
        self._closing: Any = None
        self._log: BinaryIO | None = log.open("ab") if log else None
        self._searches: list[tuple[re.Pattern[str], int, Deferred[re.Match[str]]]] = []
        self._waiting: list[Deferred[int]] = []

    @classmethod
    def start(
        cls,
        reactor: Any,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdin: str = "",
        log: Path | None = None,
        descriptors: Sequence[int] = (),
        terminal: bool = False,
    ) -> Program:
        """
        Start C{command}; its first word is looked up in C{PATH}.

        @param environment: added to that of this process; C{stdin}: written to it, then closed.
        @param descriptors: of ours, which it gets as 3, 4, 5 ...
        @param terminal: run it at a terminal of its own, where C{type} answers what it asks; all that it writes is C{output}.
        """
        program = cls(reactor, name, log)
        whole = [*tied_to_us(session=not terminal), *command]  # who is at a terminal has a session already
        executable = shutil.which(whole[0])
        if executable is None:
            raise ProgramFailed(f"{name}: there is no program {whole[0]!r}")
        transport = reactor.spawnProcess(
            program,
            executable,
            whole,
            env={**os.environ, **(environment or {})},
            path=None if folder is None else str(folder),
            usePTY=terminal,
            childFDs=None if terminal else {0: "w", 1: "r", 2: "r"} | dict(enumerate(descriptors, 3)),
        )
        program.pid = transport.pid or 0  # one that a signal met at once is gone already
        if terminal:
            return program
        if stdin:
            transport.write(stdin.encode("utf-8"))
        transport.closeStdin()
        return program

    # ProcessProtocol

    def outReceived(self, data: bytes) -> None:
        self.standard_output += data.decode("utf-8", "replace")
        self._received(data)

    def errReceived(self, data: bytes) -> None:
        self._received(data)

    def _received(self, data: bytes) -> None:
        if self._log is not None:
            self._log.write(data)
            self._log.flush()
        self.output += data.decode("utf-8", "replace")
        for search in list(self._searches):
            pattern, start, found = search
            match = pattern.search(self.output, start)
            if match is not None:
                self._searches.remove(search)
                found.callback(match)

    def processExited(self, reason: Failure) -> None:
        # a child of its own that stayed behind may hold its output open for ever
        self._closing = self._reactor.callLater(_LAST_WORDS, self._close_pipes)

    def _close_pipes(self) -> None:
        self._closing = None
        if self.transport is not None:
            self.transport.loseConnection()

    def processEnded(self, reason: Failure) -> None:
        self.ended_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        match reason.value:
            case ProcessDone():
                self.status = 0
            case ProcessTerminated(exitCode=code, signal=number):
                self.status = code if number is None else -number
        if self._log is not None:
            self._log.close()
            self._log = None
        searches, self._searches = self._searches, []
        for pattern, _, found in searches:
            found.errback(
                ProgramFailed(f"{self.name} ended with {self.status}: {self._end()}" + _not(pattern))
            )
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(self.status or 0)

    # what one waits for

    def saw(self, pattern: str, seconds: float = 40.0, start: int = 0) -> Deferred[re.Match[str]]:
        """
        Fires with the match once the output holds the regular expression (multi-line mode).

        @param start: characters of the output to pass over, such as C{len(program.output)} of an earlier moment.
        """
        compiled = re.compile(pattern, re.MULTILINE)
        match = compiled.search(self.output, start)
        if match is not None:
            return succeed(match)
        found: Deferred[re.Match[str]] = Deferred()
        if self.status is not None:
            found.errback(
                ProgramFailed(f"{self.name} ended with {self.status}: {self._end()}" + _not(compiled))
            )
            return found
        search = compiled, start, found
        self._searches.append(search)

        def too_late(result: Any, timeout: float) -> Any:
            if search in self._searches:
                self._searches.remove(search)
            raise ProgramFailed(f"{self.name}: not within {timeout} s: {pattern!r}; it said: {self._end()}")

        return found.addTimeout(seconds, self._reactor, onTimeoutCancel=too_late)

    def ended(self, seconds: float = 60.0) -> Deferred[int]:
        """Fires with its exit status."""
        if self.status is not None:
            return succeed(self.status)
        waiting: Deferred[int] = Deferred()
        self._waiting.append(waiting)

        def too_late(result: Any, timeout: float) -> Any:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise ProgramFailed(f"{self.name}: still running after {timeout} s; it said: {self._end()}")

        return waiting.addTimeout(seconds, self._reactor, onTimeoutCancel=too_late)

    def _end(self) -> str:
        return "\n".join(self.output.splitlines()[-LAST_LINES:])

    # how one ends it

    def type(self, text: str) -> None:
        """Type at its terminal; a line ends with C{\\n}, and C{\\x03} is Ctrl-C."""
        assert self.transport is not None, "it was started"
        self.transport.write(text.encode("utf-8"))

    def send_signal(self, name: str) -> None:
        """@param name: such as C{"TERM"}; harmless when the program has ended."""
        if self.status is None and self.pid:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.Signals[f"SIG{name}"])

    async def stop(self, seconds: float = 20.0) -> int:
        """Ask it to end, then kill it and all of its session; gives its exit status."""
        self.send_signal("TERM")
        try:
            return await self.ended(seconds)
        except ProgramFailed:
            self.send_signal("KILL")
            return await self.ended()
        finally:
            with suppress(ProcessLookupError):
                if self.pid:
                    os.killpg(self.pid, signal.SIGKILL)  # a grandchild that stayed behind


def _not(pattern: re.Pattern[str]) -> str:
    return f"\nwaited for {pattern.pattern!r}"


def tied_to_us(session: bool = True) -> list[str]:
    """The words in front of a command that give it a session of its own, and the kernel's promise to end it with us."""
    return [
        *(["setsid"] if session and shutil.which("setsid") else []),
        *(["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []),
    ]
