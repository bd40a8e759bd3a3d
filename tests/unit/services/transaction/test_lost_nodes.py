"""What other nodes were asked and will not answer any more."""

from __future__ import annotations

from tests.unit.services.sip.test_placing import ClusterCase
from tests.unit.services.sip.test_proxy import BOB
from voipcluster.services.transaction.lost_nodes import LostNodes


class LostNodesTests(ClusterCase):
    """Node a hands Alice's call over to b; then something is the matter with b."""

    def setUp(self) -> None:
        super().setUp()
        self.registered(self.c)
        self.a.load(0.8)
        self.c.load(0.3)
        self.lost = LostNodes(lambda name: self.a.transactions.towards({self.world.nodes[name].address}))

    def ringing(self) -> None:
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual(self.a.placing.handed_over, {"b": 1})
        self.bob.reply(self.bob.request("INVITE"), 180)
        self.invite = self.bob.request("INVITE")
        self.assertEqual((self.alice.took(), self.bob.took()), ([100, 180], ["INVITE"]))

    def rings_on(self) -> None:
        """Alice's call is still there, until Bob refuses it."""
        self.assertEqual((self.alice.took(), self.bob.took()), ([], []))
        self.bob.reply(self.invite, 486)
        self.assertEqual(self.alice.took(), [486])

    def test_silent(self) -> None:
        """A node that never answered: the next one is asked at once, and the silent one not again, when it comes back."""
        self.world.network.lost.add(self.b.address)
        self.alice.send(self.a, "INVITE", BOB)
        self.assertEqual((self.alice.took(), self.bob.took()), ([100], []))
        self.lost.silent("b")
        self.world.run()
        self.assertEqual(self.a.placing.handed_over, {"b": 1, "c": 1})
        self.assertEqual(self.bob.took(), ["INVITE"])
        self.world.network.log.clear()
        self.world.wait(5.0)
        self.assertEqual(self.sent_to(self.b, "INVITE"), [])

    def test_silent_while_it_rings(self) -> None:
        """A call that rings there is over for us, not after Timer C; should the node live, it is told by CANCEL (9.1)."""
        self.ringing()
        self.world.network.lost.add(self.b.address)
        self.lost.silent("b")
        self.world.run()
        self.assertEqual(len(self.sent_to(self.b, "CANCEL")), 1)
        self.assertEqual(self.a.placing.handed_over, {"b": 1, "c": 1})  # the next one is asked
        self.bob.reply(self.bob.request("INVITE"), 482)  # the phone has that call already (8.2.2.2)
        self.assertEqual(self.alice.took(), [500])  # she has sent it once
        self.world.network.lost.clear()
        self.bob.reply(self.invite, 486)  # b heard nothing of it, and rings on

    def test_told_once(self) -> None:
        """A silence is dealt with when it begins: what is asked of the node since is a matter of its own time-outs."""
        self.lost.silent("b")
        self.ringing()
        self.lost.silent("b")
        self.world.run()
        self.assertEqual((self.alice.took(), self.sent_to(self.b, "CANCEL")), ([], []))
        self.lost.heard("b", restarted=False)
        self.lost.silent("b")
        self.world.run()
        self.assertEqual(len(self.sent_to(self.b, "CANCEL")), 1)

    def test_started_anew(self) -> None:
        """What was asked before the link broke is not known to a node that has started anew."""
        self.ringing()
        self.lost.link_lost("b")
        self.world.run()
        self.assertEqual(self.alice.took(), [])
        self.lost.heard("b", restarted=True)
        self.world.run()
        self.assertEqual(len(self.sent_to(self.b, "CANCEL")), 1)

    def test_started_anew_unseen(self) -> None:
        """The same when it was so quick that its link is not known to be broken."""
        self.ringing()
        self.lost.heard("b", restarted=True)
        self.world.run()
        self.assertEqual(len(self.sent_to(self.b, "CANCEL")), 1)

    def test_only_the_link(self) -> None:
        """A link that breaks and comes back ends no call."""
        self.ringing()
        self.lost.link_lost("b")
        self.lost.heard("b", restarted=False)
        self.world.run()
        self.assertEqual(self.sent_to(self.b, "CANCEL"), [])
        self.rings_on()

    def test_no_member_any_more(self) -> None:
        """Of a node that is forgotten nothing is kept."""
        self.ringing()
        self.lost.link_lost("b")
        self.lost.forget("b")
        self.lost.link_lost("b")
        self.lost.heard("b", restarted=False)
        self.world.run()
        self.rings_on()

    def test_other_requests(self) -> None:
        """A request that is no INVITE is answered as if nobody were there, not after Timer F."""
        self.world.network.lost.add(self.b.address)
        self.a.load(0.8)
        self.alice.send(self.a, "MESSAGE", BOB, body="hello")
        self.assertEqual(self.bob.took(), [])
        self.lost.silent("b")
        self.world.run()
        self.assertEqual(self.bob.took(), ["MESSAGE"])  # over c
