"""
The messages of RFC 5118, byte for byte, over UDP and TCP on IPv6 (tests/data).

There is one loopback address only, so the node has another port than those of the Via values, and all of it is in one module.
"""

from __future__ import annotations

import re

from tests.conformance.case import Peer
from tests.conformance.marks import torture
from tests.conformance.torture_case import BY_NAME, DownstreamTestCase, TortureTestCase, add_tests


class Ipv6Loopback:
    node_host = "::1"
    node_port = 5062
    domains = ("example.com", "example.net", "example.org")
    options = ("--set", "sip.t1=0.01")

    def peer_host(self, number: int) -> str:
        return "::1"

    def prober_host(self) -> str:
        return "::1"


class Rfc5118UdpTests(Ipv6Loopback, TortureTestCase):
    """One test a message, see L{add_tests}."""


class Rfc5118TcpTests(Ipv6Loopback, TortureTestCase):
    """The same over TCP."""


add_tests(Rfc5118UdpTests, "rfc5118", "UDP")
add_tests(Rfc5118TcpTests, "rfc5118", "TCP")


class Rfc5118DownstreamTests(Ipv6Loopback, DownstreamTestCase):
    """What arrives at the next hop, and what the media relay writes."""

    def with_target(self, name: str, target: Peer) -> bytes:
        """The message with the Request-URI of a peer."""
        return BY_NAME[name].data.replace(b"[2001:db8::10] SIP", f"{target.where} SIP".encode())

    @torture("rfc5118", "ipv6-in-sdp")
    @torture("rfc5118", "mult-ip-in-sdp")
    async def test_sdp(self) -> None:
        """The relay puts itself into each c= line, and says IP6 of its own address (4.6 and 4.8)."""
        caller = self.udp("tester")
        for name, streams in (("ipv6-in-sdp", 2), ("mult-ip-in-sdp", 2)):
            target = self.udp("next", port=0)
            caller.send(self.with_target(name, target))
            arrived = await target.expect("INVITE")
            body = arrived.body.decode()
            self.assertEqual(set(re.findall(r"(?m)^c=(.*?)\r?$", body)), {"IN IP6 ::1"}, body)
            ports = [int(port) for port in re.findall(r"(?m)^m=\w+ (\d+)", body)]
            self.assertEqual(len(set(ports)), streams)
            self.assertTrue(all(30000 <= port < 40000 for port in ports), body)
            self.assertNotIn("2001:db8", re.sub("(?m)^o=.*", "", body))
            target.reply(arrived, 486)
            await target.expect("ACK")

    @torture("rfc5118", "mult-ip-in-header")
    @torture("rfc5118", "via-received-param-with-delim")
    @torture("rfc5118", "via-received-param-no-delim")
    async def test_vias(self) -> None:
        """All Via values are kept in their order; received is the truth, without brackets (4.5 and 4.7)."""
        for name, port in (
            ("mult-ip-in-header", 6050),
            ("via-received-param-with-delim", 5060),
            ("via-received-param-no-delim", 5061),
        ):
            caller = self.udp("tester", port=port)
            data = BY_NAME[name].data.replace(b"z9hG4bKas3", f"z9hG4bK{port}".encode())
            if port == 5061:
                data = data.replace(b"[2001:db8::9:1]", b"[2001:db8::9:1]:5061")
            caller.send(data)
            await self.until(lambda caller=caller: [m for m in caller.heard if m.status >= 200], "an answer")
            answer = caller.heard[-1]
            self.assertEqual(answer.via("received"), "::1")
            self.assertTrue(answer.values("via")[0].startswith("SIP/2.0/UDP [2001:db8::9:1]"))
            sent = re.findall(rb"(?m)^Via: (.*?)\r?$", data)[1:]
            self.assertEqual(answer.values("via")[1:], [value.decode() for value in sent])

    @torture("rfc5118", "ipv4-mapped-ipv6")
    async def test_mapped(self) -> None:
        """IPv4-mapped addresses are read, left to who wrote them, and never ours (4.9)."""
        callee = await self.next_hop("sip:user@example.com")
        caller = self.udp("tester", port=19823)
        caller.send(BY_NAME["ipv4-mapped-ipv6"].data)
        arrived = await callee.expect("INVITE")
        self.assertIn("[::ffff:192.0.2.10]:19823", arrived.values("via")[1])
        self.assertEqual(arrived.values("via")[2], "SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111")
        self.assertNotIn("::ffff", arrived.values("via")[0])
        self.assertEqual(re.findall("(?m)^c=.*?$", arrived.body.decode().replace("\r", "")), ["c=IN IP6 ::1"])
        callee.reply(arrived, 486)
        await caller.expect(486)

    @torture("rfc5118", "ipv6-bug-abnf-3-colons")
    @torture("rfc5118", "ipv6-correct-abnf-2-colons")
    async def test_three_colons(self) -> None:
        """The address with a colon too many is read; a Request-URI that is passed on stays as it is, or loses it (4.10)."""
        hop, caller = self.udp("next", port=0), self.udp("tester")
        for name in ("ipv6-bug-abnf-3-colons", "ipv6-correct-abnf-2-colons"):
            start, rest = BY_NAME[name].data.split(b"\r\n", 1)
            route = f"Route: <sip:{hop.where};lr>\r\n".encode()
            caller.send(start + b"\r\n" + route + rest.replace(b"as3-111", name.encode()))
            arrived = await hop.expect("OPTIONS", where=lambda m, n=name: n in m.values("via")[1])
            self.assertEqual(arrived.uri.replace(":::", "::"), "sip:user@[2001:db8::192.0.2.1]")
            self.assertNotIn(":::", "".join(arrived.values("via")))
            hop.reply(arrived, 200)
            await caller.expect(200)
