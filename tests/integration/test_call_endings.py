"""Every way in which a call ends: it is over at the node, and its media ports are free again."""

from __future__ import annotations

import subprocess
from typing import ClassVar

from twisted.internet.defer import Deferred

from demo.cluster import Node
from tests.integration.claims import DOMAIN
from tests.integration.shared_cluster import SharedClusterTestCase
from tests.network import refused
from voipcluster.phone import CallFailed, Phone, PhoneCall

# no quarantine: a port is free when it is given back; 64*T1, after which an unanswered request is given up, is 3.2 s
OPTIONS = ("--set", "media.quarantine=0", "--set", "sip.t1=0.05")


class EndingTestCase(SharedClusterTestCase):
    """@cvar path: who relays."""

    path: ClassVar[str] = "userspace"

    async def start(self, *options: str, nodes: str = "a") -> tuple[Phone, Phone]:
        """A cluster, and alice and bob who are registered."""
        await self.start_cluster(*OPTIONS, "--set", f"media.relay={self.path}", *options, nodes=nodes)
        self.all_ports = {
            node.name: await self.metric(node, "media_ports_free") for node in self.cluster.nodes
        }
        self.assertGreater(self.all_ports["a"], 0)
        self.in_kernel = await self.relayed_in_kernel()
        users = [self.own(name) for name in ("alice", "bob", "carol")]
        await self.add_users(*users)
        alice = self.phone(users[0], capacity=9)
        bob = self.phone(users[1], host=self.address(101), answer_after=None, capacity=2)
        await self.register(alice, bob)
        await self.reachable(*users[:2])
        return alice, bob

    async def relayed_in_kernel(self) -> float:
        """Packets, at all nodes."""
        counts = [
            await self.metric(node, "media_packets_total", result="relayed in kernel")
            for node in self.cluster.nodes
        ]
        return sum(counts)

    def uri(self, name: str) -> str:
        """What one dials to reach C{own(name)}."""
        return f"{self.own(name)}@{DOMAIN}"

    async def taken(self, node: Node | None = None) -> None:
        """Return once a node holds a call and ports."""
        node = node or self.primary

        async def some() -> bool:
            return await self.metric(node, "media_ports_free") < self.all_ports[node.name]

        await self.until(some, "the call has ports")
        self.assertEqual(await self.metric(node, "calls"), 1)

    async def all_free(self, seconds: float = 10.0) -> None:
        """Return once no node holds a call or a port."""
        for node in self.cluster.nodes:

            async def none(node: Node = node) -> bool:
                return (
                    await self.metric(node, "media_ports_free") == self.all_ports[node.name]
                    and await self.metric(node, "media_streams") == 0
                    and await self.metric(node, "calls") == 0
                )

            await self.until(none, f"{node.name} has given everything back", seconds)
        if self.path == "kernel":
            left = subprocess.run(
                ["nft", "list", "ruleset"], capture_output=True, text=True, check=True
            ).stdout
            self.assertIn("map stream4", left)
            self.assertNotIn("elements", left)

    async def ringing(self, caller: Phone, callee: Phone) -> tuple[Deferred[PhoneCall], PhoneCall, PhoneCall]:
        """A call that rings: what fires when it is up, and its two ends."""
        calling = caller.call(f"{callee.aor.removeprefix('sip:')}")
        (here,) = caller.calls.values()
        there = await self.until(lambda: next(iter(callee.calls.values()), None), "the callee is called")
        await self.until(lambda: here.ringing, "the caller hears it ring")
        return calling, here, there

    async def up(self, caller: Phone, callee: Phone) -> tuple[PhoneCall, PhoneCall]:
        """A call with audio both ways: its two ends."""
        calling, here, there = await self.ringing(caller, callee)
        callee.accept(there)
        await calling
        await self.until(lambda: here.packets_received > 5 < there.packets_received, "audio goes both ways")
        if self.path == "kernel":
            before = self.in_kernel

            async def relayed() -> bool:
                self.in_kernel = await self.relayed_in_kernel()
                return self.in_kernel > before

            await self.until(relayed, "the kernel relays it")
        return here, there

    def deaf(self, phone: Phone) -> None:
        """From now on the phone hears no SIP."""
        phone.bytes_received = lambda data, flow: None


class CallEndings(EndingTestCase):
    async def test_bye(self) -> None:
        """A BYE of the caller, then one of the callee (RFC 3261 section 15)."""
        alice, bob = await self.start()
        for side in (0, 1):
            ends = await self.up(alice, bob)
            await self.taken()
            await ends[side].hang_up()
            await ends[1 - side].when_ended()
            self.assertEqual([end.status for end in ends], [200, 200])
            await self.all_free()

    async def test_before_an_answer(self) -> None:
        """CANCEL, 486, 603, 480 and 404: a call that never came up keeps nothing (sections 9, 16.7)."""
        alice, bob = await self.start()
        calling, here, there = await self.ringing(alice, bob)
        await self.taken()
        await here.hang_up()
        await self.assertFailure(calling, CallFailed)
        await there.when_ended()
        self.assertEqual((here.status, there.status), (487, 487))
        await self.all_free()
        for status in (486, 603):
            calling, here, there = await self.ringing(alice, bob)
            await self.taken()
            bob.reject(there, status)
            failed = await self.assertFailure(calling, CallFailed)
            self.assertEqual(failed.status, status)
            await self.all_free()
        for name, status in (("carol", 480), ("nobody", 404)):
            failed = await self.assertFailure(alice.call(self.uri(name)), CallFailed)
            self.assertEqual(failed.status, status)
            await self.all_free()

    async def test_a_callee_that_does_not_answer(self) -> None:
        """No answer to the INVITE for 64*T1 is 408 (section 17.1.1.2), a closed port ends it at once (section 18.4)."""
        alice, bob = await self.start()
        self.deaf(bob)
        failed = await self.assertFailure(alice.call(self.uri("bob")), CallFailed)
        self.assertEqual(failed.status, 408)
        await self.all_free()
        await bob.stop()
        failed = await self.assertFailure(alice.call(self.uri("bob")), CallFailed)
        self.assertIn(failed.status, (480, 503))
        await self.all_free()

    async def test_lost_bye(self) -> None:
        """A BYE that the other side never answers ends the call all the same (section 15.1.1)."""
        alice, bob = await self.start()
        here, _ = await self.up(alice, bob)
        await self.taken()
        self.deaf(bob)
        here.hang_up()
        await self.all_free()

    async def test_caller_crashes(self) -> None:
        """The caller is gone without a word, its machine with it: the callee's BYE ends the call, although nobody answers it."""
        alice, bob = await self.start()
        here, there = await self.up(alice, bob)
        await self.taken()
        here.stream.close()
        self.deaf(alice)
        there.hang_up()
        await self.all_free()

    async def test_lost_connections(self) -> None:
        """A phone on TCP whose connection broke: the BYE of the other one ends the call."""
        alice, _ = await self.start()
        carol = self.phone(self.own("carol"), host=self.address(102), transport="TCP", answer_after=None)
        await carol.register()
        here, there = await self.up(alice, carol)
        await self.taken()
        await carol.stop()
        self.assertTrue(there.over)
        await here.hang_up()
        await self.all_free()

    async def test_handed_over(self) -> None:
        """The node that serves a call for another one gives everything back, too; the other one never took anything."""
        alice, bob = await self.start(
            *("--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "a"]'), nodes="ab"
        )
        b = self.node("b")
        here, there = await self.up(alice, bob)
        await self.taken(b)
        self.assertEqual(await self.metric(self.primary, "media_ports_free"), self.all_ports["a"])
        await there.hang_up()
        await here.when_ended()
        await self.all_free()
        calling, here, there = await self.ringing(alice, bob)
        await self.taken(b)
        await here.hang_up()
        await self.assertFailure(calling, CallFailed)
        await self.all_free()
        calling, _, there = await self.ringing(alice, bob)
        bob.reject(there, 486)
        failed = await self.assertFailure(calling, CallFailed)
        self.assertEqual(failed.status, 486)
        await self.all_free()


class MediaTimeout(EndingTestCase):
    async def test_silence_ends_a_call(self) -> None:
        """Both phones lose their power, and nobody sends a BYE: the call is given up after media.timeout, not before."""
        alice, bob = await self.start("--set", "media.timeout=2")
        here, there = await self.up(alice, bob)
        await self.taken()
        for end in (here, there):
            end.stream.close()
        silent = self.reactor.seconds()
        await alice.stop()
        await bob.stop()
        await self.taken()
        await self.all_free()
        self.assertGreater(self.reactor.seconds() - silent, 1.9)
        self.assertIn("no media any more in call", self.primary.log.read_text())
        (record,) = await self.primary.ask("calls", call_id=here.call_id)
        self.assertEqual((record["state"], record["reason"]), ("ended", "media time-out"))

    async def test_one_voice_keeps_a_call(self) -> None:
        """A call in which only one side speaks goes on; a BYE behind a time-out still reaches the other phone."""
        alice, bob = await self.start("--set", "media.timeout=2")
        here, there = await self.up(alice, bob)
        here.stream.close()
        calls, sent = [], there.packets_sent

        async def sample() -> bool:
            calls.append(await self.metric(self.primary, "calls"))
            return there.packets_sent > sent + 175

        await self.until(sample, "bob speaks for 3.5 s")
        self.assertEqual(set(calls), {1.0})
        there.stream.close()
        await self.all_free()
        self.assertFalse(here.over or there.over)
        await here.hang_up()
        await there.when_ended()
        self.assertEqual((here.status, there.status), (200, 200))


class KernelCallEndings(CallEndings):
    """The same with media that the kernel relays: it relays nothing any more, either."""

    path = "kernel"
    skip = refused() or None


class KernelMediaTimeout(MediaTimeout):
    path = "kernel"
    skip = refused() or None
