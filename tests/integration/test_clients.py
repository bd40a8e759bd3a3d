"""The harness itself: each kind of client calls through a small cluster, and what went wrong would be seen."""

from __future__ import annotations

from tests.integration.harness import IntegrationTestCase
from tests.integration.shared_cluster import SharedClusterTestCase


class ClientTests(SharedClusterTestCase):
    async def test_phone_calls_baresip(self) -> None:
        """Our phone and a real one hear each other's tone through two nodes, and a BYE ends it at both."""
        await self.start_cluster(nodes="ab")
        alices, bobs = self.own("alice"), self.own("bob")
        await self.add_users(alices, bobs)
        bob = await self.baresip(bobs, self.node("b"), hz=440, answer=True)
        alice = self.phone(alices, tone=1200)
        await alice.register()
        await self.reachable(bobs)
        call = await alice.call(f"{bobs}@example.com")
        await self.until(lambda: call.heard_hz == 440, "alice hears bob")
        await self.until(lambda: call.packets_received > 100, "bob's audio goes on")
        await call.hang_up()
        self.assertEqual(call.status, 200)
        await bob.program.saw("(?i)terminated|closed|BYE")
        self.assertIn(1200, await bob.heard())

    async def test_baresip_calls_phone(self) -> None:
        """The same the other way round, over TCP."""
        await self.start_cluster(nodes="ab")
        alices, bobs = self.own("alice"), self.own("bob")
        await self.add_users(alices, bobs)
        alice = self.phone(alices, self.node("b"), transport="TCP", tone=1200)
        await alice.register()
        bob = await self.baresip(bobs, transport="TCP", hz=440)
        await self.reachable(alices)
        await bob.dial(f"sip:{alices}@example.com")
        call = await self.until(lambda: next(iter(alice.calls.values()), None), "alice is called")
        await self.until(lambda: call.heard_hz == 440, "alice hears bob")
        await bob.hang_up()
        await call.when_ended()
        self.assertEqual(call.status, 200)
        self.assertIn(1200, await bob.heard())

    async def test_sipp_calls_sipp(self) -> None:
        """Sipp registers, authenticates and calls; each caller gets its own tone back from the echo."""
        await self.start_cluster(nodes="ab")
        callers, callees = [f"from{n}" for n in range(4)], [f"to{n}" for n in range(4)]
        await self.add_users(*callers, *callees)
        await self.sipp_callee(callees, self.address(101), calls=4)
        pairs = list(zip(callers, callees, strict=True))
        calling = self.sipp_caller(pairs, self.address(102), hold=3.0, tone=700)
        await self.until(lambda: calling.figure("CurrentCall") == 4, "all calls are up")
        await calling.finished()
        self.assertEqual((calling.successful, calling.failed), (4, 0))
        for stream in calling.streams.values():
            self.assertEqual(stream.heard_hz, 700)
            self.assertGreater(stream.packets_received, 0.8 * stream.packets_sent)


class EndTests(IntegrationTestCase):
    async def test_what_stays_behind_is_found(self) -> None:
        """A program whose child outlives it makes the test's end fail."""
        code = "import os, time; os.fork() or time.sleep(600); print('gone', flush=True)"
        program = self.python("-c", code)
        await program.saw("gone")
        await program.ended()
        with self.assertRaises(self.failureException):
            self._closing.clear()
            await IntegrationTestCase.tearDown(self)
        await program.stop()
        await IntegrationTestCase.tearDown(self)
