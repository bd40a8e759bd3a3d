"""Claims 1 and 15: several proxies carry voice, share workload, and the workload decides which one a call goes through."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from tests.integration.claims import ClaimTestCase, by_node
from tests.integration.passed_over import again_if_passed_over

CALLS, REAL = 54, 2  # all, and those of them between phones of baresip
LIMIT = 20


class Claims1And15(ClaimTestCase):
    @again_if_passed_over
    async def test_c1_c15_54_calls_held_at_once(self) -> None:
        """
        C1/C15: 54 calls held at once, all offered to one node, limits.calls=20 on each of three: all 54 up, no node above its
        limit, every call has audio both ways, spread within 20 % of even.
        """
        await self.start_cluster("--set", f"limits.calls={LIMIT}")
        users = [f"{side}{n}" for side in ("caller", "callee") for n in range(REAL)]
        await self.add_users(*users)
        phones = await gatherResults(
            [
                Deferred.fromCoroutine(self.baresip(user, hz=400 + 200 * n, answer=n >= REAL))
                for n, user in enumerate(users)
            ],
            consumeErrors=True,
        )
        await self.start_callee()
        await gatherResults([phones[n].dial(f"sip:{users[REAL + n]}@example.com") for n in range(REAL)])
        callers = [f"from{n}" for n in range(CALLS - REAL)]
        # a tone each: a call that got the audio of another one would be found
        tones = [200 + 50 * n for n in range(len(callers))]
        sipp = await self.offer(callers, rate=20, tone=tones)
        calls = await self.calls_up(CALLS)
        await self.heard(sipp)

        calls = await self.calls()
        self.assertEqual(len(calls), CALLS)
        self.assertEqual({call["ingress"] for call in calls}, {"a"})
        self.assertEqual({call["audio"] for call in calls}, {"both"})
        served = by_node(calls)
        self.assertLessEqual(max(served.values()), LIMIT)
        even = CALLS / 3
        uneven = {name: served.get(name, 0) for name in "abc" if abs(served.get(name, 0) - even) > 0.2 * even}
        await self.placed(uneven, {}, [call["call_id"] for call in calls], limit=LIMIT)
        self.assertEqual(sipp.failed, 0)

        sipp.hang_up()
        await sipp.finished()
        for n in range(REAL):
            await phones[n].hang_up()
        await self.calls_up(0)
        for n, phone in enumerate(phones):
            self.assertIn(400 + 200 * ((n + REAL) % (2 * REAL)), await phone.heard(), phone.user)
