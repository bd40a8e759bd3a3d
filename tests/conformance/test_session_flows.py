"""The call flows of RFC 3665 section 3: sessions through proxies, redirect servers and a relay."""

from __future__ import annotations

from typing import Any

from twisted.names import dns

from tests.conformance.case import Dialog, Message, Peer
from tests.conformance.dns_case import DnsCase, asks
from tests.conformance.flow_case import FlowTestCase
from tests.conformance.marks import flow
from tests.conformance.peer import response_to
from tests.conformance.rtp import media_of
from tests.conformance.shared_node import shared_node

_DNS = ("127.98.0.53", 5353)  # the nodes of this module ask there
_T1 = 0.05  # seconds; 64*T1 are 3.2 s


class SessionFlowTests(FlowTestCase):
    """At a node that asks for no passwords."""

    options = ("--set", "media.quarantine=0")

    @flow("RFC3665-3.5")
    async def test_media_gateway(self) -> None:
        """The relay stands in c= and m= of offer and answer, media passes both ways; a BYE gives the ports back."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        free = (await self.counts())["voipcluster_media_ports_free"]
        talk = await self.talk(caller, callee)
        self.assertNotEqual(talk.for_caller, talk.for_callee)
        for port, told in ((talk.spoken, talk.for_caller), (talk.answered, talk.for_callee)):
            self.assertEqual({source for _, source in port.heard}, {told})  # symmetric RTP (RFC 4961)
        self.assertLess((await self.counts())["voipcluster_media_ports_free"], free)
        await self.hangs_up(talk.callee, talk.caller)

        async def given_back() -> bool:
            return (await self.counts())["voipcluster_media_ports_free"] == free

        await self.until(given_back, "the ports are free again")
        heard = len(talk.answered.heard)
        talk.spoken.say(talk.for_caller)
        await self.node_answers()
        self.assertEqual(len(talk.answered.heard), heard)

    @flow("RFC3665-3.6")
    async def test_redirect_then_sdp_in_ack(self) -> None:
        """A 302 is passed back; the call to its Contact has its offer in the 200 and its answer in the ACK, both relayed."""
        caller, redirecting, callee = self.udp("alice"), await self.phone("bob"), await self.phone("carol")
        first = caller.request("INVITE", "bob")
        caller.send(first)
        moved = ("Contact", f"<{callee.aor}>;q=0.7")
        arrived = await redirecting.expect("INVITE")
        response = response_to(arrived, 302, "Moved Temporarily", "moved")
        arrived.answer(response.add(*moved).to_bytes())
        await redirecting.expect("ACK")
        final = await caller.final(first)
        caller.ack(first, final)
        self.assertEqual((final.status, final.values("contact")), (302, [moved[1]]))

        second = caller.request("INVITE", final.address("contact")).set("Call-ID", first.call_id)
        second.set("From", first["from"]).set("CSeq", f"{first.cseq[0] + 1} INVITE")
        caller.send(second)
        arrived = await callee.expect("INVITE")
        self.assertEqual(arrived.body, b"")
        spoken, answered = self.media(caller), self.media(callee)
        callee.reply(arrived, 180)
        await caller.expect(180)
        callee.reply(arrived, 200, body=answered.sdp())
        ok = await caller.final(second)
        for_caller = self.relayed(ok.body)
        dialog = Dialog.of_caller(caller, second, ok)
        dialog.ack(spoken.sdp())
        ack = await callee.expect("ACK")
        for_callee = self.relayed(ack.body)
        self.assertNotEqual(for_caller, for_callee)
        await spoken.reaches(for_caller, answered)
        await answered.reaches(for_callee, spoken)

    @flow("RFC3665-3.7")
    async def test_new_address(self) -> None:
        """A re-INVITE from another address travels the route set; the relay sends media to the new one, on the same ports."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(caller, callee)
        elsewhere = self.udp("bob", host=self.address(120))
        moved = self.media(elsewhere)
        talk.callee.peer = elsewhere
        arrived, response = await self.passes(
            talk.callee,
            talk.caller,
            "INVITE",
            body=moved.sdp(version=2),
            answer=talk.spoken.sdp(version=2),
        )
        self.assertEqual(arrived.address("contact"), elsewhere.uri)
        self.assertEqual(
            (self.relayed(arrived.body), self.relayed(response.body)), (talk.for_caller, talk.for_callee)
        )
        before = len(talk.answered.heard)
        await talk.spoken.reaches(talk.for_caller, moved)
        await moved.reaches(talk.for_callee, talk.spoken)
        self.assertEqual(len(talk.answered.heard), before)
        talk.caller.target = elsewhere.uri  # target refresh (RFC 3261 section 12.2.1.2)
        await self.hangs_up(talk.caller, talk.callee)

    @flow("RFC3665-3.8")
    async def test_no_answer(self) -> None:
        """The caller gives up: 200 at once, CANCEL on the branch of that hop, 487, and an ACK for each hop."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        free = (await self.counts())["voipcluster_media_ports_free"]
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 180)
        await caller.expect(180)
        self.assertEqual((await caller.final(caller.cancel(invite))).status, 200)
        cancel = await callee.expect("CANCEL")
        self.assertEqual(cancel.branch, arrived.branch)
        self.assertNotEqual(cancel.branch, invite.branch)
        callee.reply(cancel, 200)
        callee.reply(arrived, 487)
        ack = await callee.expect("ACK")
        self.assertEqual((ack.branch, len(ack.values("via"))), (arrived.branch, 1))
        final = await caller.final(invite)
        self.assertEqual(final.status, 487)
        caller.ack(invite, final)
        await callee.silence()

        async def given_back() -> bool:
            return (await self.counts())["voipcluster_media_ports_free"] == free

        await self.until(given_back, "the relay ports are free again")

    @flow("RFC3665-3.9")
    async def test_busy(self) -> None:
        """486 goes up; the node acknowledges it to the callee, and takes the caller's ACK."""
        await self.fails_with(486)

    @flow("RFC3665-3.11")
    async def test_temporarily_unavailable(self) -> None:
        """480 from the phone goes up as it is."""
        await self.fails_with(480)

    async def fails_with(self, status: int) -> None:
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, status, ("Retry-After", "60 (in a meeting)"), reason="Not Now")
        self.assertEqual((await callee.expect("ACK")).branch, arrived.branch)
        final = await caller.final(invite)
        self.assertEqual(final.start, f"SIP/2.0 {status} Not Now")
        self.assertEqual((final["retry-after"], final.tag("to")), ("60 (in a meeting)", "tag-bob"))
        caller.ack(invite, final)
        await callee.silence()


class SilenceFlowTests(FlowTestCase):
    """With fast timers."""

    options = ("--set", f"sip.t1={_T1}")

    @flow("RFC3665-3.10")
    async def test_no_response(self) -> None:
        """A callee that says nothing: 408 after 64*T1, copies of the INVITE taken, a late answer harmless."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        sent = self.reactor.seconds()
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        for _ in range(3):
            caller.send(invite)
        final = await caller.final(invite, 64 * _T1 + 20)
        caller.ack(invite, final)
        self.assertEqual(final.status, 408)
        self.assertGreater(final.at - sent, 64 * _T1 - 0.2)
        self.assertEqual({m.branch for m in callee.heard if m.method}, {arrived.branch})
        callee.reply(arrived, 486)
        await caller.silence(486)
        self.assertEqual(await self.node.ask("calls", call_id=invite.call_id), [])


class TwoProxyFlowTests(DnsCase, FlowTestCase):
    """Our node asks its users for passwords; the second proxy, of C{net}, is one more node, or a peer that plays one."""

    auth = True
    dns_at = _DNS
    options = (
        *(*asks(_DNS), "--set", "dns.next_after=0.5"),
        *("--set", "limits.requests_per_address=0"),
    )

    def server(self, name: str, peer: Peer) -> Peer:
        self.dns.add(f"{name}.{self.net}", dns.Record_A(peer.host))
        return peer

    async def user(self, name: str) -> Peer:
        await self.add_users(name)
        return self.udp(name)

    async def challenged(self, caller: Peer, invite: Message) -> Message:
        """Send an INVITE, take the 407, and give the INVITE with credentials."""
        challenge = await caller.exchange(invite)
        self.assertEqual(challenge.status, 407)
        return caller.authorized(invite, challenge)

    async def second_node(self) -> Any:
        options = (
            *(
                "--set",
                f'cluster.domain=["{self.net}"]',
                "--set",
                "auth.required=false",
                "--set",
                "web.port=0",
            ),
            *asks(_DNS),
        )
        module = self.network.rpartition(".")[0]
        return await shared_node(self.reactor, options, f"{module}.0", self.folder)

    @flow("RFC3665-3.2")
    async def test_two_proxies(self) -> None:
        """
        407 at the first one, 100 of each hop, a Record-Route of both, ACK and BYE along both, a Via for each hop, and
        Max-Forwards less by one at each; media through both relays.
        """
        node = await self.second_node()
        self.dns.add(self.net, dns.Record_A(node.address))
        caller, callee = await self.user("alice"), self.udp("bob")
        register = callee.request("REGISTER", f"sip:{self.net}", to=f"<sip:bob@{self.net}>")
        callee.send(register.add("Contact", f"<{callee.uri}>"), (node.address, 5060))
        self.assertEqual((await callee.final(register)).status, 200)

        spoken, answered = self.media(caller), self.media(callee)
        invite = await self.challenged(caller, caller.invite(f"sip:bob@{self.net}", body=spoken.sdp()))
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        await caller.expect(100)
        self.assertEqual(arrived.source[0], node.address)
        self.assertEqual(arrived["max-forwards"], "68")
        hosts = [value.split(" ")[1].partition(":")[0].partition(";")[0] for value in arrived.values("via")]
        self.assertEqual(hosts, [node.address, self.node.address, caller.host])
        routes = [self.host_of(value) for value in arrived.values("record-route")]
        self.assertEqual(routes, [node.address, self.node.address])
        self.assertNotIn("proxy-authorization", arrived)
        self.assertEqual(media_of(arrived.body)[0], node.address)
        callee.reply(arrived, 180)
        self.assertEqual(len((await caller.expect(180)).values("via")), 1)
        ok = callee.reply(arrived, 200, body=answered.sdp())
        final = await caller.final(invite)
        self.assertEqual((len(final.values("via")), self.relayed(final.body)[0]), (1, self.node.address))
        ours, theirs = Dialog.of_caller(caller, invite, final), Dialog.of_callee(callee, arrived, ok)
        ours.ack()
        ack = await callee.expect("ACK")
        self.assertEqual((len(ack.values("via")), ack["max-forwards"]), (3, "68"))
        await spoken.reaches(media_of(final.body), answered)
        await answered.reaches(media_of(arrived.body), spoken)

        bye = theirs.request("BYE")
        callee.send(bye, (node.address, 5060))
        got = await caller.expect("BYE")
        self.assertEqual((got.source[0], len(got.values("via"))), (self.node.address, 3))
        caller.reply(got, 200)
        self.assertEqual((await callee.final(bye)).status, 200)
        self.assertEqual(node.tracebacks(), [])

    def host_of(self, route: str) -> str:
        return route.partition("sip:")[2].partition(";")[0].partition(":")[0]

    @flow("RFC3665-3.3")
    async def test_two_challenges(self) -> None:
        """Each proxy asks for its own realm; ours uses its own credentials up and leaves those for the next one."""
        caller = await self.user("alice")
        proxy = self.udp("proxy", host=self.address(120))
        self.dns.add(self.net, dns.Record_A(proxy.host))
        invite = await self.challenged(caller, caller.invite(f"sip:bob@{self.net}"))
        caller.send(invite)
        arrived = await proxy.expect("INVITE")
        self.assertNotIn("proxy-authorization", arrived)
        asked = f'Digest realm="{self.net}", nonce="n2", qop="auth", algorithm=MD5'
        proxy.reply(arrived, 407, ("Proxy-Authenticate", asked))
        challenge = await caller.final(invite)
        caller.ack(invite, challenge)
        self.assertEqual((challenge.status, challenge.lines("proxy-authenticate")), (407, [asked]))
        second = caller.authorized(caller.invite(invite.uri), challenge, "of the other proxy")
        both = await self.challenged(caller, second)
        self.assertEqual(len(both.lines("proxy-authorization")), 2)
        caller.send(both)
        arrived = await proxy.expect("INVITE")
        self.assertEqual(arrived.lines("proxy-authorization"), second.lines("proxy-authorization"))
        proxy.reply(arrived, 200, body=proxy.sdp())
        Dialog.of_caller(caller, both, await caller.expect(200)).ack()
        await proxy.expect("ACK")

    @flow("RFC3665-3.4")
    async def test_proxy_failure(self) -> None:
        """
        What was sent to a silent proxy comes to us with another branch and the same Call-ID: a transaction like any. And we
        go on to the next proxy ourselves when the first one is silent.
        """
        caller = await self.user("alice")
        silent = self.server("one", self.udp("one", host=self.address(120)))
        proxy = self.server("two", self.udp("two", host=self.address(121)))
        records = [dns.Record_SRV(n, 1, 5060, f"{name}.{self.net}") for n, name in enumerate(("one", "two"))]
        self.dns.add(f"_sip._udp.{self.net}", *records)
        invite = caller.invite(f"sip:bob@{self.net}")
        nobody = self.udp("nobody", host=self.address(122))
        caller.send(invite, (nobody.host, nobody.port))
        await nobody.expect("INVITE")
        again = invite.copy().set("Via", invite["via"].replace(invite.branch, invite.branch + "2"))
        again = await self.challenged(caller, again)
        caller.send(again)
        first = await silent.expect("INVITE")
        second = await proxy.expect("INVITE")
        self.assertEqual({first.call_id, second.call_id}, {invite.call_id})
        self.assertNotEqual(first.branch, second.branch)
        proxy.reply(second, 200, body=proxy.sdp())
        dialog = Dialog.of_caller(caller, again, await caller.expect(200))
        dialog.ack()
        await proxy.expect("ACK")
        bye = dialog.request("BYE")
        caller.send(bye)
        proxy.reply(await proxy.expect("BYE"), 200)
        self.assertEqual((await caller.final(bye)).status, 200)
