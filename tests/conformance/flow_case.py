"""What the tests of call flows share: calls with media, and requests that pass along a dialog."""

from __future__ import annotations

from typing import NamedTuple

from tests.conformance.case import ConformanceTestCase, Dialog, Message, Peer
from tests.conformance.rtp import Address, MediaPort, media_of


class Talk(NamedTuple):
    """
    A call that is up.

    @ivar caller: the caller's side of the dialog, C{callee} the other one; C{spoken}: the caller's media port,
        C{answered} the callee's.
    @ivar for_caller: the relay port that the caller was told, C{for_callee}: that of the callee.
    @ivar invite: as the callee got it.
    """

    caller: Dialog
    callee: Dialog
    spoken: MediaPort
    answered: MediaPort
    for_caller: Address
    for_callee: Address
    invite: Message


class FlowTestCase(ConformanceTestCase):
    def media(self, peer: Peer) -> MediaPort:
        return MediaPort(self, peer.host)

    async def talk(self, caller: Peer, callee: Peer, *headers: tuple[str, str], uri: str = "") -> Talk:
        """
        Bring up a call with media, and have both hear each other through the relay.

        @param uri: who is called, if not the callee's address of record.
        """
        spoken = self.media(caller)
        invite = caller.invite(uri or callee.user, *headers, body=spoken.sdp())
        caller.send(invite)
        return await self.take(caller, invite, spoken, callee)

    async def take(self, caller: Peer, invite: Message, spoken: MediaPort, callee: Peer) -> Talk:
        """Ring and answer an INVITE with an offer that has been sent."""
        arrived = await callee.expect("INVITE", where=lambda m: m.call_id == invite.call_id)
        callee.reply(arrived, 180)
        await caller.expect(180)
        answered = self.media(callee)
        ok = callee.reply(arrived, 200, body=answered.sdp())
        final = await caller.final(invite)
        self.assertEqual(final.status, 200)
        ours = Dialog.of_caller(caller, invite, final)
        ours.ack()
        await callee.expect("ACK", where=lambda m: m.call_id == invite.call_id)
        talk = Talk(
            ours,
            Dialog.of_callee(callee, arrived, ok),
            spoken,
            answered,
            self.relayed(final.body),
            self.relayed(arrived.body),
            arrived,
        )
        await self.both_hear(talk)
        return talk

    async def both_hear(self, talk: Talk) -> None:
        await talk.spoken.reaches(talk.for_caller, talk.answered)
        await talk.answered.reaches(talk.for_callee, talk.spoken)

    def relayed(self, body: bytes) -> Address:
        """Where a description that the node passed on says that media goes: one of its own ports."""
        address = media_of(body)
        self.assertEqual(address[0], self.node.address)
        return address

    async def passes(
        self,
        sender: Dialog,
        receiver: Dialog,
        method: str,
        *headers: tuple[str, str],
        body: bytes = b"",
        status: int = 200,
        answer: bytes = b"",
    ) -> tuple[Message, Message]:
        """
        One request along a dialog and its answer; an INVITE is acknowledged.

        @return: the request as it arrived, and the response as it came back.
        """
        request = sender.request(method, *headers, body=body)
        sender.peer.send(request)
        arrived = await receiver.peer.expect(method, where=lambda m: m.call_id == request.call_id)
        self.assertEqual(arrived.uri, receiver.peer.uri)
        self.assertNotIn("route", arrived)
        self.assertEqual(len(arrived.values("via")), 2)
        receiver.peer.reply(arrived, status, body=answer)
        response = await sender.peer.final(request)
        self.assertEqual(response.status, status)
        if method == "INVITE":
            if status < 300:
                sender.ack()
            else:
                sender.peer.ack(request, response)
            await receiver.peer.expect("ACK", where=lambda m: m.call_id == request.call_id)
        return arrived, response

    async def hangs_up(self, sender: Dialog, receiver: Dialog) -> None:
        await self.passes(sender, receiver, "BYE")

    async def subscribed(
        self,
        watcher: Peer,
        watched: Peer,
        *headers: tuple[str, str],
        method: str = "SUBSCRIBE",
        status: int = 200,
    ) -> tuple[Dialog, Dialog, Message]:
        """A SUBSCRIBE or REFER out of a dialog; both sides of the dialog that it makes, and the request as it arrived."""
        request = watcher.request(method, watched.user, *headers)
        watcher.send(request)
        arrived = await watched.expect(method)
        accepted = watched.reply(arrived, status)
        final = await watcher.final(request)
        self.assertEqual(final.status, status)
        return (
            Dialog.of_caller(watcher, request, final),
            Dialog.of_callee(watched, arrived, accepted),
            arrived,
        )

    async def notified(
        self, sender: Dialog, receiver: Dialog, event: str, state: str, body: bytes = b""
    ) -> Message:
        """A NOTIFY; as it arrived."""
        headers = [("Event", event), ("Subscription-State", state), ("Contact", f"<{sender.peer.uri}>")]
        arrived, _ = await self.passes(sender, receiver, "NOTIFY", *headers, body=body)
        self.assertEqual((arrived["event"], arrived["subscription-state"]), (event, state))
        self.assertEqual(arrived.body, body)
        return arrived
