"""
The profile of an analogue adapter, on hosts of their own: keys that its user presses, as events in RTP (RFC 4733) and as INFO
(RFC 6086). Fax is in L{tests.conformance.test_descriptions}.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.conformance.flow_case import Talk
from tests.conformance.network_case import KERNEL, NetworkTestCase
from tests.conformance.rtp import MediaPort

EVENTS = 101  # payload type
KEYS = "0123456789*#ABCD"  # in the order of their numbers (RFC 4733 section 3.2)


def presses(port: MediaPort, key: str) -> list[bytes]:
    """
    One key for 60 ms: three packets, the last one three times (sections 2.5.1.2 and 2.5.1.4), all with its begin as time stamp.
    """
    datagrams = []
    model = port.packet()
    for number, (ended, duration) in enumerate(
        ((0, 160), (0, 320), (0, 480), (0x80, 480), (0x80, 480), (0x80, 480))
    ):
        datagram = port.packet()
        marker = 0x80 if number == 0 else 0
        event = bytes([KEYS.index(key), ended | 10]) + duration.to_bytes(2, "big")
        header = bytes([0x80, marker | EVENTS]) + datagram[2:4] + model[4:12]
        datagrams.append(header + event)
    return datagrams


class AdapterTests(NetworkTestCase):
    async def adapter_calls(self) -> Talk:
        self.attributes = [f"rtpmap:{EVENTS} telephone-event/8000", f"fmtp:{EVENTS} 0-15"]
        return await self.talk(self.alice(), await self.bob())

    async def test_events(self) -> None:
        """Each key arrives as it was sent, octet for octet and in its order, both ways; so does what SDP says of events."""
        talk = await self.adapter_calls()
        await self.settled(talk)
        for line in (f"a=rtpmap:{EVENTS} telephone-event/8000", f"a=fmtp:{EVENTS} 0-15"):
            self.assertIn(line.encode(), talk.invite.body)
        for sender, to, receiver in (
            (talk.spoken, talk.for_caller, talk.answered),
            (talk.answered, talk.for_callee, talk.spoken),
        ):
            sent: list[bytes] = []
            for key in KEYS:
                for datagram in presses(sender, key):
                    sender.send(datagram, to)
                    sent.append(datagram)

            def events(receiver: MediaPort = receiver) -> list[bytes]:
                return [datagram for datagram in receiver.raw if datagram[1] & 0x7F == EVENTS]

            def all_came(sent: list[bytes] = sent, events: Callable[[], list[bytes]] = events) -> bool:
                return len(events()) >= len(sent)

            await self.until(all_came, "all events have come", 30.0)
            self.assertEqual(events(), sent)
        await self.hangs_up(talk.caller, talk.callee)

    async def test_info(self) -> None:
        """The same keys as INFO, with the bodies that adapters send: unchanged, both ways, and answered by the other one."""
        talk = await self.adapter_calls()
        for sender, receiver in ((talk.caller, talk.callee), (talk.callee, talk.caller)):
            for kind, body in (
                ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n"),
                ("application/dtmf", b"#"),
            ):
                request = sender.request("INFO", body=body)
                request.set("content-type", kind)
                sender.peer.send(request)
                arrived = await receiver.peer.expect("INFO")
                self.assertEqual((arrived["content-type"], arrived.body), (kind, body))
                receiver.peer.reply(arrived, 200)
                self.assertEqual((await sender.peer.final(request)).status, 200)
        await self.both_hear(talk)
        await self.hangs_up(talk.caller, talk.callee)


class AdapterKernelTests(AdapterTests):
    """The same where the kernel relays."""

    relay = "kernel"
    node_host = KERNEL
