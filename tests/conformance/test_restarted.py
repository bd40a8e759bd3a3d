"""A call whose node was killed and started again is held, resumed and moved by re-INVITE, and ends by BYE."""

from __future__ import annotations

import os
import signal

from tests.conformance.flow_case import FlowTestCase, Talk
from tests.conformance.rtp import direction_of, media_of
from tests.network import refused
from voipcluster.store.calls import NAME, CallStore


class RestartedTests(FlowTestCase):
    options = ("--set", "media.relay=userspace")
    share = "killed"

    def is_written(self, talk: Talk) -> bool:
        """Whether the journal has the call, with both sides latched."""
        tables = CallStore(self.node.state_dir / NAME).load().calls
        for key, table in tables.items():
            if key[0] == talk.caller.call_id:
                latches = table["latches"]["0"]["plain"]
                return all(latches[f"{side} 0"]["state"] == "firm" for side in ("caller", "callee"))
        return False

    async def kill_and_start(self) -> None:
        former = self.node.program
        os.kill(former.pid, signal.SIGKILL)
        await self.until(lambda: former.status is not None, "the node is killed")
        self.node.launch("primary", *self.node_options)
        await self.node.ready()

    async def offered(self, talk: Talk, version: int, offered: str, answered: str) -> None:
        """A re-INVITE of the caller; the relay's ports are those of before."""
        request, response = await self.passes(
            talk.caller,
            talk.callee,
            "INVITE",
            body=talk.spoken.sdp(offered, version=version),
            answer=talk.answered.sdp(answered, version=version),
        )
        self.assertEqual((direction_of(request.body), direction_of(response.body)), (offered, answered))
        self.assertEqual(
            (media_of(request.body), media_of(response.body)), (talk.for_callee, talk.for_caller)
        )

    async def test_reinvites_behind_a_kill(self) -> None:
        """Hold, resume, a phone that moves to another port, and a BYE with 200, all at the process that came later."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(alice, bob)
        await self.until(lambda: self.is_written(talk), "the call is in the journal")
        await self.kill_and_start()
        [row] = await self.node.ask("calls", call_id=talk.caller.call_id)
        self.assertEqual(row["state"], "up")
        await self.both_hear(talk)
        await self.offered(talk, 2, "sendonly", "recvonly")
        await talk.spoken.reaches(talk.for_caller, talk.answered)
        await self.offered(talk, 3, "inactive", "inactive")
        await self.offered(talk, 4, "sendrecv", "sendrecv")
        await self.both_hear(talk)
        moved = talk._replace(spoken=self.media(alice))
        await self.offered(moved, 5, "sendrecv", "sendrecv")
        await self.both_hear(moved)
        heard = len(talk.spoken.heard)
        await self.both_hear(moved)
        self.assertEqual(len(talk.spoken.heard), heard, "the port that was left hears nothing")
        await self.hangs_up(moved.callee, moved.caller)

        async def over() -> bool:
            return not await self.node.ask("calls", call_id=None)

        await self.until(over, "the call is over")


class KernelRestartedTests(RestartedTests):
    skip = refused() or None
    options = ("--set", "media.relay=kernel")
