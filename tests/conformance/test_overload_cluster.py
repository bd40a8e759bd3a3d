"""Overload control (RFC 7339): a cluster of two nodes and one peer that takes part; control is of one hop, and so of one node."""

from __future__ import annotations

from typing import ClassVar

from demo.cluster import Node
from tests.conformance.case import ConformanceTestCase
from tests.conformance.marks import requirement
from tests.conformance.test_overload import told
from tests.conformance.wire import Message

TRUSTED = 'limits.trusted=["127.0.0.0/8"]'


class TwoNodesTests(ConformanceTestCase):
    share = "two nodes"
    options: ClassVar = ("--set", TRUSTED)

    async def second_node(self) -> Node:
        """A node that has joined ours, and is heard by it."""
        token = (await self.node.voipctl("join-token")).strip()
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

    @staticmethod
    def sent_by(message: Message) -> str:
        """The host of the topmost Via."""
        return message.lines("via")[0].split()[1].partition(";")[0].partition(":")[0]
