"""Checklist H: what holds whatever comes (RFC 3261 section 26.1)."""

from __future__ import annotations

from tests.conformance.case import ConformanceTestCase, Message, Peer
from tests.conformance.marks import requirement

MALFORMED = (
    b"",
    b"\0",
    b"\r\n" * 30_000,
    b"\xff" * 65_000,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"SIP/2.0 200 OK\r\n\r\n",
    b"SIP/2.0 99999999999999999999 OK\r\n\r\n",
    b"INVITE\r\n\r\n",
    b"INVITE sip:bob@example.com SIP/2.0",
    b"INVITE sip:bob@example.com SIP/2.0\r\n:\r\n\r\n",
    b"INVITE sip:bob@example.com SIP/2.0\r\n" + b"X: y\r\n" * 9_000 + b"\r\n",
    b"INVITE sip:" + b"a" * 60_000 + b" SIP/2.0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"t" * 12,
    b"\x00\x01\xff\xff\x21\x12\xa4\x42" + b"t" * 12,
)
BROKEN_HEADERS = (
    ("Via", ";;;"),
    ("Via", "SIP/2.0/UDP [::"),
    ("Via", "SIP/2.0/UDP x;branch=" + "z9hG4bK" + "a" * 30_000),
    ("From", "<"),
    ("From", '"' + "\\" * 30_001),
    ("From", "<sip:a@b>;tag=" + ";" * 20_000),
    ("To", "<sip:\0@b>"),
    ("To", "," * 30_000),
    ("CSeq", "1"),
    ("CSeq", "x MESSAGE"),
    ("CSeq", "9" * 30_000 + " MESSAGE"),
    ("CSeq", "4294967296 MESSAGE"),
    ("Call-ID", ""),
    ("Max-Forwards", "9" * 5_000),
    ("Max-Forwards", "-1"),
    ("Content-Length", "9" * 5_000),
    ("Contact", "<" * 30_000),
    ("Route", "<sip:" + "%" * 20_000 + ">"),
    ("Route", "," * 30_000),
    ("Record-Route", "<<<>>>"),
    ("Expires", "9" * 5_000),
    ("Authorization", "Digest " + ",=" * 15_000),
    ("Proxy-Require", "," * 30_000),
    ("Require", '"'),
    ("Subject", "\x01\x02\x7f\x80\xff"),
)


class MalformedTests(ConformanceTestCase):
    @requirement(149)
    async def test_octets(self) -> None:
        """Behind each of many datagrams and streams that are no SIP the node answers within two seconds."""
        attacker = self.udp("mallory")
        for data in MALFORMED:
            attacker.send(data)
            await self.node_answers()
            stream = await self.tcp("mallory")
            stream.send(data)
            await self.node_answers()
            assert stream.connection is not None
            await stream.connection.close()
            self.assertEqual(self.node.tracebacks(), [], data[:100])
        # what is no SIP is no fault of the node: it may answer STUN, and nothing else
        self.faults = [
            fault for fault in self.faults if "no SIP message" not in fault and "broken stream" not in fault
        ]

    @requirement(149)
    async def test_headers(self) -> None:
        """The same behind requests with one broken header each, of several methods."""
        attacker = self.udp("mallory")
        for name, value in BROKEN_HEADERS:
            for method in ("MESSAGE", "INVITE", "REGISTER", "ACK"):
                request = attacker.request(method, "sip:example.com" if method == "REGISTER" else "nobody")
                attacker.send(request.set(name, value))
            await self.node_answers()
            self.assertEqual(self.node.tracebacks(), [], (name, value[:50]))
        attacker.inbox.clear()


class AmplificationTests(ConformanceTestCase):
    """Nobody who sends with a forged source can make the node send much to it (attack S18)."""

    auth = True
    options = ("--set", "sip.t1=0.05")

    def short(self, peer: Peer, method: str, uri: str, sender: str) -> Message:
        """A request with as little in it as may be."""
        text = f"{method} {uri} SIP/2.0"
        return Message(
            text,
            [
                ("v", f"SIP/2.0/UDP {peer.host};branch=z9hG4bK{len(peer.heard)}{method[:3]}"),
                ("f", f"<{sender}>;tag=1"),
                ("t", f"<{uri}>"),
                ("i", f"{method}{uri}{sender}"),
                ("CSeq", f"1 {method}"),
                ("l", "0"),
            ],
        )

    @requirement(150)
    async def test_size(self) -> None:
        """No more than three octets come back for one, over all of 64*T1, without any ACK."""
        await self.add_users("bob")
        requests = []
        victims = []
        for method, uri, sender in (
            ("INVITE", "sip:bob@example.com", "sip:a@example.com"),  # challenged
            ("INVITE", "sip:bob@example.com", "sip:a@b.c"),  # not registered
            ("INVITE", "sip:nobody@example.com", "sip:a@b.c"),
            ("INVITE", "sip:a@b.c", "sip:a@b.c"),
            ("INVITE", "tel:1", "sip:a@b.c"),
            ("REGISTER", "sip:example.com", "sip:bob@example.com"),
            ("OPTIONS", f"sip:{self.node_uri_host}", "sip:a@b.c"),
            ("MESSAGE", "sip:nobody@example.com", "sip:a@b.c"),
            ("BYE", "sip:bob@example.com", "sip:a@b.c"),
            ("CANCEL", "sip:bob@example.com", "sip:a@b.c"),
            ("ACK", "sip:bob@example.com", "sip:a@b.c"),
        ):
            victim = self.udp("victim")
            victims.append(victim)
            requests.append(self.short(victim, method, uri, sender).to_bytes())
            victim.send(requests[-1])
        await self.node_answers()
        await self.hold(64 * 0.05 + 0.5, lambda: self.node.running, "the node runs")
        for victim, request in zip(victims, requests, strict=True):
            came = sum(len(message.raw) for message in victim.heard)
            self.assertLessEqual(came, 3 * len(request), f"{request!r}: {[m.raw for m in victim.heard]}")

    @requirement(150)
    async def test_where_to(self) -> None:
        """Whatever Via, Contact and Route say, an answer goes to the address that the request came from."""
        sender, victim = self.udp("alice"), self.udp("victim")
        for via in (
            f"SIP/2.0/UDP {victim.where};branch=z9hG4bK1",
            f"SIP/2.0/UDP {sender.where};received={victim.host};branch=z9hG4bK2",
            f"SIP/2.0/UDP {sender.where};maddr={victim.host};branch=z9hG4bK3",
            f"SIP/2.0/UDP {victim.where};rport={victim.port};branch=z9hG4bK4",
        ):
            request = sender.request(
                "REGISTER", "sip:example.com", ("Contact", f"<sip:x@{victim.where}>")
            ).set("Via", via)
            sender.send(request)
            answer = await sender.final(request)
            self.assertEqual(answer.status, 401)
        self.assertEqual(victim.heard, [])
