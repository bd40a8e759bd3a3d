"""What the tests of all four machines do with one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.machine import CancelTimer
from voipcluster.sip.message import Response
from voipcluster.sip.transaction.events import Respond, ResponseReceived, SendResponse


class MachineCase(SynchronousTestCase):
    """@ivar machine: made by the test's C{setUp}."""

    machine: Any

    def assertEqual(self, first: Any, second: Any, msg: object = None) -> Any:
        """Events and effects are tuples, so two of different kinds with the same content are equal: their kinds count here."""
        if isinstance(first, list) and isinstance(second, list):
            super().assertEqual([type(one) for one in first], [type(one) for one in second], msg)
        return super().assertEqual(first, second, msg)

    def play(self, *events: object) -> list[Any]:
        """Feed events, and give the effects of the last one."""
        effects: list[Any] = []
        for event in events:
            effects = self.machine.feed(event)
        return effects

    def assertState(self, state: object) -> None:
        self.assertIs(self.machine.state, state)

    def assertSendsIsFeed(
        self,
        server: Callable[[], Any],
        ways: Iterable[tuple[Sequence[object], Respond]],
        timers: Callable[[Respond], list[object]],
    ) -> None:
        """
        C{sends} is the frequent arrows of C{feed} and nothing else: the same state behind it, or nothing done.

        @param ways: what comes before, and the response.
        @param timers: the effects behind the sending that it stands for.
        """
        taken = 0
        for before, respond in ways:
            long, short = server(), server()
            for event in before:
                self.assertEqual(long.feed(event), short.feed(event))
            untouched = evolve(short)
            if not short.sends(respond.status, respond.wire):
                self.assertEqual(short, untouched)
                continue
            taken += 1
            self.assertEqual(long.feed(respond), [SendResponse(respond.wire), *timers(respond)])
            self.assertEqual(long, short)
        self.assertGreater(taken, 0, "no arrow is a frequent one")

    def assertPassesIsFeed(
        self,
        client: Callable[[], Any],
        ways: Iterable[tuple[Sequence[object], Response]],
        effects: Callable[[Response], list[object]],
    ) -> None:
        """
        The same of C{passes}, for a response to a request that was sent.

        @param ways: what comes before, and the response.
        @param effects: those that it stands for, but for the timers that are stopped.
        """
        taken = 0
        for before, heard in ways:
            long, short = client(), client()
            for machine in (long, short):
                machine.start()
                for event in before:
                    machine.feed(event)
            untouched = evolve(short)
            if not short.passes(heard.status):
                self.assertEqual(short, untouched)
                continue
            taken += 1
            fed = [e for e in long.feed(ResponseReceived(heard)) if not isinstance(e, CancelTimer)]
            self.assertEqual(fed, effects(heard))
            self.assertEqual(long, short)
        self.assertGreater(taken, 0, "no arrow is a frequent one")
