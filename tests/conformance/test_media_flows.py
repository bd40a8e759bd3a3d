"""The call flows of RFC 5359 in which media moves: hold, consultation, music on hold (sections 2.1 to 2.3)."""

from __future__ import annotations

from tests.conformance.case import Dialog
from tests.conformance.flow_case import FlowTestCase, Talk
from tests.conformance.marks import flow
from tests.conformance.rtp import direction_of, media_of

_SILENCE = 2.0  # seconds without media after which the node gives a call up, unless it is held


class MediaFlowTests(FlowTestCase):
    options = ("--set", f"media.timeout={_SILENCE}")

    async def offer(self, talk: Talk, version: int, offered: str, answered: str) -> None:
        """The callee of a call offers a direction, the caller answers: both arrive, and the relay keeps its ports."""
        held, response = await self.passes(
            talk.callee,
            talk.caller,
            "INVITE",
            body=talk.answered.sdp(offered, version=version),
            answer=talk.spoken.sdp(answered, version=version),
        )
        self.assertEqual((direction_of(held.body), direction_of(response.body)), (offered, answered))
        self.assertEqual((media_of(held.body), media_of(response.body)), (talk.for_caller, talk.for_callee))

    async def is_up(self, talk: Talk) -> bool:
        rows = await self.node.ask("calls", call_id=talk.caller.call_id)
        return any(row["state"] != "ended" for row in rows)

    @flow("RFC5359-2.1")
    async def test_hold(self) -> None:
        """A call on hold keeps its ports, and is not given up for its silence; behind it both hear each other again."""
        alice, bob = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(alice, bob)
        await self.offer(talk, 2, "sendonly", "recvonly")
        await talk.answered.reaches(talk.for_callee, talk.spoken)
        await self.offer(talk, 3, "inactive", "inactive")
        began = self.reactor.seconds()

        async def long_enough() -> bool:
            self.assertTrue(await self.is_up(talk))
            return self.reactor.seconds() - began > 2 * _SILENCE

        await self.until(long_enough, "the silence is over")
        await self.offer(talk, 4, "sendrecv", "sendrecv")
        await self.both_hear(talk)
        await self.hangs_up(talk.caller, talk.callee)

        async def over() -> bool:
            return not await self.is_up(talk)

        await self.until(over, "the call is over")

    @flow("RFC5359-2.2")
    async def test_consultation_hold(self) -> None:
        """Bob asks Carol while he holds Alice: two calls of one user, with relay ports of their own."""
        alice, bob, carol = self.udp("alice"), await self.phone("bob"), await self.phone("carol")
        held = await self.talk(alice, bob)
        await self.offer(held, 2, "sendonly", "recvonly")
        asked = await self.talk(bob, carol)
        ports = {held.for_caller, held.for_callee, asked.for_caller, asked.for_callee}
        self.assertEqual(len(ports), 4)
        await self.hangs_up(asked.caller, asked.callee)
        await self.offer(held, 3, "sendrecv", "sendrecv")
        await self.both_hear(held)
        self.assertTrue(await self.is_up(held))
        await self.hangs_up(held.callee, held.caller)

    @flow("RFC5359-2.3")
    async def test_music_on_hold(self) -> None:
        """
        Bob gets Alice's offer by an INVITE without one, has a music server answer it, and gives her that answer in the ACK: music
        from a host that is neither of them comes through the relay, and nothing from Bob; then they talk again.
        """
        alice, bob, music = self.udp("alice"), await self.phone("bob"), self.udp("music")
        talk = await self.talk(alice, bob)
        asking = talk.callee.request("INVITE")
        bob.send(asking)
        arrived = await alice.expect("INVITE")
        self.assertEqual(arrived.body, b"")
        alice.reply(arrived, 200, body=talk.spoken.sdp(version=2))
        offered = await bob.final(asking)
        self.assertEqual(self.relayed(offered.body), talk.for_callee)

        server = (music.host, music.port)
        invite = bob.invite(music.uri, body=offered.body)
        bob.send(invite, server)
        at_server = await music.expect("INVITE")
        self.assertEqual(media_of(at_server.body), talk.for_callee)
        player = self.media(music)
        music.reply(at_server, 200, body=player.sdp("sendonly"))
        answer = await bob.final(invite)
        with_server = Dialog.of_caller(bob, invite, answer)
        bob.send(with_server.request("ACK", cseq=with_server.cseq), server)
        await music.expect("ACK")
        talk.callee.ack(answer.body)
        ack = await alice.expect("ACK")
        self.assertEqual((self.relayed(ack.body), direction_of(ack.body)), (talk.for_caller, "sendonly"))

        await player.reaches(talk.for_callee, talk.spoken)
        heard = len(talk.spoken.heard)
        for _ in range(3):
            talk.answered.say(talk.for_callee)  # what still comes from bob's phone is no part of it
        await player.reaches(talk.for_callee, talk.spoken)
        self.assertEqual({payload[:8] for payload, _ in talk.spoken.heard[heard:]}, {player.word})
        await self.offer(talk, 3, "sendrecv", "sendrecv")
        await self.both_hear(talk)
