"""Claims 3 and 17: the client is given the identity of the chosen proxy in the answer to its request."""

from __future__ import annotations

import re

from tests.integration.claims import CALLERS, DOMAIN
from tests.integration.passed_over import again_if_passed_over
from tests.integration.run_sipp import credentials
from tests.integration.shared_cluster import SharedClusterTestCase

# clients ask a, the callees' flows are c's, and b is chosen
CHOSEN_B = ("--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "c", "a"]')


class Claims3And17(SharedClusterTestCase):
    @again_if_passed_over
    async def test_c3_c17_redirect(self) -> None:
        """C3/C17: redirect: sipp gets 302 with the chosen node's address and completes the call there."""
        await self.start_cluster(*CHOSEN_B, "--set", "cluster.mode=redirect")
        alice, to = self.own("alice"), self.own("to")
        await self.start_callee(self.node("c"), to)
        sipp = await self.offer([alice], callee=to, scenario="call_redirected")
        call = (await self.calls_up(1))[0]
        await self.placed(sipp.redirected_to, [(self.node("b").address, 5060)], [call["call_id"]])
        found = call["node"], call["ingress"], call["user"]
        await self.placed(found, ("b", "b", f"{alice}@{DOMAIN}"), [call["call_id"]])
        await self.heard(sipp)
        sipp.hang_up()
        await sipp.finished()
        await self.calls_up(0)
        self.assertEqual(await self.more(self.primary, "responses_total", code="302"), 1)
        # the 302 apart, the call did not touch the node that was asked
        self.assertEqual(await self.more(self.primary, "requests_total", method="BYE"), 0)
        self.assertEqual(await self.more(self.primary, "requests_total", method="INVITE"), 1)

    @again_if_passed_over
    async def test_c3_c17_baresip_follows_the_redirect(self) -> None:
        """C3/C17: redirect: a real phone follows the 302 to the chosen node, and both ends hear each other."""
        # the address of its proxy is all that this phone knows, and what it calls
        await self.call_redirected("", outbound=False, ingress="b")

    @again_if_passed_over
    async def test_c3_c17_redirected_with_an_outbound_proxy(self) -> None:
        """C3/C17: redirect: a phone that has to send all to one proxy is handed over by it, and not redirected for ever."""
        await self.call_redirected(DOMAIN, outbound=True, ingress="a")

    async def call_redirected(self, at: str, outbound: bool, ingress: str) -> None:
        """Have alice call bob at a domain, or the primary, so that the call comes to the chosen node from there."""
        await self.start_cluster(*CHOSEN_B, "--set", "cluster.mode=redirect")
        users = self.own("alice"), self.own("bob")
        await self.add_users(*users)
        bob = await self.baresip(users[1], self.node("c"), hz=440, answer=True)
        alice = await self.baresip(users[0], hz=880, outbound=outbound)
        await self.reachable(users[1])
        await alice.dial(f"sip:{users[1]}@{at or self.primary.address}")
        call = (await self.calls_up(1))[0]
        await self.placed((call["node"], call["ingress"]), ("b", ingress), [call["call_id"]])
        await self.packets_pass(call)
        await alice.hang_up()
        await self.calls_up(0)
        self.assertEqual(await self.more(self.primary, "responses_total", code="302"), 1)
        self.assertIn(440, await alice.heard())
        self.assertIn(880, await bob.heard())

    @again_if_passed_over
    async def test_c3_c17_forward(self) -> None:
        """
        C3/C17: the same phone in forward mode gets a Record-Route (INVITE) and Service-Route (REGISTER) that names the chosen
        node, and its BYE goes straight there.
        """
        await self.start_cluster(*CHOSEN_B)
        alice, to = self.own("alice"), self.own("to")
        await self.start_callee(self.node("c"), to)
        chosen = self.node("b").address

        await self.add_users(alice)
        host = self.address(CALLERS)
        row = (alice, credentials(alice, self.passwords[alice]), f"{host}:5060")
        registering = self.sipp("register", host, self.primary.hop(), rows=[row])
        await registering.finished()
        (registration,) = set(re.findall(r"^Call-ID: *(\S+)", registering.messages, re.MULTILINE))
        await self.placed(self.routes(registering.messages, "Service-Route"), [chosen], [registration])

        sipp = self.sipp_caller([(alice, to)], host, hold=None)
        call = (await self.calls_up(1))[0]
        way = call["node"], call["ingress"], call["visited"]
        await self.placed(way, ("b", "a", ["a"]), [call["call_id"]])
        await self.heard(sipp)
        answer = sipp.messages[sipp.messages.rindex("SIP/2.0 200") :]
        # a client's first hop is the last of them
        self.assertEqual(self.routes(answer, "Record-Route")[-1], chosen)
        sipp.hang_up()
        await sipp.finished()
        await self.calls_up(0)
        for method in ("ACK", "BYE"):
            self.assertEqual(await self.more(self.node("b"), "requests_total", method=method), 1, method)
        self.assertEqual(await self.more(self.primary, "requests_total", method="BYE"), 0)

    @again_if_passed_over
    async def test_c3_c17_baresip_is_forwarded(self) -> None:
        """C3/C17: forward: a real phone that was told its proxy sends ACK and BYE straight to the chosen node."""
        await self.start_cluster(*CHOSEN_B)
        users = self.own("alice"), self.own("bob")
        await self.add_users(*users)
        bob = await self.baresip(users[1], self.node("c"), hz=440, answer=True)
        alice = await self.baresip(users[0], hz=880)
        await self.reachable(users[1])
        await alice.dial(f"sip:{users[1]}@{DOMAIN}")
        call = (await self.calls_up(1))[0]
        await self.placed((call["node"], call["ingress"]), ("b", "a"), [call["call_id"]])
        await self.packets_pass(call)
        await alice.hang_up()
        await self.calls_up(0)
        self.assertEqual(await self.more(self.node("b"), "requests_total", method="BYE"), 1)
        self.assertEqual(await self.more(self.primary, "requests_total", method="BYE"), 0)
        self.assertIn(440, await alice.heard())
        self.assertIn(880, await bob.heard())

    @staticmethod
    def routes(messages: str, header: str) -> list[str]:
        """The hosts in a header's values, in their order."""
        lines = re.findall(rf"^{header}: *(.*?)\r?$", messages, re.MULTILINE | re.IGNORECASE)
        return [host for line in lines for host in re.findall(r"<sip:(?:[^@>]*@)?([\d.]+)[:;>]", line)]
