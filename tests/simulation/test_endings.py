"""Thousands of calls that end in every way on virtual time: the node holds nothing of them behind the last timer."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.phones import Attempt, SimPhone
from tests.simulation.world import World
from voipcluster.phone.call import Call
from voipcluster.services.node.numbers import numbers

CALLS = int(os.environ.get("SIMULATION_CALLS", "1500"))
RATE = 15.0  # calls a second
PHONES = 30  # on each side
GONE = 45.0  # seconds for which a phone reaches nobody
SILENCE = 20.0  # media.timeout, in seconds: nobody says anything in a simulation
FORGOTTEN = 120.0  # seconds behind the last call: patience of a caller, 64*T1 and the media time-out in a row
COUNTS = (
    "voipcluster_calls", "voipcluster_media_streams", "voipcluster_media_ports_free", "voipcluster_timers",
)  # fmt: skip


class OddPhone(SimPhone):
    """A phone that does with a call what the test has planned for it."""

    plans: dict[str, Callable[[OddPhone, Call], object]]

    def _answer(self, call: Call) -> None:
        plan = self.plans.get(call.call_id)
        if plan is None:
            super()._answer(call)
        else:
            plan(self, call)

    def answer(self, call: Call) -> None:
        super()._answer(call)

    def reject(self, call: Call, status: int = 486) -> None:
        self._obey(self._agent.reject(call, status))

    def hang_up_in(self, seconds: float, call: Call) -> None:
        self._later(seconds, lambda: self._obey(self._agent.hang_up(call)))

    def is_gone(self, gone: bool = True, loss: float = 1.0) -> None:
        """From now on it reaches nobody, and nobody reaches it, or only part of what is sent."""
        node = self.world.nodes["a"].host
        for pair in (([self.host], [node]), ([node], [self.host])):
            self.world.network.change(*pair, loss=loss if gone else 0.0)
        if gone:
            self.world.at(GONE, self.is_gone, gone=False)


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(
            "a",
            seed=int(os.environ.get("SIMULATION_SEEDS", "1").partition("-")[0]),
            options={
                "media": {
                    "relay": "userspace",
                    "timeout": SILENCE,
                    "quarantine": 1.0,
                    "ports": (30000, 39999),
                },
                "limits": {"requests_per_address": 0.0, "unanswered_calls_per_address": 0},
            },
        )
        self.plans: dict[str, Callable[[OddPhone, Call], object]] = {}
        self.phones = [self.phone(f"phone{number}", number) for number in range(2 * PHONES)]
        for phone in self.phones[PHONES:]:
            phone.register()
            self.world.callees.append(phone)
            self.world.run(0.02)
        self.world.callers += self.phones[:PHONES]
        self.world.until(self.world.registered, "all phones are registered")
        self.world.empty()
        self.chance = Random(f"{self.world.seed}:endings")

    def phone(self, user: str, number: int) -> OddPhone:
        made = OddPhone(self.world, user, f"10.2.0.{number + 1}", self.world.nodes["a"].address, expires=3600)
        made.plans = self.plans
        return made

    def counts(self) -> dict[str, object]:
        found = numbers(self.world.nodes["a"].service)
        return {name: found[name] for name in COUNTS}

    # endings: each is told of the attempt and its two phones

    def bye(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        """The caller hangs up; L{World.call} sees to it."""

    def bye_of_callee(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        def plan(phone: OddPhone, call: Call) -> None:
            phone.answer(call)
            phone.hang_up_in(1.0, call)

        self.plans[attempt.call_id] = plan

    def cancel(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        # about when it is answered: before, behind, and at the same time
        self.world.at(self.chance.uniform(0.0, 0.4), caller.hang_up, attempt)

    def refusal(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        status = self.chance.choice((404, 480, 486, 500, 503, 600, 603))
        self.plans[attempt.call_id] = lambda phone, call: phone.reject(call, status)

    def no_answer(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        self.plans[attempt.call_id] = lambda phone, call: None

    def caller_gone(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        self.world.at(self.chance.uniform(0.0, 1.0), caller.is_gone)

    def callee_gone(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        self.world.at(self.chance.uniform(0.0, 1.0), callee.is_gone)

    def both_gone(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        self.world.at(1.0, caller.is_gone)
        self.world.at(1.0, callee.is_gone)

    def much_is_lost(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        for phone in (caller, callee):
            phone.is_gone(loss=self.chance.uniform(0.1, 0.6))

    def nobody(self, attempt: Attempt, caller: OddPhone, callee: OddPhone) -> None:
        """Called is a user whom nobody knows."""

    def begin(self) -> None:
        weights = {
            self.bye: 6, self.bye_of_callee: 6, self.cancel: 6, self.refusal: 6, self.nobody: 3, self.no_answer: 1,
            self.caller_gone: 1, self.callee_gone: 1, self.both_gone: 1, self.much_is_lost: 1,
        }  # fmt: skip
        (ending,) = self.chance.choices(list(weights), list(weights.values()))
        self.begun[ending.__name__] += 1
        caller, callee = self.chance.choice(self.phones[:PHONES]), self.chance.choice(self.phones[PHONES:])
        aor = "sip:nobody@example.com" if ending == self.nobody else callee.aor
        attempt = caller.call(aor, self.chance.expovariate(0.5))
        self.world.attempts.append(attempt)
        ending(attempt, caller, callee)

    def test_counts_return(self) -> None:
        """Calls, media sessions, ports and timers are where they were, every socket of the relay is closed, and no call waits."""
        base, self.begun = self.counts(), Counter[str]()
        at = 0.0
        for _ in range(CALLS):
            at += self.chance.expovariate(RATE)
            self.world.at(at, self.begin)
        self.world.run(at)
        self.assertGreater(numbers(self.world.nodes["a"].service)["voipcluster_calls"], 0)
        self.world.run(GONE + FORGOTTEN)
        self.world.empty(120.0)
        self.assertEqual(self.counts(), base, self.begun)
        node = self.world.nodes["a"]
        self.assertEqual(node.media.open_numbers(), [])
        self.assertEqual(sum(node.service.calls.unanswered.values()), 0)
        self.assertEqual(sum(node.service.media._shares.held.values()), 0)
        self.world.check()
        self.assertEqual(len(self.begun), 10, self.begun)
        ended = node.service.calls.ended
        self.assertGreater(ended["media time-out"], CALLS // 100, ended)
        for reason in ("bye", "failed 487", "failed 486", "failed 408"):
            self.assertGreater(ended[reason], 0, ended)
