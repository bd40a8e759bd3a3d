"""Requests that other nodes take: hand-over, redirect, refusal (design claims 3 to 10)."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from tests.unit.services.sip.test_hooks import Hook
from tests.unit.services.sip.test_proxy import BOB, CallCase
from tests.unit.services.sip_world import KEY, Node
from tests.unit.sip.messages import response
from voipcluster.address import Flow
from voipcluster.balance.decision import Own
from voipcluster.balance.handover import Handover, HandoverTokens
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload
from voipcluster.services.sip.placing import PATIENCE
from voipcluster.services.sip.riding import Riding
from voipcluster.services.transaction.downstream import Downstreams
from voipcluster.sip.message import Request
from voipcluster.sip.route import route_uri
from voipcluster.sip.uri import parse_uri


class ClusterCase(CallCase):
    mode = "forward"
    auth = False

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b, self.c = (self.world.node(name, self.mode, self.auth) for name in "abc")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")

    def registered(self, node: Node, transport: str = "UDP", port: int = 5060, contact: str = "") -> None:
        self.bob = self.world.phone("bob", "198.51.100.2", transport, port)
        self.bob.contact = contact
        self.bob.register(node)
        self.assertEqual(self.bob.took(), [200])

    def sent_to(self, node: Node, method: str) -> list[bytes]:
        start = method.encode() + b" "
        return [d for _, to, d in self.world.network.log if to == node.address and d.startswith(start)]


class OtherDomainsTests(ClusterCase):
    """Nodes that were started with different settings."""

    auth = True

    def test_served_where_it_came(self) -> None:
        """A node that does not serve the domain answers 503 and says so once in its log; the first one serves it itself."""
        for node in (self.b, self.c):
            node.core.names = evolve(node.core.names, domains=("other.example",))
        self.a.load(0.8)
        uri = "sip:example.com"
        self.alice.send(self.a, "REGISTER", uri, call_id="reg", headers=["Expires: 600"])
        answer = self.alice.credentials(self.alice.response(401), "REGISTER", uri)
        with capturedLogs() as events:
            self.alice.send(self.a, "REGISTER", uri, call_id="reg", cseq=2, headers=["Expires: 600", answer])
        self.assertEqual(self.alice.took()[-1], 200)
        self.assertEqual(set(self.a.placing.handed_over), {"b", "c"})
        said = [text for event in events if "cluster.domain" in (text := formatEvent(event))]
        self.assertEqual(len(said), 2, "each of the two said it")
        self.assertIn("node a hands over a request for 'example.com'", said[0])
        self.assertIn("cluster.domain must be the same on all nodes", said[0])

    def test_a_stranger(self) -> None:
        """The same for a call to a user of the first node's domain by somebody who is no user."""
        for node in (self.b, self.c):
            node.core.names = evolve(node.core.names, domains=("other.example",))
        self.a.load(0.8)
        for flow, status in (("198.51.100.7", 503), (self.alice.address[0], 480)):
            # places that are left are for those who are known, and what a says of bob, who is nowhere
            if status == 480:
                self.a.limiting.proved(Flow("UDP", self.a.address, self.alice.address), "alice@example.com")
            caller = self.world.phone("x", flow)
            caller.send(self.a, "INVITE", BOB, from_uri="sip:x@elsewhere.example", call_id=f"call-{status}")
            self.assertEqual(set(self.a.placing.handed_over), {"b", "c"})
            self.assertEqual(caller.took()[-1], status)


class BehindAnotherNodeTests(ClusterCase):
    """The phone is registered at b, its call is served by a."""

    def test_udp(self) -> None:
        """A phone whose Contact says where it is gets the INVITE over the node that owns its flow (RFC 5626 section 5.3)."""
        self.registered(self.b)
        ok = self.call(self.alice, self.bob, self.a)
        (invite,) = self.sent_to(self.b, "INVITE")
        self.assertIn(b"flow=", invite)
        self.assertEqual(len(self.b.calls), 0)
        # the phone sees no Route of ours, and the Record-Route of the serving node only
        self.assertEqual(self.invite.get_all("route"), [])
        self.assertEqual([route_uri(r).host for r in self.invite.values("record-route")], ["192.0.2.1"])
        self.caller_hangs_up(self.alice, self.bob, self.a, ok)
        self.assertEqual(len(self.a.calls), 0)

    def test_tcp_behind_nat(self) -> None:
        """So does a phone on TCP behind a NAT, from INVITE to BYE."""
        self.registered(self.b, "TCP", 41000, contact="sip:bob@10.1.1.1;transport=tcp")
        ok = self.call(self.alice, self.bob, self.a)
        self.assertEqual(self.a.transport.connections, {})
        self.caller_hangs_up(self.alice, self.bob, self.a, ok)
        self.assertEqual(len(self.a.calls), 0)

    def test_altered_flow_token(self) -> None:
        """A flow token that was altered, or is no token, gets 403 (RFC 5626 section 5.3.1)."""
        for text in ("A" * 40, "", "x"):
            self.alice.send(self.b, "INVITE", BOB, routes=[f"<sip:192.0.2.2;lr;flow={text}>"])
        self.assertEqual(self.alice.took(), [403, 403, 403])

    def test_flow_is_gone(self) -> None:
        """The connection to the phone broke meanwhile: 430 between the nodes, 480 to the caller (RFC 5626 section 5.3.1)."""
        self.registered(self.b, "TCP", 41000)
        number = self.b.transport.connection_to(self.bob.address)
        del self.b.transport.connections[number]  # and the word of it has not come to a yet
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual(self.alice.took(), [100, 480])
        self.assertEqual(len(self.a.calls), 0)

    def test_connection_lost(self) -> None:
        """A connection that closes takes its binding with it on every node (RFC 5626 section 4.2.2)."""
        self.registered(self.b, "TCP", 41000)
        self.b.transport.lose(self.bob.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual(self.alice.took(), [480])

    def test_phone_unreachable(self) -> None:
        """ICMP at the owner of the flow: the caller hears 480 at once."""
        self.registered(self.b)
        self.world.network.closed.add(self.bob.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.world.wait(0.2)
        self.assertEqual(self.alice.took(), [100, 480])

    def test_cancel(self) -> None:
        """CANCEL goes through both nodes."""
        self.registered(self.b)
        self.alice.send(self.a, "INVITE", BOB, branch="x")
        invite = self.bob.request()
        self.bob.reply(invite, 180)
        self.alice.send(self.a, "CANCEL", BOB, branch="x")
        self.bob.reply(self.bob.request("CANCEL"), 200)
        self.bob.reply(invite, 487)
        self.assertEqual(self.alice.took(), [100, 180, 200, 487])
        self.assertEqual(self.bob.took(), ["INVITE", "CANCEL", "ACK"])

    def test_owner_is_down(self) -> None:
        """The owner of the flow is down: a phone that is where its Contact says is reached directly, another one not."""
        self.registered(self.b)
        self.a.down.add("b")
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual(self.sent_to(self.b, "INVITE"), [])
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.bob.register(self.b, expires=0)
        self.registered(self.b, "TCP", 41000, contact="sip:bob@10.1.1.1;transport=tcp")
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual(self.alice.took() + self.bob.took(), [480])


class HandOverTests(ClusterCase):
    def setUp(self) -> None:
        super().setUp()
        self.registered(self.a)

    def test_hand_over(self) -> None:
        """Above its threshold a node hands the call to the first one below, which is in the Record-Route (claims 3 to 6)."""
        self.a.load(0.8)
        self.c.load(0.5)
        ok = self.call(self.alice, self.bob, self.a, at=self.b)
        self.assertEqual((len(self.a.calls), self.a.placing.handed_over), (0, {"b": 1}))
        self.assertEqual(self.b.placing.taken, 1)
        (handed,) = self.sent_to(self.b, "INVITE")
        self.assertIn(b"ho=", handed)
        self.assertEqual(self.invite.get_all("route"), [])
        self.assertEqual(route_uri(ok.values("record-route")[0]).host, "192.0.2.2")
        self.caller_hangs_up(self.alice, self.bob, self.b, ok)
        self.assertEqual(len(self.b.calls), 0)

    def test_counted_where_its_client_sent_it(self) -> None:
        """What clients send is what others plan with: a request that is handed over is no client's of the node that takes it."""
        counted: list[str] = []
        for name, node in (("a", self.a), ("b", self.b)):
            node.proxy.arrived = lambda name=name: counted.append(name)
        self.a.load(0.8)
        self.c.load(0.5)
        ok = self.call(self.alice, self.bob, self.a, at=self.b)
        self.caller_hangs_up(self.alice, self.bob, self.b, ok)
        self.assertEqual(counted, ["a"])

    def ride(self, node: Node) -> None:
        """Let a node put reports on what it hands over, and note those that it hears."""
        heard = self.rode.setdefault(node.core.node, [])
        node.core.riding = Riding(
            KEY, node.core.node, 1, lambda: node.own, lambda: 0,
            lambda name, rider: heard.append((name, round(rider.value, 3))),
        )  # fmt: skip

    def test_reports_ride(self) -> None:
        """Both nodes of a hand-over hear what the other one is like; neither caller nor callee gets to see it."""
        self.rode: dict[str, list[tuple[str, float]]] = {}
        for node in (self.a, self.b):
            self.ride(node)
        self.a.load(0.8)
        self.b.load(0.25)
        self.c.load(0.5)
        ok = self.call(self.alice, self.bob, self.a, at=self.b)
        self.caller_hangs_up(self.alice, self.bob, self.b, ok)
        self.assertEqual(self.rode, {"a": [("b", 0.25)], "b": [("a", 0.8)]})
        shown = [d for _, to, d in self.world.network.log if to in (self.alice.address, self.bob.address)]
        self.assertTrue(shown)
        for datagram in shown:
            self.assertNotIn(b";rp=", datagram)
            self.assertNotIn(b"cluster-report", datagram.lower())

    def test_a_forged_report(self) -> None:
        """A report that no node has made changes nothing, and the call goes its way."""
        self.rode = {}
        self.ride(self.a)
        self.ride(self.b)
        self.b.core.riding = Riding(
            bytes(32), "b", 1, lambda: self.b.own, lambda: 0, lambda name, rider: None
        )
        self.a.load(0.8)
        self.c.load(0.5)
        ok = self.call(self.alice, self.bob, self.a, at=self.b)
        self.caller_hangs_up(self.alice, self.bob, self.b, ok)
        assert self.a.core.riding is not None
        self.assertEqual((self.rode["a"], self.a.core.riding.refused), ([], 1))

    def test_callee_hangs_up(self) -> None:
        """The callee's BYE goes to the serving node, and from there to the caller whose flow node a owns."""
        self.a.load(0.8)
        alice = self.world.phone("alice", "198.51.100.1", port=3333)
        alice.send(self.a, "INVITE", BOB, contact="sip:alice@10.0.0.7", sent_by="10.0.0.7")
        self.bob.reply(self.bob.request("INVITE"), 200)
        self.invite = self.bob.request("INVITE")
        self.bob.took()
        self.assertEqual(alice.took(), [100, 200])
        self.callee_hangs_up(alice, self.bob, self.b)
        self.assertEqual(len(self.b.calls), 0)

    def test_true_client(self) -> None:
        """The node that takes the call knows the client's true address, transport and the node it came to (claim 9)."""
        self.a.load(0.8)
        alice = self.world.phone("alice", "203.0.113.9", port=3333)
        alice.send(self.a, "INVITE", BOB, sent_by="10.0.0.7", branch="x")
        (call,) = self.b.calls
        self.assertEqual((call.source, call.transport), ("203.0.113.9:3333", "UDP"))
        self.assertEqual((call.ingress, call.visited), ("a", ("a",)))
        alice.send(self.a, "CANCEL", BOB, branch="x", sent_by="10.0.0.7")
        self.bob.reply(self.bob.request("INVITE"), 486)
        self.assertEqual(alice.took(), [100, 200, 487])

    def test_silent_node(self) -> None:
        """No sign of life for 1 s: the next node is asked, and the second failure makes the first one unknown (claim 10)."""
        self.a.load(0.8)
        self.c.load(0.5)
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.world.wait(0.95)
        self.assertEqual(self.bob.took(), [])
        self.world.wait(0.15)
        self.assertEqual(self.bob.took(), ["INVITE"])
        self.assertEqual(self.a.placing.handed_over, {"b": 1, "c": 1})
        self.world.network.lost.clear()
        self.c.calls.end(next(iter(self.c.calls)).key, "end of the test")

    def late(self) -> tuple[Request, Request]:
        """Node b gives its sign of life too late, and c is asked; the INVITEs that Bob gets from c and from b."""
        self.a.load(0.8)
        self.c.load(0.5)
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.world.wait(1.1)
        by_c = self.bob.request("INVITE")
        self.bob.took()
        self.world.network.lost.clear()
        self.world.wait(0.6)  # node b gets a copy of the INVITE now
        by_b = self.bob.request("INVITE")
        self.assertEqual(set(self.bob.took()), {"INVITE"})
        self.assertNotEqual(by_c.top_via.branch, by_b.top_via.branch)
        self.assertEqual(self.alice.took(), [100])
        return by_c, by_b

    def all_is_over(self) -> None:
        self.assertEqual([len(node.calls) for node in (self.a, self.b, self.c)], [0, 0, 0])

    def test_slow_node_is_cancelled(self) -> None:
        """A node that is too late gets CANCEL as soon as it rings over another one, and its 487 is not what the caller hears."""
        by_c, by_b = self.late()
        self.assertEqual(self.sent_to(self.b, "CANCEL"), [])
        self.bob.reply(by_c, 180)
        self.assertEqual(len(self.sent_to(self.b, "CANCEL")), 1)
        self.bob.reply(by_b, 180)
        self.assertEqual(self.bob.took(), ["CANCEL"])
        self.bob.reply(by_b, 487)
        self.bob.reply(by_c, 486)
        self.assertEqual(self.alice.took(), [180, 486])
        self.all_is_over()

    def test_slow_node_comes_first(self) -> None:
        """A phone that has the INVITE of the late node refuses that of the next one with 482 (8.2.2.2): nobody hears of it."""
        by_c, by_b = self.late()
        self.bob.reply(by_c, 482)
        self.assertEqual(self.alice.took(), [])
        self.bob.reply(by_b, 180)
        self.bob.reply(by_b, 486)
        self.assertEqual(self.alice.took(), [180, 486])
        self.all_is_over()

    def test_slow_node_rings_first(self) -> None:
        """The same when it rings before the other copy has come to the phone."""
        by_c, by_b = self.late()
        self.bob.reply(by_b, 180)
        self.assertEqual(self.alice.took(), [180])
        self.bob.reply(by_c, 482)
        self.bob.reply(by_b, 486)
        self.assertEqual(self.alice.took(), [486])
        self.all_is_over()

    def late_and_here(self) -> tuple[Request, Request]:
        """Node b gives its sign of life too late, and a serves the call itself; the INVITEs that Bob gets from a and from b."""
        self.a.load(0.8)
        self.c.load(0.8)
        self.ends: list[tuple[str, str]] = []
        for node in (self.a, self.b):
            node.calls.over = lambda call, reason, name=node.name: self.ends.append((name, reason))
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB, branch="x")
        self.world.wait(1.1)
        by_a = self.bob.request("INVITE")
        self.assertEqual((self.bob.took(), len(self.a.calls)), (["INVITE"], 1))
        self.world.network.lost.clear()
        self.world.wait(0.6)  # node b gets a copy of the INVITE now
        through = self.b.address[0]  # and a, who owns the flow to Bob
        by_b = next(m for m in self.bob.inbox if isinstance(m, Request) and through in str(m.get_all("via")))
        self.assertEqual((set(self.bob.took()), self.alice.took()), ({"INVITE"}, [100, 100]))
        return by_a, by_b

    def test_served_here_and_rings(self) -> None:
        """Where the phone rings by the copy of this node, the late one gets CANCEL."""
        by_a, by_b = self.late_and_here()
        self.assertEqual(self.sent_to(self.b, "CANCEL"), [])
        self.bob.reply(by_a, 180)
        self.assertEqual(len(self.sent_to(self.b, "CANCEL")), 1)
        self.bob.reply(by_b, 487)
        self.bob.reply(by_a, 486)
        self.assertEqual(self.alice.took(), [180, 486])
        self.assertEqual(self.ends, [("b", "failed 487"), ("a", "failed 486")])
        self.all_is_over()

    def test_served_here_too_late(self) -> None:
        """
        The phone has the copy of the late node, and merges that of this one (482, section 8.2.2.2).

        The answer to the former is the caller's. The call is one of that node's, and not one of this node's.
        """
        by_a, by_b = self.late_and_here()
        self.bob.reply(by_a, 482)
        self.assertEqual(self.alice.took(), [])
        self.bob.reply(by_b, 180)
        self.bob.reply(by_b, 486)
        self.assertEqual(self.alice.took(), [180, 486])
        self.assertEqual(self.ends, [("b", "failed 486"), ("a", "served elsewhere")])
        self.all_is_over()

    def test_served_here_and_answered_there(self) -> None:
        """The late node's phone rings before anything is heard of the other copy: it is the one that counts, up to its BYE."""
        by_a, by_b = self.late_and_here()
        self.bob.reply(by_b, 180)
        self.bob.reply(by_a, 482)
        self.bob.reply(by_b, 200)
        self.assertEqual(self.alice.took(), [180, 200])
        self.assertEqual(self.ends, [("a", "served elsewhere")])
        self.assertEqual([len(node.calls) for node in (self.a, self.b, self.c)], [0, 1, 0])
        self.b.calls.end(next(iter(self.b.calls)).key, "end of the test")

    def test_served_here_and_given_up(self) -> None:
        """A caller that gives up has both copies cancelled."""
        by_a, by_b = self.late_and_here()
        self.bob.reply(by_a, 180)
        self.alice.send(self.a, "CANCEL", BOB, branch="x")
        self.assertEqual(self.bob.took(), ["CANCEL"])
        self.bob.reply(by_b, 180)
        self.assertEqual(self.bob.took(), ["CANCEL"])
        for invite in (by_b, by_a):
            self.bob.reply(invite, 487)
        self.assertEqual(self.alice.took(), [180, 200, 487])
        self.all_is_over()

    def test_served_here_and_nothing_comes_of_the_other_one(self) -> None:
        """A node that is gone after all: Timer C ends its branch, and the caller hears that it is our fault."""
        by_a, _ = self.late_and_here()
        self.bob.reply(by_a, 482)
        self.world.network.lost.add(self.b.address)
        self.world.wait(230, step=0.5)
        self.assertEqual(set(self.alice.took()), {500})
        self.assertIn(("a", "failed 500"), self.ends)
        self.assertEqual(len(self.a.calls), 0)

    def test_served_here_when_a_hook_has_made_up_its_mind(self) -> None:
        """Meanwhile the late node is cancelled, and so it is not waited for where this node's copy is merged all the same."""
        hook = Hook()
        hook.verdict = waiting = Deferred()
        self.a.serving._hook = hook
        self.a.load(0.8)
        self.c.load(0.8)
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.world.wait(1.1)
        self.world.network.lost.clear()
        self.world.wait(0.6)
        self.bob.reply(self.bob.request("INVITE"), 487)
        self.assertEqual(len(self.sent_to(self.b, "CANCEL")), 1)
        self.bob.took()
        waiting.callback(None)
        self.world.run()
        self.bob.reply(self.bob.request("INVITE"), 482)
        self.assertEqual(self.alice.took()[-1], 500)
        self.all_is_over()

    def test_turned_down_here(self) -> None:
        """Where this node cannot bring it anywhere, the late one is not waited for."""
        self.a.load(0.8)
        self.c.load(0.8)
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", "sip:nobody@example.com")
        self.world.wait(1.1)
        self.assertEqual(self.alice.took()[-1], 404)
        self.world.network.lost.clear()
        self.world.wait(0.6)
        self.all_is_over()

    def busy(self) -> None:
        """Node a reads late, and hands a call over to b, which is not heard."""
        self.a.load(0.8)
        self.c.load(0.5)
        self.a.own = evolve(self.a.own, delay=1.0)
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.world.wait(1.2)
        self.assertEqual(self.a.placing.handed_over, {"b": 1})

    def test_this_node_is_slow(self) -> None:
        """What another node has said may lie unread in the own socket: it is no silence before that is read (claim 10)."""
        self.busy()
        self.world.network.lost.clear()
        self.world.wait(0.4)
        self.bob.reply(self.bob.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.assertEqual(self.a.placing.handed_over, {"b": 1})

    def test_this_node_becomes_slower(self) -> None:
        """The longer it takes to read, the longer it waits; for some seconds at most."""
        self.busy()
        self.a.own = evolve(self.a.own, delay=60.0)
        self.world.wait(PATIENCE - 0.4)
        self.assertEqual(self.a.placing.handed_over, {"b": 1})
        self.world.wait(0.6)
        self.assertEqual(self.a.placing.handed_over, {"b": 1, "c": 1})
        self.world.network.lost.clear()
        self.bob.reply(self.bob.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_this_node_is_slow_and_the_other_one_silent(self) -> None:
        """It is waited for until what had come by then is read, and no longer."""
        self.busy()
        self.world.wait(0.6)
        self.assertEqual(self.a.placing.handed_over, {"b": 1})
        self.world.wait(0.4)
        self.assertEqual(self.a.placing.handed_over, {"b": 1, "c": 1})
        self.world.network.lost.clear()
        self.bob.reply(self.bob.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_last_resort_is_here(self) -> None:
        """Nobody else answers: the node serves the call itself, and who answers late is cancelled (claim 10)."""
        self.a.load(0.8)
        self.c.load(0.94)
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.world.wait(1.1)
        mine = self.bob.request("INVITE")
        self.bob.took()
        self.assertEqual(len(self.a.calls), 1)
        self.world.network.lost.clear()
        self.world.wait(0.6)
        late = self.bob.request("INVITE")
        self.assertEqual(self.sent_to(self.b, "CANCEL"), [])  # the phone may have that copy and no other
        self.bob.reply(mine, 180)
        self.assertEqual(len(self.sent_to(self.b, "CANCEL")), 1)
        self.bob.reply(late, 180)
        self.bob.reply(late, 487)
        self.assertEqual(len(self.b.calls), 0)
        self.bob.took()
        self.world.wait(190, step=0.5)
        self.assertEqual({s for s in self.alice.took() if s != 100}, {180})
        self.bob.reply(mine, 486)
        self.assertIn(486, self.alice.took())
        self.assertEqual(len(self.a.calls), 0)

    def test_refused_by_one(self) -> None:
        """A node that answers 503 is passed over for the next one (claim 10)."""
        self.a.load(0.8)
        self.c.load(0.5)
        self.b.own = Own(Workload(cpu=0.99), NodeState.FULL, drowning=True)  # and nobody has heard of it
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual(self.a.placing.handed_over, {"b": 1, "c": 1})
        self.assertEqual((self.b.placing.refused, len(self.c.calls)), (1, 1))
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_not_asked_again_by_the_next(self) -> None:
        """The next node does not ask the one that gave no sign of life: no request comes to a node over two ways (claim 10)."""
        self.a.load(0.8)
        self.c.load(0.5)
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.c.own = Own(Workload(calls=0.9), NodeState.SHED)  # and nobody has heard of it
        self.world.wait(1.1)
        self.assertEqual(self.a.placing.handed_over, {"b": 1, "c": 1})
        self.assertEqual((self.c.placing.handed_over, len(self.c.calls)), ({}, 1))
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.world.network.lost.clear()

    def full(self, node: Node) -> None:
        """Be full without telling anybody: the others believe in their last report."""
        before = self.world.tell
        self.world.tell = lambda: None
        node.load(0.99)
        self.world.tell = before

    def test_refused_by_all(self) -> None:
        """When everybody refuses the caller gets 503, without Retry-After (RFC 7339 section 5.10.2)."""
        self.full(self.b)
        self.full(self.c)
        self.full(self.a)
        self.alice.send(self.a, "INVITE", BOB)
        answer = self.alice.response(503)
        self.assertIsNone(answer.get("retry-after"))
        self.assertEqual(self.alice.took(), [100, 503])
        self.assertEqual(self.bob.took(), [])
        for node in (self.a, self.b, self.c):
            self.assertEqual(len(node.calls), 0)

    def test_all_known_to_be_full(self) -> None:
        """The same when it is known before: nobody is asked, and no state is kept."""
        for node in (self.a, self.b, self.c):
            node.load(0.99)
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual(self.alice.took(), [503])
        self.assertEqual([key for key in self.a.transactions.servers if key[-1] == "INVITE"], [])
        self.assertEqual(self.a.placing.refused, 1)

    def test_a_copy_of_what_was_refused(self) -> None:
        """
        It is refused too, though there is room now: its caller has heard the first answer, and nobody would hear another one.

        A call that it began would ring at a phone whose caller is gone. An INVITE that is new is served (17.1.1.2, 17.2.1).
        """
        for node in (self.a, self.b, self.c):
            node.load(0.99)
        self.alice.send(self.a, "INVITE", BOB, branch="x")
        for node in (self.a, self.b, self.c):
            node.load(0.1)
        self.alice.send(self.a, "INVITE", BOB, branch="x")
        self.assertEqual((self.alice.took(), self.bob.took()), ([503, 503], []))
        self.alice.send(self.a, "INVITE", BOB, branch="y", cseq=2)
        self.assertEqual((self.alice.took(), self.bob.took()), ([100], ["INVITE"]))
        self.alice.send(self.a, "CANCEL", BOB, branch="y", cseq=2)
        self.world.wait(1.0)

    def test_below_the_hard_limit(self) -> None:
        """Nobody is below the threshold, but below the hard limit: served here (claim 10)."""
        for node in (self.a, self.b, self.c):
            node.load(0.8)
        self.alice.send(self.a, "INVITE", BOB, branch="x")
        self.assertEqual(len(self.a.calls), 1)
        self.bob.reply(self.bob.request(), 486)

    def test_cancel_while_silent(self) -> None:
        """A caller that gives up while nobody answered the hand-over gets 487; the node is cancelled when it speaks."""
        self.a.load(0.8)
        self.c.load(0.94)
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB, branch="x")
        self.alice.send(self.a, "CANCEL", BOB, branch="x")
        self.assertEqual(self.alice.took(), [100, 200])
        self.world.network.lost.clear()
        self.world.wait(0.6)
        self.bob.reply(self.bob.request("INVITE"), 180)
        self.bob.reply(self.bob.request("INVITE"), 487)
        self.assertEqual(self.alice.took(), [180, 487])
        self.assertEqual(len(self.b.calls), 0)

    def test_register(self) -> None:
        """A REGISTER is handed over too; the binding stays with the node that owns the flow, Service-Route names the other."""
        self.a.load(0.8)
        carol = self.world.phone("carol", "198.51.100.3")
        carol.register(self.a)
        answer = carol.response(200)
        self.assertEqual(route_uri(answer.values("service-route")[0]).host, "192.0.2.2")
        for node in (self.a, self.b):
            (binding,) = node.registrar.lookup("carol@example.com")
            self.assertEqual(binding.node, "a")

    def test_tokens(self) -> None:
        """An altered token, one for another Call-ID and one too old are refused with 403, and nothing is relayed (claim 6)."""
        now = self.world.clock.seconds()
        client = Handover(Flow("UDP", self.a.address, self.alice.address), "a", "alice@example.com")
        tokens = HandoverTokens(KEY)
        good = tokens.seal(client, "call-1", now)
        altered = ("B" if good[0] == "A" else "A") + good[1:]
        foreign = HandoverTokens(bytes(32)).seal(client, "call-1", now)
        old = tokens.seal(client, "call-1", now - 40)
        other = tokens.seal(client, "call-2", now)
        for token in (altered, foreign, old, other, ""):
            self.alice.send(self.b, "INVITE", BOB, routes=[f"<sip:192.0.2.2;lr;ho={token}>"])
            self.assertEqual(self.alice.took(), [403], token)
        self.assertEqual(self.bob.took(), [])
        self.assertEqual(len(self.b.transactions), 0)

    def test_retry_is_served(self) -> None:
        """A hand-over that made its hops is served wherever it is, below the hard limit (hop budget)."""
        for node in (self.b, self.c):
            node.load(0.9)
        self.a.load(0.5)
        now = self.world.clock.seconds()
        flow = Flow("UDP", self.a.address, self.alice.address)
        token = HandoverTokens(KEY).seal(Handover(flow, "a", None, ("a", "c"), 2), "call-1", now)
        self.alice.send(self.b, "INVITE", BOB, routes=[f"<sip:192.0.2.2;lr;ho={token}>"])
        self.assertEqual((len(self.b.calls), self.b.placing.handed_over), (1, {}))
        self.bob.reply(self.bob.request(), 486)


class AuthenticatedHandOverTests(ClusterCase):
    auth = True

    def test_no_second_challenge(self) -> None:
        """Who authenticated at the first node is not challenged by the second, which knows the user (claim 9)."""
        self.a.load(0.8)
        self.alice.send(self.a, "INVITE", BOB, cseq=1)
        challenge = self.alice.response(407)
        self.assertEqual(self.alice.took(), [407])
        self.assertEqual(len(self.a.transactions), 0)  # a challenge keeps no state
        self.bob.send(self.a, "REGISTER", "sip:example.com", call_id="r", headers=["Expires: 60"])
        credentials = self.bob.credentials(self.bob.response(401), "REGISTER", "sip:example.com")
        self.bob.send(
            self.a, "REGISTER", "sip:example.com", call_id="r", cseq=2, headers=["Expires: 60", credentials]
        )
        self.assertEqual(self.bob.took(), [401, 200])
        self.alice.send(
            self.a, "INVITE", BOB, cseq=2, headers=[self.alice.credentials(challenge, "INVITE", BOB)]
        )
        self.assertEqual(self.alice.took(), [100])
        (call,) = self.b.calls
        self.assertEqual(call.user, "alice@example.com")
        invite = self.bob.request("INVITE")
        self.assertIsNone(invite.get("proxy-authorization"))
        self.bob.reply(invite, 486)


class RedirectTests(ClusterCase):
    mode = "redirect"

    def redirected(self) -> tuple[str, Request]:
        """The Contact of a 302, and the INVITE that Bob gets when Alice follows it."""
        self.a.load(0.8)
        self.alice.send(self.a, "INVITE", BOB)
        moved = self.alice.response(302)
        self.assertEqual(self.alice.took(), [302])
        contact = moved.values("contact")[0].strip("<>")
        uri = parse_uri(contact)
        self.assertEqual((uri.user, uri.host), ("bob", "192.0.2.2"))
        self.alice.send(self.a, "ACK", BOB, branch=str(self.world.branches), to_tag=moved.to_tag or "")
        self.a.load(0.1)
        self.b.load(0.9)
        self.alice.send(self.b, "INVITE", contact, cseq=2)
        return contact, self.bob.request("INVITE")

    def test_redirect(self) -> None:
        """302 with the chosen node's address; the request with its token is served there, never redirected again (claim 3)."""
        self.registered(self.a)
        _, invite = self.redirected()
        self.assertEqual(self.alice.took(), [100])
        self.assertEqual(invite.uri, self.bob.uri)
        self.assertEqual((self.a.placing.redirected, len(self.b.calls)), ({"b": 1}, 1))
        (call,) = self.b.calls
        self.assertEqual(call.callee, BOB)
        self.bob.reply(invite, 486)
        self.assertEqual(self.alice.took(), [486])

    def test_outbound_proxy(self) -> None:
        """A phone whose Route holds for redirected requests, too, is handed over by the node that it comes back to."""
        self.registered(self.a)
        self.a.load(0.8)
        self.alice.send(self.a, "INVITE", BOB)
        moved = self.alice.response(302)
        self.alice.took()
        contact = moved.values("contact")[0].strip("<>")
        self.alice.send(self.a, "INVITE", contact, cseq=2, routes=["<sip:192.0.2.1;lr>"])
        self.assertEqual(self.alice.took(), [100])
        self.assertEqual((self.a.placing.redirected, self.a.placing.handed_over), ({"b": 1}, {"b": 1}))
        (call,) = self.b.calls
        self.assertEqual((call.callee, call.visited), (BOB, ("a",)))
        self.bob.reply(self.bob.request("INVITE"), 486)

    def test_token_of_another_call(self) -> None:
        """The token in the Contact is for that call, and for a short while: else 403."""
        self.registered(self.a)
        contact, invite = self.redirected()
        self.bob.reply(invite, 486)
        self.alice.took()
        self.alice.send(self.b, "INVITE", contact, call_id="other")
        self.assertEqual(self.alice.took(), [403])
        self.world.wait(40, step=0.5)
        self.alice.took()
        self.alice.send(self.b, "INVITE", contact, cseq=3)
        self.assertEqual(self.alice.took(), [403])

    def test_tokens_are_not_exchanged(self) -> None:
        """A client's token is none for a Route, and a node's token is none for a client: 403."""
        self.registered(self.a)
        contact, invite = self.redirected()
        self.bob.reply(invite, 486)
        self.alice.took()
        token = parse_uri(contact).param("hop")
        self.alice.send(self.b, "INVITE", BOB, routes=[f"<sip:192.0.2.2;lr;ho={token}>"])
        flow = Flow("UDP", self.a.address, self.alice.address)
        node_token = HandoverTokens(KEY).seal(Handover(flow, "a"), "call-1", self.world.clock.seconds())
        self.alice.send(self.b, "INVITE", f"sip:bob@192.0.2.2:5060;hop={node_token};domain=example.com")
        self.assertEqual(self.alice.took(), [403, 403])

    def test_below_the_threshold(self) -> None:
        """A node that has room serves the call itself."""
        self.registered(self.a)
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual(self.alice.took(), [100])
        self.bob.reply(self.bob.request(), 486)

    def test_foreign_callee(self) -> None:
        """A call to a foreign URI cannot be redirected, for the Contact names a node: it is handed over."""
        self.a.load(0.8)
        self.registered(self.b)
        other = self.world.phone("dave", "203.0.113.5")
        self.alice.send(self.a, "INVITE", "sip:dave@203.0.113.5")
        self.assertEqual(self.alice.took(), [100])
        self.assertEqual(self.a.placing.handed_over, {"b": 1})
        other.reply(other.request(), 486)

    def test_register_is_not_redirected(self) -> None:
        """Few phones follow a 302 to a REGISTER: it is handed over in every mode."""
        self.a.load(0.8)
        self.registered(self.a)
        self.assertEqual(self.a.placing.handed_over, {"b": 1})


class AutoTests(ClusterCase):
    mode = "auto"

    def test_known_agents_are_redirected(self) -> None:
        """In mode auto those are redirected that are known to follow; the others' calls are handed over (claim 3)."""
        self.a.load(0.8)
        self.registered(self.b)
        self.alice.send(self.a, "INVITE", BOB, headers=["User-Agent: baresip v3"], call_id="1")
        self.assertEqual(self.alice.took(), [302])
        self.alice.send(self.a, "INVITE", BOB, headers=["User-Agent: old phone"], call_id="2")
        self.assertEqual(self.alice.took(), [100])
        self.bob.reply(self.bob.request(), 486)


class HeldBackTests(ClusterCase):
    """Nodes that have asked for fewer requests (RFC 7339): between our own as between any others."""

    def setUp(self) -> None:
        super().setUp()
        self.downstreams = Downstreams(self.world.clock.seconds, lambda: 0.5)
        self.a.core.downstreams = self.downstreams
        self.registered(self.a)
        self.world.network.log.clear()

    def say(self, node: Node, params: str) -> None:
        vias = (f"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKours{params}", "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK2")
        self.downstreams.heard(node.address, response(503, vias=vias))

    def call(self) -> None:
        self.a.load(0.8)
        self.alice.send(self.a, "INVITE", BOB)

    def test_oc_is_offered(self) -> None:
        """To the node that a call is handed to, and not to the phone; more than loss to who is known to take part."""
        self.call()
        sent = [data for node in (self.b, self.c) for data in self.sent_to(node, "INVITE")]
        self.assertEqual(len(sent), 1)
        self.assertEqual(sent[0].count(b';oc;oc-algo="loss"'), 1)
        for node in (self.b, self.c):
            self.say(node, ';oc=0;oc-algo="loss";oc-validity=500;oc-seq=1')
        self.world.network.log.clear()
        self.alice.send(self.a, "INVITE", BOB, call_id="call-2")
        [data] = [data for node in (self.b, self.c) for data in self.sent_to(node, "INVITE")]
        self.assertEqual(data.count(b';oc;oc-algo="loss,rate"'), 1)
        self.assertNotIn(";oc", self.bob.request("INVITE").values("via")[0])

    def test_the_next_node_is_asked(self) -> None:
        """One that wants nothing gets nothing; it has refused, and is not down."""
        self.say(self.b, ';oc=100;oc-algo="loss";oc-validity=5000;oc-seq=1.0')
        self.say(self.c, ';oc=100;oc-algo="loss";oc-validity=5000;oc-seq=1.0')
        self.call()
        self.assertEqual(self.sent_to(self.b, "INVITE") + self.sent_to(self.c, "INVITE"), [])
        self.assertEqual(self.bob.took(), ["INVITE"], "served here, since nobody takes it")
        for name in "bc":
            node = self.a.membership.get(name)
            assert node is not None
            self.assertIsNot(node.state, NodeState.UNKNOWN)
        self.assertEqual(self.downstreams.held_back, 2)
