"""What a node keeps of hundreds of calls that ended in every way: nothing (the ten thousands are C{bench.endings})."""

from __future__ import annotations

from tests.integration.harness import IntegrationTestCase


class EndingTests(IntegrationTestCase):
    async def test_nothing_is_left(self) -> None:
        """
        BYE, CANCEL, refusals of callee and node, forks, redirection, lost BYE, 200 and ACK, silence, and sides that are gone: no
        call, transaction, timer, media port or descriptor more than before.
        """
        load = self.python("-m", "bench.endings", "--calls", "150", "--mixed")
        status = await load.ended(150)
        self.assertEqual(status, 0, load.output[-3000:])
        self.assertRegex(load.output, r"15 endings, 150 calls of each +2250 calls .* nothing is left\n")
        self.assertRegex(
            load.output, r"gone without a word \(media time-out\) +150 calls .* nothing is left\n"
        )
