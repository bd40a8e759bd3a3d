"""Claims 6 and 9: the request is forwarded together with the client's identity."""

from __future__ import annotations

import secrets
import socket
import time
from pathlib import Path

from tests.integration.claims import CALLERS, DOMAIN, user_of
from tests.integration.passed_over import again_if_passed_over
from tests.integration.run_sipp import SCENARIOS
from tests.integration.shared_cluster import SharedClusterTestCase
from voipcluster.address import Flow, Hop
from voipcluster.balance.handover import Handover, HandoverTokens

# clients ask a, and b takes it
TO_B = ("--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "c", "a"]')


def connected_from(peer: Hop) -> str:
    """The address of our only TCP connection to that peer, as the kernel knows it (proc(5), F{net/tcp})."""

    def read(text: str) -> tuple[str, int]:
        host, _, port = text.partition(":")
        return socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(port, 16)

    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (found,) = [
        read(line[1]) for line in lines if read(line[2]) == (peer.host, peer.port) and line[3] == "01"
    ]
    return f"{found[0]}:{found[1]}"


class Claims6And9(SharedClusterTestCase):
    @again_if_passed_over
    async def test_c6_c9_the_node_that_takes_it_sees_the_client(self) -> None:
        """
        C6/C9: the node that takes a handed-over request sees the client's true address, transport and authenticated user (in
        voipctl calls), and does not challenge again.
        """
        await self.start_cluster(*TO_B)
        await self.start_callee(self.node("c"))
        await self.add_users("ua", "tcp")
        sipp = await self.offer(["udp"])
        baresip = await self.baresip("ua", hz=880)
        await baresip.dial(f"sip:to@{DOMAIN}")
        phone = self.phone("tcp", transport="TCP", tone=1200)
        call = await phone.call(f"to@{DOMAIN}")
        await self.calls_up(3)

        rows = await self.primary.voipctl_json("calls")
        own = connected_from(self.primary.hop("TCP"))
        expected = {
            "udp": (f"{self.address(CALLERS)}:5060", "UDP"),
            "ua": ("{}:{}".format(*baresip.address), "UDP"),
            "tcp": (own, "TCP"),
        }
        self.assertEqual(
            {user_of(row["from"]): (row["client"], row["transport"], row["user"]) for row in rows},
            {user: (*where, f"{user}@{DOMAIN}") for user, where in expected.items()},
        )
        ways = {(row["ingress"], *row["visited"], row["node"]) for row in rows}
        await self.placed(ways, {("a", "a", "b")}, [row["call_id"] for row in rows])

        # b believed a: it asked nobody for a password, and a asked each of the callers once
        self.assertEqual(sipp.messages.count("SIP/2.0 407"), 1)
        self.assertEqual(await self.more(self.node("b"), "authentications_total"), 0)
        self.assertEqual(await self.more(self.node("b"), "responses_total", code="407"), 0)
        self.assertEqual(await self.more(self.primary, "responses_total", code="407"), 3)
        await self.heard(sipp)
        sipp.hang_up()
        await sipp.finished()
        await call.hang_up()
        await baresip.hang_up()
        await self.calls_up(0)

    async def test_c6_c9_a_forged_or_altered_token_is_refused(self) -> None:
        """C6/C9: a forged or altered token is refused with 403."""
        await self.start_cluster(*TO_B)
        await self.add_users("mallory")
        node, host = self.node("b"), self.address(CALLERS)
        made_by_nodes = HandoverTokens((node.state_dir / "cluster.key").read_bytes())
        client = Handover(
            Flow("UDP", (self.primary.address, 5060), (host, 5060)), "a", f"mallory@{DOMAIN}", ("a",), 1
        )
        now = time.time()

        def good(call: int) -> str:
            return made_by_nodes.seal(client, f"call-{call}", now)

        def altered(call: int, at: int) -> str:
            token = good(call)
            return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]

        length = len(good(1))
        bad = [
            "x",
            secrets.token_urlsafe(length * 3 // 4),
            HandoverTokens(secrets.token_bytes(32)).seal(client, "call-3", now),
            good(99),  # another call's
            made_by_nodes.seal(client, "call-5", now - 60),  # kept for too long
            *(altered(6 + n, at) for n, at in enumerate(range(0, length, 9))),
        ]
        rows = [("mallory", "nobody", token) for token in bad]
        sipp = self.sipp("handed_over", host, node.hop(), rows=rows, rate=50, options=("-cid_str", "call-%u"))
        await sipp.finished()
        self.assertEqual(sipp.successful, len(bad))
        self.assertEqual(await self.more(node, "responses_total", code="403"), len(bad))

        # the very same with a good token is believed: no password is asked for, only there is no such user
        accepted = self.folder / "accepted.xml"
        accepted.write_text((SCENARIOS / "handed_over.xml").read_text().replace('"403"', '"404"'))
        control = self.sipp(
            accepted, host, node.hop(), rows=[("mallory", "nobody", good(1))], options=("-cid_str", "call-%u")
        )
        await control.finished()
        self.assertEqual(control.successful, 1)
        self.assertEqual(await self.more(node, "responses_total", code="407"), 0)
        self.assertEqual(await self.calls(), [])
