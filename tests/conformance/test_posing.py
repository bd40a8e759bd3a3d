"""Toll fraud within a dialog (S7): strangers who send on in the name of our users, and our users who must not be asked for it."""

from __future__ import annotations

from demo.cluster import Node
from tests.conformance.case import Dialog
from tests.conformance.marks import attack
from tests.conformance.peer import Peer, response_to
from tests.conformance.test_attacks import AuthenticatedCase
from tests.conformance.wire import Message

STARTING = ("INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REGISTER")
FOREIGN = "<sip:eve@elsewhere.example>;tag=1"


class PosingCase(AuthenticatedCase):
    async def stranger_calls(
        self, stranger: Peer, callee: Peer, *headers: tuple[str, str]
    ) -> tuple[Dialog, Dialog]:
        """A stranger's call to one of us is up: both sides of it."""
        invite = stranger.invite(callee.user).set("From", FOREIGN)
        for name, value in headers:
            invite.set(name, value)
        stranger.send(invite)
        arrived = await callee.expect("INVITE")
        answer = callee.reply(arrived, 200, body=callee.sdp())
        theirs = Dialog.of_caller(stranger, invite, await stranger.expect(200))
        theirs.routes = [route for route in theirs.routes if "call=" in route]
        theirs.ack()
        await callee.expect("ACK")
        return theirs, Dialog.of_callee(callee, arrived, answer)

    async def moves(self, dialog: Dialog, other: Peer, contact: str, method: str = "UPDATE") -> None:
        """One side says that its Contact is elsewhere now."""
        request = dialog.request(method).set("Contact", f"<{contact}>")
        dialog.peer.send(request)
        other.reply(await other.expect(method), 200)
        await dialog.peer.final(request)
        if method == "INVITE":
            dialog.ack()
            await other.expect("ACK")

    async def refused(self, by: Peer, request: Message, *statuses: int) -> None:
        """It is answered by the node; for an INVITE the answer is acknowledged."""
        self.assertIn((await by.exchange(request)).status, statuses, request.start)

    def posing(self, by: Peer, dialog: Dialog) -> Dialog:
        """Somebody else with all that one side of a dialog writes into its requests."""
        made = Dialog(by, dialog.local, dialog.remote, dialog.call_id, dialog.target, dialog.routes)
        made.cseq = dialog.cseq + 100
        return made

    def udp_at(self, user: str) -> Peer:
        """Somebody who takes calls from the node by its address alone."""
        return self.udp(user)


class PosingTests(PosingCase):
    @attack("S7")
    async def test_in_the_name_of_a_callee(self) -> None:
        """Who called one of us gives a Contact at a carrier, then sends there with the tags swapped: 407 and 481."""
        carrier, stranger, callee = self.udp_at("carrier"), self.udp("eve"), await self.phone("bob")
        for method in ("UPDATE", "INVITE"):
            theirs, ours = await self.stranger_calls(stranger, callee)
            await self.moves(theirs, callee, f"sip:+1900@{carrier.where}", method)
            as_bob = self.posing(stranger, ours)
            as_bob.target = f"sip:+1900@{carrier.where}"
            for starting in STARTING:
                await self.refused(stranger, as_bob.request(starting), 407)
                foreign = as_bob.request(starting)
                foreign.set("From", FOREIGN.replace("tag=1", f"tag={foreign.tag('from')}"))
                await self.refused(stranger, foreign, 481)
            # as himself, to where he said that bob is
            as_bob.target = stranger.uri
            stranger.send(as_bob.request("UPDATE").set("Contact", f"<sip:+1900@{carrier.where}>"))
            stranger.reply(await stranger.expect("UPDATE"), 200)
            await stranger.expect(200, "UPDATE")
            theirs.target = f"sip:+1900@{carrier.where}"
            for starting in STARTING:
                await self.refused(stranger, theirs.request(starting), 481)
            stranger.send(self.posing(stranger, ours).request("BYE"))
            stranger.reply(await stranger.expect("BYE"), 200)
            await stranger.expect(200, "BYE")
        await carrier.silence()
        self.assertEqual(carrier.heard, [])  # no ACK either

    @attack("S7")
    async def test_planted_record_route(self) -> None:
        """A Record-Route that a stranger has planted at a carrier is not followed for who only knows the tags."""
        carrier, stranger, callee = self.udp_at("carrier"), self.udp("eve"), await self.phone("bob")
        planted = f"<sip:{carrier.where};lr>"
        for contact, statuses in ((stranger.uri, (407,)), (f"sip:eve@{self.peer_host(99)}", ())):
            theirs, ours = await self.stranger_calls(
                stranger, callee, ("Record-Route", planted), ("Contact", f"<{contact}>")
            )
            as_bob = self.posing(stranger, ours)
            self.assertEqual(as_bob.routes[-1], planted)
            for starting in STARTING:
                request = as_bob.request(starting)
                if statuses:
                    await self.refused(stranger, request, *statuses)
                else:
                    # back to himself, over the flow of his own INVITE
                    stranger.send(request)
                    stranger.reply(
                        await stranger.expect(starting, where=lambda m, r=request: m.cseq == r.cseq), 404
                    )
                    await stranger.final(request)
            stranger.send(theirs.request("BYE"))
            callee.reply(await callee.expect("BYE"), 200)
            await stranger.expect(200, "BYE")
        await self.node_answers()
        self.assertEqual([m for m in carrier.heard if m.method in STARTING], [])

    @attack("S7")
    async def test_in_the_name_of_a_caller(self) -> None:
        """The same by a stranger whom one of us called; the caller herself goes on, hold and resume, without a password."""
        carrier, stranger, caller = self.udp_at("carrier"), self.udp("eve"), await self.caller("alice")
        invite = caller.invite(stranger.uri)
        invite = caller.authorized(invite, await caller.exchange(invite))
        caller.send(invite)
        arrived = await stranger.expect("INVITE")
        assert arrived.answer is not None, "it was received"
        answer = response_to(arrived, 200, "OK", tag="eve").add("Contact", f"<sip:+1900@{carrier.where}>")
        arrived.answer(answer.to_bytes())
        ours = Dialog.of_caller(caller, invite, await caller.expect(200))
        ours.ack()
        await carrier.expect("ACK")
        as_alice = self.posing(stranger, ours)
        for starting in STARTING:
            await self.refused(stranger, as_alice.request(starting), 407)
        self.assertEqual([m for m in carrier.heard if m.method in STARTING], [])
        for direction in ("sendonly", "sendrecv"):
            hold = ours.request("INVITE", body=caller.sdp().replace(b"sendrecv", direction.encode()))
            caller.send(hold)
            carrier.reply(await carrier.expect("INVITE"), 200)
            self.assertEqual((await caller.final(hold)).status, 200)
            ours.ack()
            await carrier.expect("ACK")
        caller.send(ours.request("BYE"))
        carrier.reply(await carrier.expect("BYE"), 200)
        await caller.expect(200, "BYE")

    @attack("S7")
    async def test_a_phone_that_is_somewhere_else(self) -> None:
        """A phone behind a NAT that gave it another port: BYE and ACK as ever, a re-INVITE that leaves after one challenge."""
        moved, stranger, callee = self.udp("moved"), self.udp("eve"), await self.phone("bob")
        theirs, ours = await self.stranger_calls(stranger, callee)
        await self.moves(theirs, callee, moved.uri)
        rebound = self.udp("bob", host=callee.host, port=5099)
        elsewhere = self.posing(rebound, ours)
        elsewhere.target = moved.uri
        hold = elsewhere.request("INVITE", body=rebound.sdp())
        challenge = await rebound.exchange(hold)
        self.assertEqual(challenge.status, 407)
        again = rebound.authorized(hold, challenge)
        elsewhere.cseq += 1
        rebound.send(again)
        arrived = await moved.expect("INVITE")
        self.assertNotIn("proxy-authorization", arrived)
        moved.reply(arrived, 200, body=moved.sdp())
        self.assertEqual((await rebound.final(again)).status, 200)
        elsewhere.ack()
        await moved.expect("ACK")
        rebound.send(elsewhere.request("BYE"))
        moved.reply(await moved.expect("BYE"), 200)
        await rebound.expect(200, "BYE")


class TwoNodesTests(PosingCase):
    share = "two nodes"

    async def second_node(self) -> Node:
        """A node that has joined ours, and is heard by it."""
        token = str(await self.node.ask("join-token", ttl=3600.0, uses=1))
        made = Node(self.reactor, "b", self.address(200), self.folder)
        settings = (f'cluster.domain=["{self.domain}"]', "auth.required=true", "web.port=0")
        made.launch("secondary", "--join", token, *(word for each in settings for word in ("--set", each)))
        self.at_end(made.stop)
        await made.ready()

        async def heard() -> bool:
            rows = (await self.node.ask("status"))["nodes"]
            return any(row["name"] == "b" and row["workload"] is not None for row in rows)

        await self.until(heard, "the nodes hear of each other")
        return made

    @attack("S7")
    async def test_through_another_node(self) -> None:
        """The node that passes on to that of the call says where a request came from: the stranger is challenged, bob is not."""
        other = await self.second_node()
        carrier, stranger, callee = self.udp_at("carrier"), self.udp("eve"), await self.phone("bob")
        theirs, ours = await self.stranger_calls(stranger, callee)
        await self.moves(theirs, callee, f"sip:+1900@{carrier.where}")
        at = (self.node.address, 5060) if await self.calls_at(other) else (other.address, 5060)
        as_bob = self.posing(stranger, ours)
        as_bob.target = ours.target = f"sip:+1900@{carrier.where}"
        for starting in STARTING:
            request = as_bob.request(starting)
            stranger.send(request, to=at)
            self.assertEqual((await stranger.final(request)).status, 407, starting)
        await carrier.silence()
        hold = ours.request("INVITE", body=callee.sdp())
        callee.send(hold, to=at)
        carrier.reply(await carrier.expect("INVITE"), 200, body=carrier.sdp())
        self.assertEqual((await callee.final(hold)).status, 200)
        callee.send(ours.request("ACK", cseq=ours.cseq), to=at)
        await carrier.expect("ACK")
        bye = ours.request("BYE")
        callee.send(bye, to=at)
        carrier.reply(await carrier.expect("BYE"), 200)
        await callee.final(bye)

    async def calls_at(self, node: Node) -> bool:
        """Whether that node serves the call."""
        return any(row["node"] == node.name for row in await node.ask("calls", call_id=None))
