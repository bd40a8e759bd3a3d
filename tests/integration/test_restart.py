"""Calls that go on while the process of their node is killed, stopped and started again."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet.defer import gatherResults

from tests.integration.harness import ClusterTestCase
from tests.integration.heard import Heard
from tests.integration.played_manager import PlayedManager
from tests.network import refused
from voipcluster.phone import Phone, PhoneCall
from voipcluster.phone.media import PACKET_TIME
from voipcluster.store.calls import NAME, CallStore

CALLS = 40


class RestartCase(ClusterTestCase):
    """
    @ivar alice: C{bob}: phones with many calls with each other; C{callers} those calls at alice, C{callees} at bob.
    """

    alice: Phone
    bob: Phone

    async def start_calls(self, count: int, *options: str, relay: str = "userspace") -> None:
        await self.start_cluster(
            "--set", f"media.relay={relay}", "--set", "media.quarantine=1", *options, nodes="a"
        )
        await self.add_users("alice", "bob")
        self.alice = self.phone("alice", host=self.address(100), capacity=count, tone=600)
        self.bob = self.phone("bob", host=self.address(101), capacity=count, tone=900)
        self.callees: list[PhoneCall] = []
        self.bob.incoming = self.callees.append
        await self.register(self.alice, self.bob)
        self.ports_free = await self.metric("voipcluster_media_ports_free")
        self.callers: list[PhoneCall] = []
        while len(self.callers) < count:
            batch = min(10, count - len(self.callers))
            calls = [self.alice.call("bob@example.com") for _ in range(batch)]
            self.callers += await gatherResults(calls, consumeErrors=True)
        await self.audio_goes_on()
        await self.until(self.is_written, "all calls are in the journal, with their latches")

    @property
    def both(self) -> list[PhoneCall]:
        return [*self.callers, *self.callees]

    async def audio_goes_on(self, packets: int = 25) -> None:
        wanted = {call: call.packets_received + packets for call in self.both}
        await self.until(
            lambda: all(call.packets_received >= most for call, most in wanted.items()),
            "all hear each other",
            30.0,
        )
        self.assertEqual([call.reason for call in self.both if call.over], [])

    async def listen(self) -> list[Heard]:
        """Keep the sequence numbers that all hear from now on."""
        heard = [Heard(call) for call in self.both]
        await self.until(lambda: all(one.numbers for one in heard), "all hear something")
        return heard

    @property
    def journal(self) -> Path:
        return self.primary.state_dir / NAME

    def is_written(self) -> bool:
        tables = CallStore(self.journal).load().calls
        firm = [
            latches[f"{side} 0"]["state"] == "firm"
            for table in tables.values()
            for latches in [table["latches"]["0"]["plain"]]
            for side in ("caller", "callee")
        ]
        return len(firm) == 2 * len(self.callers) and all(firm)

    async def rows(self) -> dict[str, dict[str, Any]]:
        return {row["call_id"]: row for row in await self.primary.voipctl_json("calls")}

    async def metric(self, name: str) -> float:
        for line in (await self.primary.ask("metrics")).splitlines():
            if line.startswith((f"{name} ", f"{name}{{")):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no metric {name}")

    async def hang_up_all(self) -> None:
        """Each call is ended by one of its phones, and the far one answers 200."""
        await gatherResults(
            [
                (caller if number % 2 else self.far(caller)).hang_up()
                for number, caller in enumerate(self.callers)
            ]
        )
        statuses = [(caller if n % 2 else self.far(caller)).status for n, caller in enumerate(self.callers)]
        self.assertEqual(statuses, [200] * len(self.callers))
        await self.until(lambda: all(call.over for call in self.both), "both ends know")

    def far(self, caller: PhoneCall) -> PhoneCall:
        return next(call for call in self.callees if call.call_id == caller.call_id)

    async def nothing_is_left(self) -> None:
        self.assertEqual(await self.rows(), {})
        await self.until(lambda: CallStore(self.journal).load().calls == {}, "the journal is empty")

        async def free() -> bool:
            return await self.metric("voipcluster_media_ports_free") == self.ports_free

        await self.until(free, "all ports are free")


class StopTests(RestartCase):
    async def test_sockets_are_kept(self) -> None:
        """
        At an orderly restart the service manager keeps the sockets: each packet that comes while no process is there arrives, and
        so does a BYE; then the manager forgets them.
        """
        manager = PlayedManager(f"@{self.network} of {os.getpid()}")
        self.addCleanup(manager.close)
        self.patch(os, "environ", {**os.environ, "NOTIFY_SOCKET": manager.path})
        await self.start_calls(4)
        node = self.primary
        self.assertEqual((await self.cluster.status())["a"]["media"]["restart"], "waits")
        node.manager = manager
        heard = await self.listen()
        ways = {call: call.remote_media for call in self.both}
        for call in self.both:
            call.stream.aim(None)
        await self.stop_under(manager)
        self.assertIn("4 calls are left to the next process: sockets are kept", node.log.read_text())
        counts = [len(one.numbers) for one in heard]
        for call, remote in ways.items():
            call.stream.remote = remote
            for _ in range(50):
                call.stream.send_frame()
        leaving = self.callers[0].hang_up()
        await self.cluster.restart(node)
        await leaving
        self.assertEqual(self.callers[0].status, 200)
        await self.until(
            lambda: all(len(one.numbers) == before + 50 for one, before in zip(heard, counts, strict=True)),
            "all 50 packets have come",
        )
        self.assertEqual([one.missing for one in heard], [[]] * 8)
        self.callers.pop(0)
        self.assertEqual((await self.rows()).keys(), {call.call_id for call in self.callers})
        while manager.read():
            pass
        self.assertEqual(manager.kept, {})
        for call, remote in ways.items():
            if not call.over:
                call.stream.aim(remote)
        self.callees = [call for call in self.callees if not call.over]
        await self.audio_goes_on()
        await self.hang_up_all()
        await self.nothing_is_left()

    async def test_what_does_not_go_on(self) -> None:
        """
        A port that another program has taken, a damaged record, phones that have gone without a word: each costs its own call and
        is told, and the others go on; a journal of a later version is set aside, and the node starts.
        """
        await self.start_calls(4, "--set", "media.timeout=5")
        node = self.primary
        taken, damaged, silent, good = self.callers
        port = taken.remote_media
        assert port is not None
        await self.kill(node)
        squatter = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(squatter.close)
        squatter.bind(port)
        octets = self.journal.read_bytes()
        self.journal.write_bytes(octets.replace(damaged.call_id.encode(), b"!" * len(damaged.call_id)))
        for call in (silent, self.far(silent)):
            call.stream.aim(None)
        await self.cluster.restart(node)
        rows = await self.rows()
        self.assertEqual(rows.keys(), {silent.call_id, good.call_id})
        log = node.log.read_text()
        self.assertIn("damaged; ", log)
        self.assertIn(
            f"call {taken.call_id} of the last process does not go on: its media ports cannot be opened again: "
            "Address already in use",
            log,
        )
        self.assertTrue(self.journal.with_name(f"{NAME}.set-aside").exists())

        async def timed_out() -> bool:
            return (await self.rows()).keys() == {good.call_id}

        await self.until(timed_out, "the silent call is over")
        self.assertIn(f"no media any more in call {silent.call_id}", node.log.read_text())
        await self.until(
            lambda: (
                CallStore(self.journal).load().calls.keys() == {(good.call_id, good.call.dialog.local_tag)}
            ),
            "one call is in the journal",
        )

        await self.kill(node)
        octets = self.journal.read_bytes()
        self.journal.write_bytes(octets.replace(b"calls 1\n", b"calls 2\n", 1))
        await self.cluster.restart(node)
        self.assertEqual(await self.rows(), {})
        self.assertIn("format '2' is of another version of voipcluster", node.log.read_text())
        for call in (taken, damaged, good):  # their tokens lead them all the same
            await call.hang_up()
            self.assertEqual(call.status, 200)
        await self.nothing_is_left()

    async def stop_under(self, manager: PlayedManager) -> None:
        """SIGTERM, while the manager reads what the node says."""
        node = self.primary
        assert node.program is not None
        self._killed.add(node.program)
        node.program.send_signal("TERM")

        def ended() -> bool:
            while manager.read():
                pass
            assert node.program is not None
            return node.program.status is not None

        await self.until(ended, "the node has ended")


class KillTests(RestartCase):
    async def test_kill_9_in_user_space(self) -> None:
        """
        After kill -9 and a new start every call is shown again with its true beginning, is heard both ways, and is ended by a BYE
        that the far phone answers with 200; all ports come back.
        """
        await self.start_calls(CALLS)
        told = "a restart stops media at a: no service manager keeps the sockets"
        self.assertIn(told, await self.primary.voipctl("status"))
        before = await self.rows()
        heard = await self.listen()
        await self.kill(self.primary)
        await self.cluster.restart(self.primary)
        await self.audio_goes_on()
        after = await self.rows()
        self.assertEqual(after.keys(), {call.call_id for call in self.callers})
        for call_id, row in after.items():
            for name in ("from", "to", "client", "user", "state", "ingress", "audio"):
                self.assertEqual(row[name], before[call_id][name])
            self.assertGreater(row["duration"], before[call_id]["duration"])

        async def counted() -> bool:
            """What the journal knew of may be ten seconds old."""
            rows = await self.rows()
            return all(rows[call_id]["packets"] > row["packets"] for call_id, row in before.items())

        await self.until(counted, "the counters go on")
        self.assertTrue(all(one.missing for one in heard), "in user space the absence is heard")
        log = self.primary.log.read_text()
        self.assertIn(f"{CALLS} calls of the last process go on", log)
        self.assertNotIn("does not go on", log)
        await self.hang_up_all()
        await self.nothing_is_left()


class KernelTests(RestartCase):
    skip = refused() or None

    async def test_kill_9_with_calls_in_the_kernel(self) -> None:
        """
        kill -9 with 40 calls up: while no process is there they talk on, and at most 0.1 % of the packets are lost, in no gap of
        100 ms. The next process has every call again, with its counters, and each BYE is answered with 200.
        """
        await self.start_calls(CALLS, relay="kernel")
        await self.until(self.is_all_in_kernel, "nothing passes the process any more")
        self.assertEqual((await self.cluster.status())["a"]["media"]["restart"], "goes on")
        heard = await self.listen()
        before = await self.rows()
        await self.kill(self.primary)
        await self.audio_goes_on(100)
        await self.cluster.restart(self.primary)
        await self.audio_goes_on(50)
        after = await self.rows()
        missing = [gap for one in heard for gap in one.missing]
        packets = sum(len(one.numbers) for one in heard)
        self.assertLessEqual(sum(missing), packets / 1000, f"of {packets}")
        self.assertLess((max(missing, default=0) + 1) * PACKET_TIME, 0.1)
        self.assertEqual(after.keys(), {call.call_id for call in self.callers})
        for call_id, row in after.items():
            self.assertGreater(row["duration"], before[call_id]["duration"])
        self.assertEqual(await self.through_the_process(), 0)

        async def counted() -> bool:
            rows = await self.rows()
            return all(rows[call_id]["packets"] >= row["packets"] + 200 for call_id, row in before.items())

        await self.until(counted, "what the kernel relayed without a process is counted")
        await self.hang_up_all()
        await self.nothing_is_left()

    async def test_what_the_kernel_relays_for_nobody(self) -> None:
        """A call that is not in the journal is not relayed any more as soon as there is a process again."""
        await self.start_calls(2, relay="kernel")
        await self.until(self.is_all_in_kernel, "nothing passes the process any more")
        lost, good = self.callers
        await self.kill(self.primary)
        octets = self.journal.read_bytes()
        self.journal.write_bytes(octets.replace(lost.call_id.encode(), b"!" * len(lost.call_id)))
        await self.audio_goes_on(20)
        await self.cluster.restart(self.primary)

        async def is_silent() -> bool:
            count = lost.packets_received, self.far(lost).packets_received
            await self.tick(0.2)
            return count == (lost.packets_received, self.far(lost).packets_received)

        await self.until(is_silent, "nobody is heard in the call that is lost")
        self.assertEqual((await self.rows()).keys(), {good.call_id})
        heard = good.packets_received
        await self.until(lambda: good.packets_received > heard + 20, "the other call goes on")

    async def through_the_process(self) -> float:
        return await self.metric('voipcluster_media_packets_total{result="relayed"}')

    async def is_all_in_kernel(self) -> bool:
        before = await self.through_the_process()
        await self.tick(0.2)
        return await self.through_the_process() == before
