"""The kernel relays between hosts: IPv4 and IPv6, what falls through, what stops it, and who may do it."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
from array import array
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.integration.test_media_relay import rtp, sdp
from tests.network import Host, Network, refused
from voipcluster.address import Hop
from voipcluster.media.offer_answer import Side
from voipcluster.media.offload import Crossing
from voipcluster.media.sdp import SessionDescription
from voipcluster.media.target import Address
from voipcluster.net.nft import table as nft_table
from voipcluster.net.nft.load import load
from voipcluster.net.nft.probe import Kernel, Opened
from voipcluster.net.nft.socket import open_netlink
from voipcluster.net.rtp import open_rtp_port
from voipcluster.services.media.relay import CallKey, MediaService, RelayAddress

reactor: Any = installed_reactor
CALL = CallKey("call@192.0.2.10", "a")
RELAY, CALLER, CALLEE = "192.0.2.1", "192.0.2.10", "192.0.2.20"
RELAY6, CALLER6, CALLEE6 = "2001:db8::1", "2001:db8::10", "2001:db8::20"
DROP = "table inet firewall { chain forward { type filter hook forward priority 0; policy drop; }\n}\n"
MASQUERADE = """
table inet nat {
  chain pre { type nat hook prerouting priority -100; udp dport 9 redirect to 10; }
  chain post { type nat hook postrouting priority 100; masquerade random; }
}
"""
RTCP = b"\x80\xc9\x00\x01ssrc"
STUN = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
DTLS = (
    b"\x16\xfe\xfd" + bytes(8) + b"\x00\x0c\x0e\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
)  # ServerHelloDone
ZRTP = b"\x10\x00\x00\x01ZRTPssrc" + b"\x50\x5a\x00\x03HelloACK" + b"\x00crc"  # RFC 6189 section 5
SIOCETHTOOL, SET_TX_CHECKSUM = 0x8946, 0x17  # of linux/sockios.h and linux/ethtool.h
NO_CHECK = 11  # SO_NO_CHECK of asm-generic/socket.h
Talk = tuple[socket.socket, tuple[str, int], socket.socket, tuple[str, int]]


def heard(sock: socket.socket, seconds: float = 5.0) -> tuple[bytes, tuple[str, int]]:
    """The next datagram, and where it came from."""
    if not select.select([sock], [], [], seconds)[0]:
        raise AssertionError("nothing came")
    payload, source = sock.recvfrom(4096)
    return payload, (source[0], source[1])


class KernelCase(TestCase):
    skip = refused() or None

    def setUp(self) -> None:
        self.network = Network()
        self.addCleanup(self.network.close)
        self.relay = self.network.host("relay", f"{RELAY}/24", f"{RELAY6}/64")
        self.network.host("caller", f"{CALLER}/24", f"{CALLER6}/64")
        self.network.host("callee", f"{CALLEE}/24", f"{CALLEE6}/64")
        self.forward(self.relay)
        self.ports: list[Any] = []  # that the relay has opened

    def forward(self, host: Host) -> None:
        host.sysctl("ipv4/ip_forward", "1")
        host.sysctl("ipv6/conf/all/forwarding", "1")
        for name in ("all", "default", "eth0"):
            host.sysctl(f"ipv4/conf/{name}/send_redirects", "0")

    def connect(self) -> socket.socket:
        with self.relay.inside():
            return open_netlink()

    def fill(self, commands: str) -> None:
        with self.relay.inside():
            load(commands)

    def open_kernel(self, *arguments: Any) -> Opened:
        with self.relay.inside():
            return Kernel(self.connect, self.fill).open(*arguments)

    def open_port(self, *arguments: Any) -> Any:
        with self.relay.inside():
            port = open_rtp_port(*arguments)
        self.ports.append(port)
        return port

    def service(self, relay: str = "kernel", **options: Any) -> MediaService:
        media = MediaService(
            reactor,
            ports=(42000, 42999),
            addresses=[RelayAddress(RELAY), RelayAddress(RELAY6)],
            relay=relay,
            open_port=self.open_port,
            kernel=Kernel(self.connect, self.fill),
            **options,
        )
        with self.relay.inside():
            media.startService()
        self.addCleanup(media.stopService)
        return media

    def udp(self, address: str) -> socket.socket:
        made = self.network.at(address).udp(address)
        self.addCleanup(made.close)
        return made

    def passes(self, media: MediaService, sender: Side, sock: socket.socket, **more: Any) -> tuple[str, int]:
        host, port = sock.getsockname()[:2]
        status = None if sender is Side.CALLER else 200
        body = media.message_passes(
            CALL, sender=sender, method="INVITE", status=status, cseq=1, to_tag=status and "b",
            content_type="application/sdp", body=more.pop("body", sdp(host, port)), source=Hop("UDP", host, 5060), **more,
        )  # fmt: skip
        line = SessionDescription.parse(body).media[0]
        return line.host, line.port

    async def until(self, condition: Any, what: str, seconds: float = 10.0) -> None:
        """Let the reactor go round until something holds."""
        end = reactor.seconds() + seconds
        while not condition():
            if reactor.seconds() > end:
                raise AssertionError(f"not in {seconds:g} s: {what}")
            await self.pass_time(0.005)

    async def pass_time(self, seconds: float) -> None:
        """Between two packets of one who talks."""
        passed: Deferred[None] = Deferred()
        reactor.callLater(seconds, passed.callback, None)
        await passed

    async def call(self, media: MediaService, caller: str = CALLER, callee: str = CALLEE) -> Talk:
        """A call whose sides are both latched: sockets, and where each sends to."""
        a, b = self.udp(caller), self.udp(callee)
        for_b = self.passes(media, Side.CALLER, a, target=Hop("UDP", callee, 5060))
        for_a = self.passes(media, Side.CALLEE, b)
        for sock, to in ((a, for_a), (b, for_b)):
            sock.sendto(rtp(1), to)
            self.waits_at(to)
        for sock in (a, b):
            await self.until(lambda sock=sock: select.select([sock], [], [], 0)[0], "the first packet")
            heard(sock)
        return a, for_a, b, for_b

    def waits_at(self, address: tuple[str, int]) -> None:
        """
        Return once something waits in the relay's socket; nothing is read meanwhile.

        On a busy machine it takes its time. What the relay sends to one who has not been heard is a new flow for connection
        tracking, and where that flow gets a port by chance, what he sends then comes from another port, too.
        """
        (port,) = [one for one in self.ports if one.fileno() >= 0 and tuple(one.address()) == address]
        self.assertTrue(select.select([port], [], [], 10.0)[0], f"nothing came to {address}")

    def offloaded(self, media: MediaService) -> bool:
        return any(stream.kernel for call in media.calls() for stream in call.streams)

    def exchange(self, talk: Talk, first: int = 100, count: int = 5) -> None:
        """What each says reaches the other at once, from the port it was told; the reactor has no part in it."""
        a, for_a, b, for_b = talk
        for n in range(first, first + count):
            a.sendto(rtp(n), for_a)
            self.assertEqual(heard(b), (rtp(n), for_b))
            b.sendto(rtp(n, b"answer" * 27), for_b)  # an odd number of octets with the header: 174, and below
            self.assertEqual(heard(a), (rtp(n, b"answer" * 27), for_a))


class ForwardingTests(KernelCase):
    def sum_in_software(self, address: str) -> None:
        """Else a veth pair hands packets on without a checksum, and nobody looks at it."""
        setting = array("I", [SET_TX_CHECKSUM, 0])
        pointer, _ = setting.buffer_info()
        with (
            self.network.at(address).inside(),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket,
        ):
            fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP16x", b"eth0", pointer))

    async def test_both_directions(self) -> None:
        """Once both sides are latched no packet comes to the process; counts come from the kernel (IPv4)."""
        media = self.service()
        talk = await self.call(media)
        self.assertTrue(self.offloaded(media))
        self.exchange(talk)
        await media.counted()
        statistics = media.statistics()
        self.assertEqual((statistics.path, statistics.reason, statistics.kernel_packets), ("kernel", "", 10))
        (call,) = media.calls()
        caller, callee = call.streams[0].caller, call.streams[0].callee
        assert caller is not None and callee is not None
        self.assertEqual((caller.packets, caller.octets), (6, 6 * 172))
        self.assertEqual((callee.packets, callee.octets), (6, 172 + 5 * 174))

    async def test_ipv6(self) -> None:
        """The same with IPv6."""
        media = self.service()
        talk = await self.call(media, CALLER6, CALLEE6)
        self.assertTrue(self.offloaded(media))
        self.exchange(talk)
        await media.counted()
        self.assertEqual(media.statistics().kernel_packets, 10)
        self.assertEqual(media.statistics().total_octets, 2 * 172 + 5 * (172 + 174))

    async def test_both_parties_at_one_address(self) -> None:
        """Two phones on one host, the relay on another (hairpin), and all three on one host."""
        media = self.service()
        for host in (CALLER, RELAY):
            talk = await self.call(media, host, host)
            self.assertTrue(self.offloaded(media), host)
            self.exchange(talk)
            media.call_ended(CALL, "BYE")

    async def test_checksums_and_sizes(self) -> None:
        """Packets without a checksum stay without one, odd lengths are summed right, and empty ones are left out."""
        self.sum_in_software(CALLER)
        media = self.service()
        a, for_a, b, for_b = await self.call(media)
        wire = self.relay.capture()
        self.addCleanup(wire.close)
        a.setsockopt(socket.SOL_SOCKET, NO_CHECK, 1)
        for size in range(155, 165):
            a.sendto(rtp(size, b"x" * size), for_a)
            self.assertEqual(heard(b), (rtp(size, b"x" * size), for_b))
        a.setsockopt(socket.SOL_SOCKET, NO_CHECK, 0)
        for size in (0, 1, 2, 3, 1400):
            a.sendto(rtp(size, b"x" * size), for_a)
            self.assertEqual(heard(b), (rtp(size, b"x" * size), for_b))
        a.sendto(b"", for_a)
        a.sendto(b"\x80\x00short", for_a)
        await media.counted()
        self.assertEqual(select.select([b], [], [], 0)[0], [])
        self.assertEqual(len(wire.sent_to(CALLEE)), 15)

    async def test_what_falls_through(self) -> None:
        """RTCP, STUN, DTLS and ZRTP on the same port, and fragments, are relayed by the process (RFC 5761, RFC 7983)."""
        media = self.service()
        for caller, callee in ((CALLER, CALLEE), (CALLER6, CALLEE6)):
            a, for_a, b, for_b = await self.call(media, caller, callee)
            self.assertTrue(self.offloaded(media))
            before = media.relayed_here
            for payload in (RTCP, STUN, DTLS, ZRTP, rtp(7, b"x" * 1600)):
                for sender, to, other, shown in ((a, for_a, b, for_b), (b, for_b, a, for_a)):
                    sender.sendto(payload, to)
                    self.assertEqual(select.select([other], [], [], 0)[0], [])
                    await self.until(
                        lambda s=other: select.select([s], [], [], 0)[0], "the process relays it"
                    )
                    self.assertEqual(heard(other), (payload, shown))
            await media.counted()
            self.assertEqual((media.relayed_here - before, media.statistics().kernel_packets), (10, 0))
            media.call_ended(CALL, "BYE")

    async def test_nat_on_the_same_machine(self) -> None:
        """Connection tracking and NAT on the relay's own host know the first packets, and do not touch what is relayed."""
        self.relay.run("nft", "-f", "-", stdin=MASQUERADE)
        media = self.service()
        self.exchange(await self.call(media))
        self.assertTrue(self.offloaded(media))
        await media.counted()
        self.assertEqual(media.statistics().kernel_packets, 10)

    async def test_stranger(self) -> None:
        """A third host that sends to the ports is not relayed, and gets nothing (attacks M1, M2)."""
        self.network.host("stranger", "192.0.2.66/24")
        media = self.service()
        talk = await self.call(media)
        stranger = self.udp("192.0.2.66")
        wire = self.relay.capture()
        self.addCleanup(wire.close)
        for to in (talk[1], talk[3]):
            stranger.sendto(rtp(66), to)
        self.exchange(talk)
        await media.counted()
        self.assertEqual(media.statistics().kernel_packets, 10)
        self.assertEqual(wire.sent_to("192.0.2.66"), [])
        self.assertNotIn(rtp(66), [datagram.payload for datagram in wire.sent_to(CALLER, CALLEE)])

    async def test_hold_and_end(self) -> None:
        """The null address stops it, the resume brings it back, and nothing is left at the end (RFC 3264 section 8.4)."""
        media = self.service()
        talk = await self.call(media)
        a, _, b, for_b = talk
        held = sdp("0.0.0.0", a.getsockname()[1])
        media.message_passes(
            CALL, sender=Side.CALLER, method="INVITE", status=None, cseq=2, to_tag="b",
            content_type="application/sdp", body=held, source=Hop("UDP", CALLER, 5060),
        )  # fmt: skip
        media.message_passes(
            CALL, sender=Side.CALLEE, method="INVITE", status=200, cseq=2, to_tag="b",
            content_type="application/sdp", body=sdp(CALLEE, b.getsockname()[1]), source=Hop("UDP", CALLEE, 5060),
        )  # fmt: skip
        self.assertFalse(self.offloaded(media))
        b.sendto(rtp(9), for_b)
        await self.until(lambda: media.relayed_here > 2, "the packet comes to the process")
        self.assertEqual(select.select([a], [], [], 0)[0], [])
        for sender, sock, status in ((Side.CALLER, a, None), (Side.CALLEE, b, 200)):
            host, port = sock.getsockname()[:2]
            media.message_passes(
                CALL, sender=sender, method="INVITE", status=status, cseq=3, to_tag="b",
                content_type="application/sdp", body=sdp(host, port), source=Hop("UDP", host, 5060),
            )  # fmt: skip
        self.assertTrue(self.offloaded(media))
        self.exchange(talk)
        media.call_ended(CALL, "BYE")
        self.assertEqual(media.statistics().total_packets, 13)
        listing = self.relay.run("nft", "list", "map", "inet", "voipcluster_192_0_2_1_42000", "stream4")
        self.assertNotIn("elements", listing)
        media.stopService()
        self.assertEqual(self.relay.run("nft", "list", "tables"), "")

    async def test_media_timeout(self) -> None:
        """Packets that only the kernel sees keep a call alive; when they cease it ends."""
        timeout = 1.2
        media = self.service(timeout=timeout)
        over: list[CallKey] = []
        media.on_timeout = over.append
        talk = await self.call(media)
        end = reactor.seconds() + 2 * timeout
        while reactor.seconds() < end:
            self.exchange(talk, count=1)
            self.assertEqual(over, [])
            await self.pass_time(0.1)
        await self.until(lambda: over == [CALL], "the media time-out")


class TroubleTests(KernelCase):
    async def test_foreign_firewall(self) -> None:
        """A rule that drops what is forwarded: the process relays again at once, and says why (once)."""
        self.relay.run("nft", "-f", "-", stdin=DROP)
        media = self.service("auto")
        talk = await self.call(media)
        self.assertTrue(self.offloaded(media))
        a, for_a, b, for_b = talk
        lost = 0
        while self.offloaded(media):
            a.sendto(rtp(2), for_a)
            lost += 1
            await self.pass_time(0.02)
        self.assertLess(lost, 50, "a second of silence")
        a.sendto(rtp(3), for_a)
        await self.until(lambda: select.select([b], [], [], 0)[0], "the process relays")
        self.assertEqual(heard(b), (rtp(3), for_b))
        self.assertIn("policy drop", media.statistics().reason)
        media.call_ended(CALL, "BYE")
        await self.call(media)
        self.assertFalse(self.offloaded(media), "the next call is not tried")

    async def test_flushed(self) -> None:
        """Another program deletes all rules: the process relays, and then the kernel again (a table without owner)."""
        self.patch(
            nft_table, "_OURS", 0x8
        )  # which no kernel knows, as those before 6.9 do not know "persist"
        media = self.service()
        talk = await self.call(media)
        self.exchange(talk)
        await media.counted()
        self.relay.run("nft", "flush", "ruleset")
        a, for_a, b, for_b = talk
        a.sendto(rtp(3), for_a)
        await self.until(lambda: select.select([b], [], [], 0)[0], "the process relays")
        self.assertEqual(heard(b), (rtp(3), for_b))
        await media.counted()
        self.assertTrue(self.offloaded(media))
        self.exchange(talk)
        await media.counted()
        self.assertEqual(media.statistics().kernel_packets, 20)

    async def test_owner(self) -> None:
        """Where the kernel can do so, nobody else can change or flush the table."""
        media = self.service()
        talk = await self.call(media)
        self.relay.run("nft", "flush", "ruleset")
        self.exchange(talk)
        table = "voipcluster_192_0_2_1_42000"
        with self.assertRaises(subprocess.CalledProcessError):
            self.relay.run("nft", "flush", "map", "inet", table, "stream4")

    async def test_left_and_taken_up(self) -> None:
        """A process that ends leaves the kernel relaying; the next one finds whose calls these are, with counts."""
        media = self.service()
        talk = await self.call(media)
        kernel = media._path.kernel
        assert kernel is not None
        kernel.close(keep=True)
        self.exchange(talk)
        opened = self.open_kernel([RELAY, RELAY6], 42000, 100, 0x52)
        self.addCleanup(opened.table.remove)
        self.exchange(talk)
        self.assertEqual({one.label for one in opened.table.found}, {"call@192.0.2.10 a"})
        self.assertEqual([one.packets for one in opened.table.found], [5, 5])
        self.assertEqual([one.packets for one in opened.table.relayed()], [10, 10])
        opened.table.apply([], [one.crossing for one in opened.table.found])
        self.assertEqual(opened.table.relayed(), [])

    async def test_broken_table(self) -> None:
        """A table that was left, and whose rules do not work any more, is made anew."""
        first = self.open_kernel([RELAY], 42000, 100, 0x52)
        first.table.apply([(Crossing(*(Address(RELAY, port) for port in (1, 42000, 42002, 2))), "call tag")])
        first.table.close()
        self.relay.run("nft", "flush", "chain", "inet", "voipcluster_192_0_2_1_42000", "to_peer")
        media = self.service()
        self.exchange(await self.call(media))
        self.assertTrue(self.offloaded(media))

    async def test_not_forwarded(self) -> None:
        """Without forwarding, auto stays in user space and tells which sysctl it is; of one IP version, too."""
        self.relay.sysctl("ipv4/ip_forward", "0")
        media = self.service("auto")
        self.assertEqual(
            (media.statistics().path, media.statistics().reason), ("kernel", "net.ipv4.ip_forward is 0")
        )
        await self.call(media)
        self.assertFalse(self.offloaded(media))
        media.call_ended(CALL, "BYE")
        await self.call(media, CALLER6, CALLEE6)
        self.assertTrue(self.offloaded(media))


class CapabilityTests(KernelCase):
    def try_as_nobody(self, *capabilities: str) -> str:
        """What a process says that has no rights but these."""
        setpriv = shutil.which("setpriv")
        assert setpriv is not None, "Debian's util-linux has it"
        caps = ",".join(["-all", *(f"+{name}" for name in capabilities)])
        program = (
            "from voipcluster.net.nft.probe import Kernel\n"
            f"try: opened = Kernel().open(['{RELAY}', '{RELAY6}'], 42000, 100, 0x52)\n"
            "except Exception as error: print(error)\n"
            "else: print(sorted(opened.families), opened.table.owned); opened.table.remove()\n"
        )
        path = os.pathsep.join(part for part in sys.path if part)
        with self.relay.inside():
            done = subprocess.run(
                [
                    setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", f"--inh-caps={caps}",
                    f"--ambient-caps={caps}", f"--bounding-set={caps}", sys.executable, "-c", program,
                ],
                env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        return (done.stdout + done.stderr).strip()

    def test_net_admin_alone(self) -> None:
        """CAP_NET_ADMIN suffices, without root (the systemd unit gives it)."""
        self.assertEqual(self.try_as_nobody("net_admin"), "[4, 6] True")

    def test_no_capability(self) -> None:
        """Without it the reason is one line."""
        self.assertEqual(self.try_as_nobody(), "no right to change nftables (CAP_NET_ADMIN)")
