"""Classes of requests, and the bucket that keeps room for the better ones."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.admission import SHALLOWEST, Priority, PriorityBucket


def admitted(bucket: PriorityBucket, priority: Priority, count: int, now: float = 0.0) -> int:
    return sum(bucket.admits(priority, now) for _ in range(count))


class PriorityBucketTests(SynchronousTestCase):
    def test_lesser_classes_end_first(self) -> None:
        """Of what may come at once the lesser class gets the least (RFC 7339 section 5.10.1)."""
        room = {priority: admitted(PriorityBucket(10.0), priority, 100) for priority in Priority}
        self.assertEqual(room[Priority.CALL], SHALLOWEST)
        kept_out = [room[priority] for priority in sorted(Priority)]
        self.assertEqual(kept_out, sorted(kept_out, reverse=True))
        self.assertEqual(len(set(kept_out)), len(Priority))

    def test_a_storm_of_registers_leaves_room_for_calls(self) -> None:
        bucket = PriorityBucket(100.0)
        calls = registers = 0
        for step in range(1000):
            registers += admitted(bucket, Priority.REGISTER, 5, step / 100)
            if not step % 2:
                calls += bucket.admits(Priority.CALL, step / 100)
        self.assertEqual(calls, 500)
        self.assertTrue(480 <= registers <= 520, registers)

    def test_emergencies_are_let_in(self) -> None:
        """And their tokens are missing to others afterwards."""
        bucket = PriorityBucket(10.0)
        self.assertEqual(admitted(bucket, Priority.EMERGENCY, 1000), 1000)
        self.assertFalse(bucket.admits(Priority.CALL, 1.0))
        self.assertTrue(bucket.admits(Priority.CALL, 2.5))

    def test_the_rate(self) -> None:
        bucket = PriorityBucket(50.0)
        admitted(bucket, Priority.CALL, 100)
        self.assertEqual(sum(admitted(bucket, Priority.CALL, 3, step / 10) for step in range(1, 101)), 300)
        self.assertEqual(
            sum(admitted(bucket, Priority.CALL, 9, 10 + step / 10) for step in range(1, 101)), 505
        )

    def test_room(self) -> None:
        """How many calls would be let in, without letting any in; others may leave a debt."""
        bucket = PriorityBucket(10.0)
        self.assertEqual(bucket.room(0.0), SHALLOWEST)
        self.assertEqual(admitted(bucket, Priority.CALL, 7), 7)
        self.assertEqual(bucket.room(0.0), SHALLOWEST - 7)
        admitted(bucket, Priority.EMERGENCY, 100)
        self.assertLess(bucket.room(0.0), 0.0)
        self.assertEqual(PriorityBucket(math.inf).room(0.0), math.inf)

    def test_without_a_limit(self) -> None:
        self.assertEqual(admitted(PriorityBucket(math.inf), Priority.OTHER, 10_000), 10_000)

    def test_a_clock_that_was_put_back(self) -> None:
        bucket = PriorityBucket(10.0)
        self.assertTrue(bucket.admits(Priority.CALL, 1000.0))
        self.assertTrue(bucket.admits(Priority.CALL, 10.0))
