"""What passes a real node, as a HEP collector is told."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from demo.cluster import Node
from tests.hep_reading import report
from tests.integration.claims import ClaimTestCase
from tests.integration.harness import ClusterTestCase
from tests.integration.passed_over import again_if_passed_over
from tests.integration.run_capture import Capture
from tests.integration.run_collector import HepReceiver
from tests.integration.test_tls import TlsTestCase
from tests.integration.test_websocket import HEADERS, Client
from voipcluster.address import join_host_port

WEBSOCKET_OPTIONS = (
    "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKws\r\nMax-Forwards: 70\r\n"
    "From: <sip:x@elsewhere.example>;tag=1\r\nTo: <sip:{host}>\r\nCall-ID: over-ws\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


def begins(one: dict[str, Any]) -> str:
    """INVITE, 200 ... of a packet with a message."""
    words = one["payload"].split(b" ", 2)
    return (words[1] if words[0] == b"SIP/2.0" else words[0]).decode()


class HepTests(TlsTestCase, ClaimTestCase):
    async def receiver(self, transport: str) -> HepReceiver:
        made = HepReceiver(self.reactor, self.address(200), transport)
        self.at_end(made.stop)
        return made

    def hep(self, transport: str, *more: str) -> list[str]:
        key = self.folder / "hep.key"
        key.write_text("collectors-key\n")
        key.chmod(0o600)
        options = [f"server={self.address(200)}", f"transport={transport}", f"auth_key_file={key}", *more]
        return [word for one in options for word in ("--set", f"hep.{one}")]

    async def over_websocket(self) -> None:
        """An OPTIONS over a WebSocket, answered."""
        client: Client = await connectProtocol(
            TCP4ClientEndpoint(self.reactor, self.primary.address, 8080, timeout=30), Client()
        )
        self.at_end(client.close)
        headers = HEADERS | {"Host": f"{self.primary.address}:8080"}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        client.wire.write("\r\n".join(["GET /sip HTTP/1.1", *lines, "", ""]).encode())
        await self.until(lambda: client.status == 101, "the handshake is answered")
        client.wire.write(client.frames.text(WEBSOCKET_OPTIONS.format(host=self.primary.address)))
        await self.until(lambda: client.texts, "an answer")

    async def test_over_udp(self) -> None:
        """
        All that passes two nodes is told: over UDP, TCP, TLS and WebSocket, both ways, in the clear and without answers to
        challenges; and at the end how the call sounded.
        """
        receiver = await self.receiver("udp")
        receiver.listen()
        await self.start(*self.hep("udp"), nodes="ab")
        await self.add_users("alice", "bob")
        alice = self.phone("alice", host=self.address(100), rtcp=True)
        bob = self.phone("bob", self.node("b"), host=self.address(101), transport="TCP", rtcp=True)
        await self.register(alice, bob)
        await self.reachable("bob")
        call = await alice.call("bob@example.com")
        await self.until(lambda: call.heard_hz, "audio")
        await call.hang_up()
        await self.until(
            lambda: sum(one["type"] == 34 for one in receiver.of(call.call_id)) == 2,
            "both directions are reported",
        )
        told = receiver.of(call.call_id)
        messages = [one for one in told if one["type"] == 1]
        self.assertEqual({(one["key"], one["agent"]) for one in told}, {(b"collectors-key", 2001)})
        kinds = [begins(one) for one in messages if self.address(100) in (one["source"], one["destination"])]
        self.assertEqual(kinds[0], "INVITE")
        self.assertLessEqual({"INVITE", "100", "180", "200", "ACK", "BYE", "407"}, set(kinds))
        self.assertEqual(
            {one["protocol"] for one in messages if self.address(101) in (one["source"], one["destination"])},
            {6},
        )
        self.assertEqual({one["node"] for one in messages}, {b"a", b"b"})
        invite = next(one for one in messages if b"Proxy-Authorization: Digest" in one["payload"])
        self.assertEqual((invite["source"], invite["destination"]), (self.address(100), self.address(1)))
        self.assertRegex(invite["payload"], rb'response="\*{32,64}"')
        self.assertIn(b'username="alice"', invite["payload"])
        rows = [report(one) for one in told if one["type"] == 34]
        self.assertEqual(
            [(row["CORRELATION_ID"], row["PARTY"]) for row in rows], [(call.call_id, 0), (call.call_id, 1)]
        )
        for row in rows:
            self.assertGreater(row["TOTAL_PK"], 10)
            self.assertEqual(row["CODEC_NAME"], "PCMU")

        line = await self.connect()
        self.assertTrue(await self.asks(line))
        await self.over_websocket()
        for call_id, port in (("o1", 5061), ("over-ws", 8080)):
            await self.until(lambda call_id=call_id: len(receiver.of(call_id)) == 2, f"{call_id} is told")
            asked, answered = receiver.of(call_id)
            self.assertEqual((begins(asked), begins(answered)), ("OPTIONS", "200"))
            self.assertEqual(
                (asked["destination_port"], answered["source_port"], asked["protocol"]), (port, port, 6)
            )
        self.assertNotIn("collectors-key", self.primary.log.read_text())

    async def test_collectors_of_others(self) -> None:
        """
        Kamailio's sipcapture and sngrep, which it hands all on to, read what a node tells: each message of a call with where
        it came from and went to, and how both sides heard each other.
        """
        capture = Capture(self.reactor, self.folder, self.address(200))
        self.at_end(capture.stop)
        await self.start(*self.hep("udp"))
        await self.add_users("alice", "bob")
        alice = self.phone("alice", host=self.address(100), rtcp=True)
        bob = self.phone("bob", host=self.address(101), rtcp=True)
        await self.register(alice, bob)
        call = await alice.call("bob@example.com")
        await self.until(lambda: call.heard_hz, "audio")
        await call.hang_up()

        def about(kind: str) -> list[Any]:
            return [
                one for one in capture.told() if (one["type"], one["correlation"]) == (kind, call.call_id)
            ]

        await self.until(lambda: len(about("34")) == 2, "both directions are reported")
        for one in capture.told():
            self.assertEqual(
                (one["version"], one["key"], one["agent"], one["protocol"], one["family"]),
                ("3", "collectors-key", "2001", "17", "2"),
            )
            self.assertLess(abs(time.time() - int(one["seconds"])), 60)
        node, ours = self.primary.address, self.address(100)
        ways = [(one["source"], one["destination"], one["first"].split(" ", 1)[0]) for one in about("1")]
        for way in (
            (ours, node, "INVITE"),
            (node, self.address(101), "INVITE"),
            (node, ours, "SIP/2.0"),
            (ours, node, "BYE"),
        ):
            self.assertIn(way, ways)
        self.assertIn(
            str(alice.transport.local_addresses()[0][1]), {one["source_port"] for one in about("1")}
        )
        for one in about("34"):
            said = json.loads(one["first"])
            self.assertEqual((said["CORRELATION_ID"], said["CODEC_NAME"]), (call.call_id, "PCMU"))
            self.assertGreater(said["TOTAL_PK"], 10)

        await self.until(lambda: b"HANGUP" in capture.kept(), "sngrep has kept the last of it")
        kept = capture.kept()
        for line in (
            b"INVITE sip:bob@example.com SIP/2.0",
            b"SIP/2.0 200 ",
            b"BYE sip:",
            b"\r\nCall-ID: " + call.call_id.encode(),
        ):
            self.assertIn(line, kept)

    async def test_over_tcp(self) -> None:
        """
        Calls go on while the collector is away, what it missed is counted, and it is told again when it is back; only of the
        methods that it is to hear of.
        """
        receiver = await self.receiver("tcp")
        await self.start(*self.hep("tcp", 'methods=["INVITE"]'))
        await self.add_users("alice", "bob")
        alice, bob = self.phone("alice", host=self.address(100)), self.phone("bob", host=self.address(101))
        await self.register(alice, bob)
        missed = await alice.call("bob@example.com")
        await missed.hang_up()

        async def count(result: str) -> int:
            return int(await self.metric(self.primary, "hep_packets_total", result=result))

        lost = await count("away")
        self.assertGreater(lost, 8)
        self.assertEqual(await count("sent"), 0)
        receiver.listen()
        await self.until(lambda: "collector is told" in self.primary.log.read_text(), "it is connected", 40)
        call = await alice.call("bob@example.com")
        await call.hang_up()
        await self.until(
            lambda: sum(one["type"] == 34 for one in receiver.of(call.call_id)) == 2, "all of it is told"
        )
        self.assertEqual(receiver.of(missed.call_id), [])
        kinds = {begins(one) for one in receiver.told if one["type"] == 1}
        self.assertLessEqual({"INVITE", "200"}, kinds)
        self.assertFalse({"BYE", "ACK", "REGISTER"} & kinds)
        self.assertEqual(await count("sent"), len(receiver.told))
        self.assertEqual(self.primary.log.read_text().count("collector gets nothing"), 1)


class JsonLogTests(ClusterTestCase):
    async def test_the_call_in_each_line(self) -> None:
        """With the log as JSON, each line about a call has its Call-ID in a field of its own, whatever the line tells."""
        self.patch(Node, "logger", "voipcluster.json_log.lines")
        await self.start_cluster(nodes="a")
        await self.add_users("alice", "bob")
        alice = self.phone("alice", host=self.address(100), rtcp=True)
        bob = self.phone("bob", host=self.address(101), rtcp=True)
        await self.register(alice, bob)
        call = await alice.call("bob@example.com")

        async def reported() -> bool:
            rows = await self.primary.ask("calls", call_id=call.call_id)
            return all(one["reports"] for one in rows[0]["streams"][0]["directions"])

        await self.until(reported, "both have reported")

        def lines(words: str) -> list[dict[str, Any]]:
            """All lines are JSON; those with these words."""
            read = [
                json.loads(line) for line in self.primary.log.read_text().splitlines() if line.startswith("{")
            ]
            return [one for one in read if words in one["text"]]

        await call.hang_up()
        await self.until(lambda: lines("ended after"), "its end is logged")
        about = lines(call.call_id)
        self.assertGreaterEqual(len(about), 1)
        self.assertEqual({one.get("call") for one in about}, {call.call_id})
        self.assertEqual({one["level"] for one in about}, {"info"})


class TraceTests(TlsTestCase):
    @again_if_passed_over
    async def test_a_call_over_tls_through_two_nodes(self) -> None:
        """
        A call that comes in at a, is handed to b, and reaches a phone over TLS: one ladder, which shows what was encrypted and
        hides what is secret; what was said before tracing was switched on is an outline.
        """
        await self.start(
            "--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "a"]', nodes="ab"
        )
        await self.add_users("alice", "bob", "carol")
        bob = await self.baresip("bob", self.node("b"), transport="TLS", hz=440, answer=True, ca=self.ca.file)
        # no Service-Route leads alice past node a
        alice = self.phone("alice", host=self.address(100), follow_service_route=False)
        carol = self.phone("carol", host=self.address(101))
        await self.register(alice, carol)
        await self.reachable("bob", "carol")
        earlier = await alice.call("carol@example.com")
        await earlier.hang_up()

        told = await self.primary.voipctl("trace", "on", "--user", "bob", "--for", "1h")
        self.assertEqual(len(re.findall(r"user bob \((?:1:00:00|59:[0-5]\d) left\)", told)), 2, told)
        other = await alice.call("carol@example.com")
        await other.hang_up()
        call = await alice.call("bob@example.com")
        await call.hang_up()
        self.assertEqual(call.status, 200)
        for one in (earlier, other, call):
            hops = await self.primary.ask("explain", call_id=one.call_id)
            ways = [(hop["node"], hop["outcome"]) for hop in hops]
            await self.placed(ways, [("a", "hand-over"), ("b", "serve")], [one.call_id])
        await bob.program.saw("(?i)terminated|closed|BYE")

        async def whole() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.node("b").ask("trace", call_id=call.call_id, texts=True)
            return found if any(one["text"].startswith("ended") for one in found["events"]) else None

        trace = await self.until(whole, "the call is over at its node")
        who = [one["name"] for one in trace["participants"]]
        phone = join_host_port(*alice.transport.local_addresses()[0])
        self.assertEqual(who[:3], [phone, "a", "b"])
        arrows = [
            (who[one["from"]], one["label"], who[one["to"]], one["transport"]) for one in trace["steps"]
        ]
        for arrow in (
            (phone, "INVITE", "a", "UDP"),
            ("a", "INVITE", "b", "UDP"),
            ("b", "180 Ringing", "a", "UDP"),
        ):
            self.assertIn(arrow, arrows)
        self.assertIn(("b", "INVITE", who[3], "TLS"), arrows)
        self.assertIn((who[3], "180 Ringing", "b", "TLS"), arrows)
        texts = "".join(one["text"] for one in trace["steps"])
        self.assertIn('username="alice"', texts)
        self.assertRegex(texts, r'response="\*{32,64}"')
        self.assertNotRegex(texts, r'response="[0-9a-f]|;ho=[^*]')

        drawn = await self.primary.voipctl("trace", call.call_id)
        self.assertIn("node a", drawn.splitlines()[1])
        self.assertTrue(all(len(line) <= 120 for line in drawn.splitlines()[1:]), drawn)
        self.assertRegex(drawn, r"(?m)^ +\+0\.\d{3} +\|<*-.*INVITE.*->\|")
        self.assertRegex(drawn, r"\* a: hand-over to b")
        for missed in (earlier, other):
            outline = await self.primary.voipctl("trace", missed.call_id)
            for words in (
                "hand-over to b",
                "INVITE from sip:alice@example.com",
                "answered",
                "ended by BYE",
                "trace on",
            ):
                self.assertIn(words, outline)

        await self.node("b").voipctl("trace", "off", "--forget")
        self.assertNotIn("->", await self.primary.voipctl("trace", call.call_id))
        lines = await self.primary.voipctl("trace", "status")
        self.assertEqual(lines.count("nothing"), 2, lines)
