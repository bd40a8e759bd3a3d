"""Calls between our users and strangers, with all that either side, or who poses as it, writes into later requests."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from tests.unit.services.sip.test_hostile import STRANGER, HostileWorld
from tests.unit.services.sip.test_proxy import BOB
from tests.unit.services.sip_world import Node, Phone
from voipcluster.sip.message import Request

ALICE = "sip:alice@example.com"
STARTING = ("INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REGISTER", "FETCH")
REFUSALS = (403, 407, 481)


@define
class Seat:
    """
    What a party of a dialog writes into its requests; whoever knows it can.

    @ivar phone: where it truly is.
    """

    phone: Phone
    name: str
    tag: str
    other: str
    routes: list[str]
    call_id: str = "k"

    def send(
        self,
        node: Node,
        method: str,
        uri: str,
        by: Phone | None = None,
        *,
        routes: Sequence[str] = (),
        name: str = "",
        contact: str | None = None,
        headers: Sequence[str] = (),
    ) -> None:
        """C{by}: from whom it comes, if not from the party itself; C{routes}: behind those of the dialog."""
        phone = by or self.phone
        own, phone.tag = phone.tag, self.tag
        phone.send(
            node, method, uri, from_uri=name or self.name, call_id=self.call_id, cseq=phone.world.branches + 10,
            to_tag=self.other, routes=[*self.routes, *routes], contact=contact, headers=headers,
        )  # fmt: skip
        phone.tag = own


class DialogWorld(HostileWorld):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.b = self.world.node("b", auth=True)
        self.evil.tag = "tag-evil"

    def stranger_calls(
        self, contact: str | None = None, *headers: str, to: str = BOB, callee: Phone | None = None
    ) -> tuple[Seat, Seat]:
        """A stranger calls bob: the seats of both."""
        callee = callee or self.bob
        self.evil.send(
            self.node, "INVITE", to, from_uri=STRANGER, call_id="k", contact=contact, headers=headers
        )
        invite = callee.request("INVITE")
        callee.reply(invite, 200)
        answer = self.evil.response(200)
        self.evil.took()
        callee.took()
        theirs = Seat(self.evil, STRANGER, self.evil.tag, callee.tag, self.ours(self.route_set(answer)))
        ours = Seat(callee, to, callee.tag, self.evil.tag, self.ours(self.route_set(invite)))
        return theirs, ours

    def through_the_carrier(self, contact: str, *headers: str) -> tuple[Seat, Seat]:
        """The same through a carrier, the gateway: the stranger sees what it sees."""
        direct, self.evil = self.evil, self.gateway
        seats = self.stranger_calls(contact, *headers)
        self.evil = direct
        return seats

    def ours(self, routes: Sequence[str]) -> list[str]:
        return [route for route in routes if "call=" in route]

    def alice_calls(self, contact: str = "", recorded: Sequence[str] = ()) -> tuple[Seat, Seat]:
        """
        Alice, who has not registered, calls the stranger.

        @param contact: what he answers as his Contact; C{recorded}: the Record-Route values that he adds.
        """
        uri = "sip:evil@203.0.113.9"
        self.alice.send(self.node, "INVITE", uri, call_id="k")
        proof = self.alice.credentials(self.alice.response(407), "INVITE", uri)
        self.alice.send(self.node, "INVITE", uri, call_id="k", cseq=2, headers=[proof])
        invite = self.evil.request("INVITE")
        self.evil.contact = contact
        self.evil.reply(invite, 200, headers=[("record-route", value) for value in recorded])
        self.evil.contact = ""
        answer = self.alice.response(200)
        self.alice.took()
        self.evil.took()
        ours = Seat(self.alice, ALICE, self.alice.tag, self.evil.tag, self.ours(self.route_set(answer)))
        theirs = Seat(
            self.evil,
            "sip:evil@203.0.113.9",
            self.evil.tag,
            self.alice.tag,
            self.ours(self.route_set(invite)),
        )
        return ours, theirs

    def moves(self, seat: Seat, peer: Phone, contact: str, method: str = "UPDATE", by: Phone | None = None,
              node: Node | None = None) -> None:  # fmt: skip
        """A party, or who poses as it, says that it is somewhere else; the other one takes it."""
        seat.send(node or self.node, method, peer.uri, by, contact=contact)
        peer.reply(peer.request(method), 200)
        self.assertEqual((by or seat.phone).took()[-1], 200)
        peer.took()

    def refused(self, phone: Phone, *allowed: int) -> None:
        """What was sent last was answered, and did not get to the gateway; nor does the ACK of an INVITE, later."""
        self.assertIn(phone.took()[-1], allowed or REFUSALS)
        self.assertEqual(self.gateway.took(), [])

    def arrives(self, at: Phone, method: str, sender: Phone) -> Request:
        """It came without being challenged; it is answered."""
        request = at.request(method)
        at.took()
        at.reply(request, 486)
        self.assertEqual([what for what in sender.took() if what not in (100, "ACK")], [486])
        return request
