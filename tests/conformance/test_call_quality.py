"""What the node tells of how a call sounds, by the RTCP of both ends (RFC 3550 section 6.4) and by who sends nothing."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import Peer
from tests.conformance.flow_case import FlowTestCase, Talk
from tests.conformance.marks import attack
from tests.conformance.rtp import MediaPort
from tests.rtcp_packets import block, bye, description, receiver_report, sender_report

NTP = 0xB44DB705_20000000


class MuxedPort(MediaPort):
    """Media and RTCP on one port (RFC 5761)."""

    def sdp(self, *attributes: str, version: int = 1, host: str = "") -> bytes:
        return super().sdp("rtcp-mux", *attributes, version=version, host=host)

    def report(self, to: tuple[str, int], datagram: bytes) -> None:
        self.transport.write(datagram, to)


class CallQualityCase(FlowTestCase):
    options = ("--set", "media.silence=1.0")

    def media(self, peer: Peer) -> MuxedPort:
        return MuxedPort(self, peer.host)

    async def shown(self, talk: Talk) -> dict[str, Any]:
        (row,) = await self.node.ask("calls", call_id=talk.invite.call_id)
        return dict(row)

    async def direction(self, talk: Talk, number: int) -> dict[str, Any]:
        return dict((await self.shown(talk))["streams"][0]["directions"][number])

    async def report(self, talk: Talk, datagram: bytes, *, of_caller: bool) -> None:
        """One end sends RTCP, and it comes to the other one as it was."""
        ends = [(talk.spoken, talk.for_caller), (talk.answered, talk.for_callee)]
        (sender, relay), (other, _) = ends if of_caller else reversed(ends)
        assert isinstance(sender, MuxedPort), "media() made it"
        before = len(other.heard)
        sender.report(relay, datagram)
        await self.until(lambda: len(other.heard) > before, "RTCP is relayed")
        self.assertEqual(other.heard[before][0], datagram[12:])


class CallQualityTests(CallQualityCase):
    async def test_ten_per_cent_lost(self) -> None:
        """The callee reports 10 % loss: its MOS is below that of the caller, who lost nothing; a BYE keeps all of it."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(caller, callee)
        for of_caller in (True, False):
            await self.report(talk, sender_report(1 + of_caller, NTP) + description(1), of_caller=of_caller)
        for of_caller, lost in ((True, 0), (False, 25)):
            told = block(
                2 - of_caller, fraction=lost and 26, lost=lost, highest=250, jitter=8, last=0xB7052000
            )
            await self.report(talk, receiver_report(1 + of_caller, told), of_caller=of_caller)
        there, back = await self.direction(talk, 0), await self.direction(talk, 1)
        self.assertEqual((there["lost"], back["lost"], back["loss"]), (25, 0, 0.0))
        self.assertTrue(0.09 < there["loss"] < 0.11, there)
        self.assertGreater(back["mos"], 4.2)
        self.assertTrue(3.0 < there["mos"] < 3.6, there)
        self.assertTrue(0 <= there["round_trip"] < 5 and there["jitter"] == 0.001, there)
        await self.hangs_up(talk.caller, talk.callee)
        row = await self.shown(talk)
        self.assertEqual((row["state"], row["reason"]), ("ended", "bye"))
        self.assertEqual(row["streams"][0]["directions"][0]["mos"], there["mos"])
        metrics = str(await self.node.ask("metrics"))
        self.assertIn('voipcluster_rtcp_lost_ratio_bucket{le="0.1",side="caller"}', metrics)
        self.assertIn('voipcluster_call_mos_count{side="callee"} 1.0', metrics)

    @attack("M4")
    async def test_forged_bye(self) -> None:
        """A BYE in RTCP for both sources ends nothing, and what is no RTCP is passed on and counted (attack M4)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(caller, callee)
        for of_caller in (True, False):
            await self.report(talk, bye(1) + bye(2), of_caller=of_caller)
        await self.report(talk, b"\x80\xc8\x00\x01" + bytes(12), of_caller=True)
        await self.both_hear(talk)
        row = await self.shown(talk)
        self.assertEqual((row["state"], row["streams"][0]["unreadable"]), ("up", 1))
        await self.hangs_up(talk.callee, talk.caller)

    async def test_one_way(self) -> None:
        """A callee that falls silent while the caller speaks is named."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(caller, callee)

        async def named() -> bool:
            for _ in range(20):
                talk.spoken.say(talk.for_caller)
            stream = (await self.shown(talk))["streams"][0]
            return (stream["trouble"], stream["missing"]) == ("one-way", "callee")

        await self.until(named, "the callee is missed", 12.0)
        metrics = str(await self.node.ask("metrics"))
        self.assertIn('voipcluster_media_trouble_total{kind="one-way"} 1.0', metrics)
        await self.hangs_up(talk.caller, talk.callee)
