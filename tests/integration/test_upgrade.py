"""A cluster brought to another release node by node, under load, with two releases side by side; and the way back."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from typing import Any

from demo.cluster import CHECKOUT, Node
from demo.programs import ProgramFailed
from tests.integration.claims import CALLEES, CALLERS, ClaimTestCase, user_of
from tests.integration.releases import AFTER_HEAD, EARLIER, LATER, release
from tests.integration.run_sipp import Sipp, credentials
from voipcluster import __version__
from voipcluster.phone.media import AudioStream
from voipcluster.store.migrations import HEAD

LONG = 8  # calls that are up at each node while it is asked to stop


class UpgradeCase(ClaimTestCase):
    """
    @ivar offered: calls that were begun; C{held}: those that go on until they are hung up, by their caller.
    """

    def setUp(self) -> None:
        super().setUp()
        self.offered = 0
        self.held: dict[str, tuple[Sipp, AudioStream]] = {}
        self._hosts = CALLERS

    async def have_callee(self, node: Node) -> None:
        """
        One phone that answers all. (sipp would not do: it answers whoever sent the INVITE, not whoever sent the request, and so
        the BYE of a call whose first node is gone gets no answer.)
        """
        await self.add_users("to", "load")
        phone = self.phone("to", node, host=self.address(CALLEES), tone=700, capacity=400)
        await phone.register()
        await self.reachable("to")

    def next_host(self) -> str:
        self._hosts += 1
        return self.address(self._hosts)

    async def hold_calls(self, count: int, node: Node) -> None:
        """Begin calls with audio at a node that go on until they are hung up."""
        self._hosts += 1
        self.offered += count
        users = [f"held-{node.name}-{number}" for number in range(count)]
        made = await self.offer(users, node, last=self._hosts, rate=20)
        for user, stream in zip(users, made.streams.values(), strict=True):
            self.held[user] = made, stream

    async def hear(self, packets: int = 40) -> None:
        """Return once each call that is held got so many packets more; fails when many were lost."""
        before = {
            user: (stream.packets_sent, stream.packets_received) for user, (_, stream) in self.held.items()
        }

        def heard(user: str) -> bool:
            stream, (sent_before, received_before) = self.held[user][1], before[user]
            sent, received = stream.packets_sent - sent_before, stream.packets_received - received_before
            # some may be on their way still, on a machine that is busy
            return received >= max(packets, 0.8 * sent) and stream.heard_hz == 700

        await self.until(lambda: all(map(heard, before)), "every caller hears the callee")

    def hang_up(self, calls: Iterable[dict[str, Any]]) -> None:
        """Hang up these of the calls that are held."""
        for call in calls:
            user = user_of(call["from"])
            if user in self.held:
                made, stream = self.held.pop(user)
                made.hang_up(call["call_id"])
                stream.close()

    def load(self, count: int, node: Node, rate: float = 20.0) -> Sipp:
        """Short calls of one user, one after the other, without audio."""
        self.offered += count
        row = ("load", credentials("load", self.passwords["load"]), "to", "9")
        return self.sipp("call", self.next_host(), node.hop(), rows=[row], calls=count, rate=rate, hold=0.2)

    async def releases(self, node: Node) -> dict[str, str]:
        return {name: row["version"] for name, row in (await self.cluster.status(node)).items()}

    async def started(self, node: Node) -> float:
        return await self.metric(node, "calls_total")

    async def records(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(await self.primary.voipctl("records", "--json"))
        return rows

    async def all_recorded(self) -> None:
        """Each call that was begun has one record, and no other one has."""

        async def enough() -> bool:
            return len(await self.records()) >= self.offered

        await self.until(enough, f"{self.offered} calls are recorded")
        rows = await self.records()
        self.assertEqual(len(rows), self.offered)
        self.assertEqual(Counter(row["sip_code"] for row in rows), {"200": self.offered})
        self.assertEqual(len({row["uid"] for row in rows}), self.offered)


class NodeByNodeTests(UpgradeCase):
    async def test_under_load(self) -> None:
        """
        Three nodes of an earlier release: one after the other is drained, ends when its last call has, and starts again with this
        one. Calls come all the time, and go on at the others; none is refused, cut or without audio, and each has its record.
        """
        await self.start_cluster(nodes="abc", checkout=release(self.folder / "earlier", EARLIER))
        await self.have_callee(self.primary)
        self.assertEqual(set((await self.releases(self.primary)).values()), {"0.0.9"})
        for node in self.cluster.nodes:
            await self.hold_calls(LONG, node)
        await self.calls_up(3 * LONG)
        for name in "cba":  # the primary last
            await self.upgrade(self.node(name))
        self.assertEqual(await self.calls(), [])
        for node in self.cluster.nodes:
            self.assertEqual(set((await self.releases(node)).values()), {__version__})
            self.assertNotIn("other settings", node.log.read_text())
        await self.all_recorded()

    async def upgrade(self, node: Node) -> None:
        other = next(one for one in self.cluster.nodes if one is not node)
        load = self.load(60, other, rate=15)
        await node.voipctl("stop")
        for one in self.cluster.nodes:
            await self.cluster.when(lambda nodes: nodes[node.name]["state"] == "drain", "it drains", node=one)
        before = await self.started(node)
        await self.hear()
        self.assertEqual(await self.started(node), before, "no new call came to a node that drains")
        here = [call for call in await self.calls(other) if call["node"] == node.name]
        self.assertTrue(here)
        assert node.program is not None
        self.assertIsNone(node.program.status, "it runs while it has calls")
        self.hang_up(here)
        await self.left(node)
        await self.hear()
        node.checkout = CHECKOUT
        await self.cluster.restart(node)
        await self.cluster.all_see_all()
        await load.finished(30)
        self.assertEqual((await self.releases(other))[node.name], __version__)
        # calls come to it again, from nodes of both releases
        again = self.load(20, node)
        await again.finished(30)
        await self.until(lambda: self.started(node), f"{node.name} takes calls again")


class LaterReleaseTests(UpgradeCase):
    async def test_there_and_back(self) -> None:
        """
        A node of a later release, which says and stores more, works with those of this one; when it goes back it says what it
        cannot read, and is a node of this release again with the copy that the upgrade has left.
        """
        later = release(self.folder / "later", LATER)
        await self.start_cluster(nodes="ab")
        a, b = self.cluster.nodes
        await self.stop(b)
        b.checkout = later
        await self.cluster.restart(b)
        await self.cluster.all_see_all()
        await self.have_callee(b)  # registered at the later one
        self.assertEqual(await self.releases(a), {"a": __version__, "b": "0.2.0"})
        self.assertIn(f"voipcluster {__version__} at a; 0.2.0 at b", await a.voipctl("status"))
        for node in (a, b):
            await self.hold_calls(4, node)
        for node in (a, b):
            await self.load(20, node).finished(30)
        rows = await self.calls_up(8)
        await self.hear()
        self.assertEqual({call["node"] for call in rows}, {"a", "b"})
        self.assertIn("message 'forecast' is not known to voipcluster", b.log.read_text())
        await self.cluster.when(lambda nodes: nodes["b"]["report_age"] < 3, "a hears of b")
        self.hang_up(rows)
        await self.all_recorded()

        await self.stop(b)
        b.checkout = CHECKOUT
        database = b.state_dir / "voipcluster.db"
        copy = database.with_name(f"voipcluster.db.{HEAD}")
        with self.assertRaises(ProgramFailed) as refused:
            await self.cluster.restart(b)
        self.forgive(b)
        self.assertIn(f"schema {AFTER_HEAD}, this one knows up to {HEAD}", str(refused.exception))
        self.assertIn(f"{copy} is the one from before the upgrade", str(refused.exception))
        for path in b.state_dir.glob("voipcluster.db-*"):
            path.unlink()
        shutil.move(copy, database)
        await self.cluster.restart(b)
        await self.cluster.all_see_all()
        self.assertEqual(await self.releases(a), dict.fromkeys("ab", __version__))
        await self.load(5, b).finished(30)

        # one that speaks only later versions of the link is not let in, and the line says what to do
        edits = {**LATER, "balance/protocol.py": (("OLDEST, NEWEST = 1, 1", "OLDEST, NEWEST = 2, 3"),)}
        self.cluster.checkout = release(self.folder / "much-later", edits)
        with self.assertRaises(ProgramFailed) as refused:
            await self.cluster.join("c", self.address(3))
        self.assertIn("voipcluster 0.2.0 speaks versions 2 to 3 of the cluster link", str(refused.exception))
        self.assertIn("upgrade over a release that speaks both", str(refused.exception))
        self.forgive(self.node("c"))

    def forgive(self, node: Node) -> None:
        """It has ended by itself, and was to."""
        assert node.program is not None
        self._killed.add(node.program)

    async def stop(self, node: Node) -> None:
        await node.voipctl("stop")
        await self.left(node)
