"""Overload control (RFC 7339): a cluster of two nodes and one peer that takes part; control is of one hop, and so of one node."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from demo.cluster import Node
from tests.conformance.case import ConformanceTestCase, Dialog
from tests.conformance.marks import requirement
from tests.conformance.test_overload import told
from tests.conformance.wire import Message

NEW, AT_ONCE = 200, 10  # requests: few enough that the node itself is never in overload
TRUSTED = 'limits.trusted=["127.0.0.0/8"]'


class TwoNodes(ConformanceTestCase):
    share = "two nodes"
    options: ClassVar = ("--set", TRUSTED)

    async def second_node(self) -> Node:
        """A node that has joined ours, and is heard by it."""
        token = str(await self.node.ask("join-token", ttl=3600.0, uses=1))
        made = Node(self.reactor, "b", self.address(200), self.folder)
        settings = (
            f'cluster.domain=["{self.domain}"]',
            "auth.required=false",
            "web.port=0",
            *self.options[1::2],
        )
        made.launch("secondary", "--join", token, *(word for each in settings for word in ("--set", each)))
        self.at_end(made.stop)
        await made.ready()

        async def heard() -> bool:
            rows = (await self.node.ask("status"))["nodes"]
            return any(row["name"] == "b" and row["workload"] is not None for row in rows)

        await self.until(heard, "the nodes hear of each other")
        return made


class TwoNodesTests(TwoNodes):
    @requirement(139)
    async def test_what_each_node_says(self) -> None:
        """Each node controls what is sent to itself: with an algorithm that it chose, and numbers that never fall (4.4)."""
        other = await self.second_node()
        proxy = self.udp("proxy")
        last: dict[str, float] = {}
        for _ in range(2):
            for node in (self.node, other):
                options = proxy.request("OPTIONS", "nobody", via=';oc;oc-algo="loss,rate"')
                proxy.send(options, to=(node.address, 5060))
                value, algorithm, validity, sequence = told(await proxy.final(options))
                self.assertEqual((value, algorithm, validity), (0, "rate", 0))
                self.assertGreaterEqual(sequence, last.get(node.name, 0.0))
                last[node.name] = sequence

    @requirement(141)
    async def test_what_each_node_is_told(self) -> None:
        """A server that tells one node to send nothing is sent nothing by it, and goes on hearing from the other one (5.4)."""
        other = await self.second_node()
        carol, alice = self.udp("carol"), self.udp()

        def took(message: Message) -> None:
            if not message.method:
                return
            value = 100 if self.sent_by(message) == other.address else 0
            vias = message.lines("via")
            params = f';oc={value};oc-algo="loss";oc-validity=60000;oc-seq=1.1'
            answered = message.copy().set("Via", vias[0].partition(";oc")[0] + params, *vias[1:])
            answered.answer = message.answer
            carol.reply(answered, 200)

        carol.on_message = took
        statuses: dict[str, list[int]] = {}
        for node in (other, self.node):
            for _ in range(10):
                message = alice.request("MESSAGE", f"sip:carol@{carol.where}")
                alice.send(message, to=(node.address, 5060))
                statuses.setdefault(node.name, []).append((await alice.final(message)).status)
        heard = [self.sent_by(message) for message in carol.heard if message.method]
        self.assertEqual(heard.count(other.address), 1)
        self.assertGreaterEqual(heard.count(self.node.address), 10)
        self.assertEqual(statuses["a"], [200] * 10)

    @requirement(141)
    async def test_what_is_held_back(self) -> None:
        """With oc=60 neither node sends on more than that share of new requests (5.5); of those in a dialog all (5.10.1)."""
        other = await self.second_node()
        carol, alice = self.udp("carol"), self.udp()

        def took(message: Message) -> None:
            if message.method in ("", "ACK"):
                return
            vias = message.lines("via")
            params = ';oc=60;oc-algo="loss";oc-validity=60000;oc-seq=1.1'
            answered = message.copy().set("Via", vias[0].partition(";oc")[0] + params, *vias[1:])
            answered.answer = message.answer
            carol.reply(answered, 200, body=carol.sdp() if message.method == "INVITE" else b"")

        carol.on_message = took
        for node in (self.node, other):
            where = (node.address, 5060)
            invite = alice.invite(f"sip:carol@{carol.where}")
            alice.send(invite, to=where)
            dialog = Dialog.of_caller(alice, invite, await alice.final(invite))
            alice.send(dialog.request("ACK", cseq=dialog.cseq), to=where)
            carol.heard.clear()
            statuses = Counter[int]()
            for _ in range(NEW // AT_ONCE):
                messages = [alice.request("MESSAGE", f"sip:carol@{carol.where}") for _ in range(AT_ONCE)]
                within = dialog.request("INFO")
                for message in (*messages, within):
                    alice.send(message, to=where)
                statuses.update([(await alice.final(message)).status for message in messages])
                self.assertEqual((await alice.final(within)).status, 200)
            heard = Counter(message.method for message in carol.heard)
            # 60 of 100 are held back, out of the new ones, which are 80 of 100 for all that the node knows yet
            self.assertTrue(NEW * 0.15 <= heard["MESSAGE"] <= NEW * 0.4, heard)
            self.assertEqual(heard["INFO"], NEW // AT_ONCE)
            self.assertEqual(statuses, {200: heard["MESSAGE"], 503: NEW - heard["MESSAGE"]})
            # a busy node hands some over to the other one, which holds back as much
            self.assertIn(node.address, [self.sent_by(m) for m in carol.heard if m.method == "MESSAGE"])
            bye = dialog.request("BYE")
            alice.send(bye, to=where)
            self.assertEqual((await alice.final(bye)).status, 200)

    @staticmethod
    def sent_by(message: Message) -> str:
        """The host of the topmost Via."""
        return message.lines("via")[0].split()[1].partition(";")[0].partition(":")[0]
