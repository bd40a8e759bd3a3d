"""
A call that may be tried at several places, with a note of each: who was tried, since when, and what came of it.

One that has a single place to go to is a plain L{Forwarding}, and costs nothing more: its record says all that there is to say.
"""

from __future__ import annotations

from typing import Any

from voipcluster.machine import TimerFired
from voipcluster.services.sip.calls import MAX_TRIED, Call, Tried
from voipcluster.services.sip.forwarding import REQUEST_TERMINATED, Forwarding
from voipcluster.sip.message import Response
from voipcluster.sip.proxy.events import BranchFailed, BranchTimedOut, BranchUnusable, Event, Target
from voipcluster.sip.resolution import Server

CALLER, CALLEE, NODE = "caller", "callee", "node"  # who has ended an attempt, or a call


class RecordedForwarding(Forwarding):
    """@param call: gets the notes."""

    __slots__ = ("_begun", "_call", "_gave_up", "_rings", "_silent")

    def __init__(self, call: Call, *of_forwarding: Any, **more: Any) -> None:
        super().__init__(*of_forwarding, **more)
        self._call = call
        self._begun: dict[int, Tried] = {}
        self._gave_up: set[int] = set()  # branches that were cancelled since the caller did not wait
        self._silent: set[int] = set()  # branches that were given up without a word
        self._rings = False  # whether one of these is waited for again, and the others were stopped
        call.reached = ""

    def cancel(self) -> None:
        self._gave_up.update(self._begun)
        super().cancel()

    def response_received(self, branch: int, response: Response) -> None:
        status = response.status
        if status == REQUEST_TERMINATED and branch not in self._gave_up:
            self._over(branch, status, self._why_stopped(), NODE)
        elif status >= 200:
            if (
                status >= 600
                and branch in self._silent
                and self._context is not None
                and not self._context.ended
            ):
                self._is_heard(
                    branch
                )  # who was silent says no for all the others (RFC 3261 section 16.7 step 5)
            self._over(branch, status, "", CALLER if status == REQUEST_TERMINATED else CALLEE)
        super().response_received(branch, response)
        if self._silent:
            self._take_back()

    def _why_stopped(self) -> str:
        if any(200 <= one.status < 300 for one in self._begun.values()):
            return "answered elsewhere"
        if any(one.status >= 600 for one in self._begun.values()):
            return "declined elsewhere"
        return "rang elsewhere" if self._rings else "rang too long"

    def _take_back(self) -> None:
        """Who was silent, and is waited for after all, has its outcome still to come."""
        context = self._context
        if context is None or context.ended:
            return
        for branch in [number for number in self._silent if not context.is_given_up(number)]:
            self._rings = True
            self._is_heard(branch)

    def _is_heard(self, branch: int) -> None:
        """What was noted when it was given up is not its outcome."""
        self._silent.discard(branch)
        one = self._begun.get(branch)
        if one is not None:
            one.ended, one.status, one.cause, one.by = 0.0, 0, "", ""

    def _start(self, number: int, target: Target, server: Server | None = None) -> None:
        if number not in self._begun and len(self._call.tried) < MAX_TRIED:
            one = self._begun[number] = Tried(target.uri, target.gateway, self._core.wall())
            self._call.tried = (*self._call.tried, one)
        super()._start(number, target, server)

    def _feed(self, event: Event) -> None:
        match event:
            case BranchTimedOut(branch):
                self._over(branch, 408, "no answer", NODE)
            case BranchFailed(branch, error):
                self._over(branch, 503, f"not sent: {error}", NODE)
            case BranchUnusable(branch, status):
                self._over(branch, status, "its answer cannot be relayed", NODE)
            case TimerFired(name) if name.startswith("answer:"):
                # the next place is tried now; should this one ring or have the call all the same, that counts
                branch = int(name.partition(":")[2])
                self._over(branch, 408, "no answer", NODE)
                self._silent.add(branch)
        super()._feed(event)
        if self._silent:
            self._take_back()

    def _over(self, branch: int, status: int, cause: str, by: str) -> None:
        one = self._begun.get(branch)
        answered = 200 <= status < 300
        if one is None or (one.status and (200 <= one.status < 300 or not answered)):
            return
        one.ended, one.status, one.cause, one.by = self._core.wall(), status, cause, by
