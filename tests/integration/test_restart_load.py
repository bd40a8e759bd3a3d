"""A node and a gateway that are killed and started again under load: every call has its record, once, and the counters agree."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from demo.cluster import Node
from tests.integration.claims import ClaimTestCase
from tests.integration.harness import listens
from tests.integration.passed_over import again_if_passed_over
from tests.integration.run_kamailio import REALM, Kamailio
from tests.integration.run_sipp import Sipp, credentials

USER, PASSWORD = "voip", "sesame-of-the-trunk"
NUMBER = "0891234567"
HELD = 6


class LoadCase(ClaimTestCase):
    """
    @ivar offered: calls that were begun.
    """

    def setUp(self) -> None:
        super().setUp()
        self.offered = 0

    def load(self, callee: str, count: int, node: Node, last: int, rate: float = 10.0) -> Sipp:
        """Short calls of one user without audio."""
        self.offered += count
        row = ("load", credentials("load", self.passwords["load"]), callee, "9")
        return self.sipp("call", self.address(last), node.hop(), rows=[row], calls=count, rate=rate, hold=0.2)

    async def hold_calls(self, callee: str, node: Node, last: int) -> Sipp:
        """Calls with audio that go on until they are hung up."""
        self.offered += HELD
        return await self.offer(
            [f"held{last}-{number}" for number in range(HELD)], node, callee=callee, last=last
        )

    async def records(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(await self.primary.voipctl("records", "--json"))
        return rows

    async def all_recorded(self, answered: int) -> list[dict[str, Any]]:
        """Return the records once each call that was answered has one; none has two."""

        async def enough() -> bool:
            return sum(row["sip_code"] == "200" for row in await self.records()) >= answered

        await self.until(enough, f"{answered} answered calls are recorded", 40.0)
        rows = await self.records()
        self.assertEqual(sum(row["sip_code"] == "200" for row in rows), answered)
        # a call that one node could not put through may have come to another one, and is in the records of both then
        for one in (
            [row["callid"] for row in rows if row["sip_code"] == "200"],
            [(row["callid"], row["node"]) for row in rows],
        ):
            self.assertEqual([key for key, count in Counter(one).items() if count > 1], [])
        self.assertEqual(len({row["uid"] for row in rows}), len(rows))
        self.assertLessEqual(len({row["callid"] for row in rows}), self.offered)
        return rows

    async def nothing_new_at(self, node: Node, by: Node) -> None:
        """
        Return when a busy node has not given this one a call for half a second: what a node has answered is on its disk within
        a quarter of one, and what it answers in the last of them before kill -9 has no record (docs/records.md).
        """
        taken, since = -1.0, 0.0

        async def long_ago() -> bool:
            nonlocal taken, since
            now = await self.metric(by, "handed_over_total", node=node.name)
            if now != taken:
                taken, since = now, self.reactor.seconds()
            return self.reactor.seconds() - since > 0.5

        await self.until(long_ago, f"{by.name} has given {node.name} nothing for a while")

    async def nothing_is_left(self) -> None:
        """
        No call, no channel and no record that is not on the disk, and no second record of any call.

        A call that had ended within a quarter of a second before kill -9 is there again until the media time-out (docs/calls.md).
        """
        recorded = len(await self.records())

        async def none() -> bool:
            return not await self.calls()

        await self.until(none, "no call is left")
        for node in self.cluster.nodes:
            await self.until(
                lambda node=node: self._written(node),
                f"{node.name} has written its records and forgotten its calls",
            )
        self.assertEqual(len(await self.records()), recorded)

    async def _written(self, node: Node) -> bool:
        left = [
            await self.metric(node, name) for name in ("call_records_unwritten", "calls", "media_streams")
        ]
        return not any(left)


class NodeTests(LoadCase):
    @again_if_passed_over
    async def test_killed_and_back(self) -> None:
        """
        kill -9 of one node of two while calls come at both: calls that are up go on and end with a BYE, those that had begun find
        the other node, and each call has one record.
        """
        await self.start_cluster("--set", "media.timeout=5", "--set", "media.quarantine=1", nodes="ab")
        a, b = self.cluster.nodes
        await self.add_users("to", "load")
        callee = self.phone("to", a, host=self.address(101), tone=700, capacity=300)
        await callee.register()
        await self.reachable("to")
        held = [await self.hold_calls("to", node, last) for node, last in ((a, 110), (b, 111))]
        rows = await self.calls_up(2 * HELD)
        await self.placed({row["node"] for row in rows}, {"a", "b"}, [row["call_id"] for row in rows])
        load = self.load("to", 80, a, 112, rate=15)
        await self.until(lambda: load.successful >= 10, "load is under way")
        await self.nothing_new_at(b, a)
        await self.kill(b)
        await self.cluster.restart(b)
        await self.cluster.all_see_all()
        again = self.load("to", 20, b, 113, rate=15)
        for one in (load, again):
            await one.finished(60)
        streams = [stream for one in held for stream in one.streams.values()]
        heard = [stream.packets_received + 25 for stream in streams]
        await self.until(
            lambda: all(stream.packets_received >= most for stream, most in zip(streams, heard, strict=True)),
            "audio goes on in every call",
        )
        for one in held:
            one.hang_up()
            await one.finished(30)
        found = await self.all_recorded(self.offered)
        self.assertEqual(len(found), self.offered)
        await self.nothing_is_left()
        # the node that was not killed has counted what is in its records
        self.assertEqual(
            await self.metric(a, "call_records_total", result="ended"),
            sum(row["node"] == "a" for row in found),
        )
        self.assertEqual(
            [await self.metric(node, "call_records_total", result="lost") for node in (a, b)], [0, 0]
        )


class GatewayTests(LoadCase):
    async def trunk(self) -> Kamailio:
        host, caller, callee = (self.address(last) for last in (60, 62, 61))
        made = Kamailio(self.reactor, self.folder, host, USER, PASSWORD, caller=caller, callee=callee)
        self._programs.extend(made.programs)
        self.at_end(made.stop)
        await self.until(lambda: listens(host, 5060), "Kamailio listens")
        return made

    def configuration(self) -> tuple[str, str]:
        secret, file = self.folder / "trunk.secret", self.folder / "cluster.toml"
        secret.write_text(f"{PASSWORD}\n")
        os.chmod(secret, 0o600)
        file.write_text(
            f"""
[[gateway]]
name = "carrier"
kind = "pstn"
servers = ["{self.address(60)}"]
auth_user = "{USER}"
secret = "{secret}"
realm = "{REALM}"
probe = 1.0

[numbers]
country = "49"

[[route]]
prefix = "+"
gateway = "carrier"
"""
        )
        return "--config", str(file)

    async def test_killed_and_back(self) -> None:
        """
        A carrier's proxy dies with calls up and others on their way, and is back: the calls that are up go on and end with a BYE
        through it; every call has one record with the cause that its caller got, and no channel stays taken.
        """
        trunk = await self.trunk()
        behind = self.sipp("uas", self.address(61), options=("-rtp_echo", "-mp", "6000"))
        await self.until(lambda: listens(behind.host, 5060), "sipp listens")
        await self.start_cluster(*self.configuration(), "--set", "media.quarantine=1", nodes="ab")
        a, b = self.cluster.nodes
        await self.add_users("load")
        held = await self.hold_calls(NUMBER, a, 110)
        await self.calls_up(HELD)
        load = [self.load(NUMBER, 40, node, last) for node, last in ((a, 112), (b, 113))]
        await self.until(lambda: all(one.successful >= 5 for one in load), "load is under way")
        trunk.kill()
        await self.until(lambda: trunk.program.status is not None, "it is dead")
        await self.until(lambda: self.is_down(a), "the node sees that it is down")
        await self.heard(held, packets=25)
        trunk.start()
        self._programs.append(trunk.program)
        for one in load:
            await one.program.ended(90)
        for node in (a, b):
            await self.until(
                lambda node=node: self.is_free(node, HELD), f"it is up again for {node.name}, with its calls"
            )
        again = self.load(NUMBER, 10, b, 114)
        await again.finished(60)
        load.append(again)
        held.hang_up()
        await held.finished(30)
        # what is refused because nobody can take the number comes to no node, and into no record
        found = await self.all_recorded(HELD + sum(len(one.up) for one in load))
        await self.nothing_is_left()
        await self.until(lambda: self.is_free(a, 0), "no channel is taken")
        (row,) = await a.ask("gateways")
        self.assertEqual(row["answers"], sum(one["sip_code"] == "200" for one in found))
        self.assertLessEqual(sum(one.successful for one in load), row["answers"] - HELD)

    async def is_down(self, node: Node) -> bool:
        (row,) = await node.ask("gateways")
        return bool(row["state"] == "down")

    async def is_free(self, node: Node, taken: int) -> bool:
        (row,) = await node.ask("gateways")
        return bool(row["state"] == "up" and row["channels"] == taken)
