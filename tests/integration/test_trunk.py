"""A trunk of somebody else's making, Kamailio: registration, TLS both ways, probes that see it go and come, calls both ways."""

from __future__ import annotations

import os
import re
from typing import Any

from demo.cluster import Node
from tests.certificates import Authority
from tests.integration.harness import DOMAIN, ClusterTestCase, listens
from tests.integration.run_kamailio import REALM, Kamailio
from voipcluster.address import Hop
from voipcluster.phone import Phone

USER, PASSWORD = "voip", "sesame-of-the-trunk"


class TrunkTests(ClusterTestCase):
    """Addresses: the trunk has .60; behind it .61 answers calls and .62 makes them."""

    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        self.secret = self.folder / "trunk.secret"
        self.secret.write_text(f"{PASSWORD}\n")
        os.chmod(self.secret, 0o600)

    async def trunk(self, **options: Any) -> Kamailio:
        host, caller, callee = (self.address(last) for last in (60, 62, 61))
        made = Kamailio(
            self.reactor, self.folder, host, USER, PASSWORD, caller=caller, callee=callee, **options
        )
        self._programs.extend(made.programs)
        self.at_end(made.stop)
        await self.until(lambda: listens(host, 5060), "Kamailio listens")
        return made

    def configuration(
        self, transport: str = "udp", probe: float = 1.0, known_by: str = ""
    ) -> tuple[str, str]:
        file = self.folder / "cluster.toml"
        file.write_text(
            f"""
[[gateway]]
name = "carrier"
kind = "pstn"
servers = ["{self.address(60)}"]
transport = "{transport}"
registrar = "sip:{self.address(60)}"
auth_user = "{USER}"
secret = "{self.secret}"
contact_user = "reception"
realm = "{REALM}"
probe = {probe}
{known_by}

[numbers]
country = "49"

[[route]]
prefix = "+"
gateway = "carrier"
"""
        )
        return "--config", str(file)

    async def logged(self, node: Node, text: str, seconds: float = 20.0, since: int = 0) -> None:
        await self.until(lambda: text in node.log.read_text()[since:], f"{node.name} says {text!r}", seconds)

    async def test_registration_moves(self) -> None:
        """
        One node of two registers, with digest; when it dies the other one does, and takes the dead one's Contact back; a node
        that stops takes its own back.
        """
        trunk = await self.trunk()
        await self.start_cluster(*self.configuration(), nodes="ab")
        first, second = self.node("a"), self.node("b")
        await self.logged(first, "gateway carrier: registered for 600 s")
        self.assertIn(f"registered <sip:reception@{first.address}:5060>", trunk.said)
        self.assertNotIn(f"registered <sip:reception@{second.address}:5060>", trunk.said)
        begun = len(trunk.said)
        await self.kill(first)
        await self.logged(second, "gateway carrier: registered for 600 s")
        await self.until(
            lambda: f"registered <sip:reception@{second.address}:5060>" in trunk.said[begun:], "b registers"
        )
        self.assertIn(f"<sip:reception@{first.address}:5060>;expires=0", trunk.said[begun:])
        begun = len(trunk.said)
        assert second.program is not None
        self._killed.add(second.program)
        await second.stop()
        await self.until(lambda: "expires 0 over" in trunk.said[begun:], "b takes it back")
        for node in (first, second):
            self.assertNotIn(PASSWORD, node.log.read_text())

    async def calls_out(self, trunk: Kamailio) -> None:
        """A user of ours calls a number: the trunk challenges, is answered, and puts it through to whoever is behind it."""
        behind = self.sipp("uas", self.address(61), options=("-rtp_echo", "-mp", "6000"))
        await self.until(lambda: listens(behind.host, 5060), "sipp listens")
        alice = self.phone("alice", tone=1200)
        await self.register(alice)
        call = await alice.call("0891234567@example.com")
        await self.until(lambda: call.heard_hz == 1200, "alice hears the echo of her tone")
        seen = re.findall(r"seen INVITE cseq=(\d+) from \w+:\S+ auth=(\S+)", trunk.said)
        # her INVITE that came with the password of her own was number 2, so the challenged one was that
        self.assertEqual(seen, [("2", "<null>"), ("3", USER)])
        alice.hang_up(call)
        await self.until(
            lambda: re.search(r"seen BYE cseq=4 ", trunk.said), "her BYE has the number behind that"
        )
        self.assertIn("seen ACK cseq=3 ", trunk.said)
        await self.until(lambda: not alice.calls, "the call is over")

    async def calls_in(self, trunk: Kamailio) -> None:
        """Somebody behind the trunk calls our account there: the user that C{contact_user} names is called."""
        reception = self.phone("reception", host=self.address(101), tone=700)
        await self.register(reception)
        away = Phone(
            self.reactor,
            "0301234",
            REALM,
            "",
            Hop("UDP", trunk.host, 5060),
            self.address(62),
            "UDP",
            tone=900,
        )
        self.at_end(away.stop)
        away.start()
        call = await away.call(f"{USER}@{trunk.host}")
        await self.until(lambda: call.heard_hz == 700, "who calls from outside hears the reception")
        (gateway,) = [row["gateway_in"] for row in await self.primary.ask("calls")]
        self.assertEqual(gateway, "carrier")
        away.hang_up(call)
        await self.until(lambda: not reception.calls and not away.calls, "the call is over")

    async def test_calls(self) -> None:
        """
        Out, where the trunk challenges, and in, to the Contact that we have registered; and from a PBX that is known by its
        password and by nothing else.
        """
        trunk = await self.trunk()
        pbx = f'[[gateway]]\nname = "pbx"\nkind = "pbx"\nusername = "pbx@{DOMAIN}"'
        await self.start_cluster(*self.configuration(known_by=pbx), nodes="a")
        [node] = self.cluster.nodes
        await self.add_users("alice", "reception", "pbx")
        await self.logged(node, "gateway carrier: registered for 600 s")
        await self.calls_out(trunk)
        await self.calls_in(trunk)
        inside = self.phone("pbx", host=self.address(103), tone=500)
        call = await inside.call(f"reception@{DOMAIN}")
        await self.until(lambda: call.heard_hz == 700, "who calls from the PBX hears the reception")
        (gateway,) = [row["gateway_in"] for row in await self.primary.ask("calls")]
        self.assertEqual(gateway, "pbx")
        inside.hang_up(call)
        await self.until(lambda: not inside.calls, "the call is over")

    async def test_probes(self) -> None:
        """Killed, it is down within ten seconds at the default interval; started again, it is up again."""
        trunk = await self.trunk()
        await self.start_cluster(*self.configuration(probe=5.0), nodes="a")
        [node] = self.cluster.nodes
        await self.until(lambda: "seen OPTIONS" in trunk.said, "it is asked")
        await self.logged(node, "registered for 600 s")
        trunk.kill()
        await trunk.program.ended()
        await self.logged(node, "gateway carrier is down, no calls go to it", 10.0)
        self.assertIn("nobody listens at udp:", node.log.read_text())
        trunk.start()
        self._programs.append(trunk.program)
        await self.logged(node, "gateway carrier is up again", 12.0)

    async def test_tls(self) -> None:
        """Registered over TLS, each side with a certificate that the other one checks; a call of the trunk comes over it."""
        ca = Authority(self.folder)
        pair = ca.issue("trunk", ["trunk.example.net"], [self.address(60)])
        ours = ca.issue("node", ["example.com"], [self.address(1)])
        trunk = await self.trunk(pair=pair, ca=ca.file)
        tls = [
            word
            for key, path in (("certificate", ours.certificate), ("key", ours.key), ("ca", ca.file))
            for word in ("--set", f"tls.{key}={path}")
        ]
        await self.start_cluster(
            *self.configuration("tls", known_by='certificates = ["trunk.example.net"]'), *tls, nodes="a"
        )
        [node] = self.cluster.nodes
        await self.logged(node, "gateway carrier: registered for 600 s")
        self.assertIn("over tls", trunk.said)
        await self.until(lambda: "seen OPTIONS cseq=1 from tls:" in trunk.said, "it is asked over TLS, too")
        await self.add_users("alice", "reception")
        await self.calls_out(trunk)
        await self.calls_in(trunk)

    async def test_tls_of_somebody_else(self) -> None:
        """A trunk whose certificate does not prove its address is not registered with, and is down; the line says why."""
        ca = Authority(self.folder)
        pair = ca.issue("trunk", ["elsewhere.example"], [])
        ours = ca.issue("node", ["example.com"], [self.address(1)])
        await self.trunk(pair=pair, ca=ca.file)
        tls = [
            word
            for key, path in (("certificate", ours.certificate), ("key", ours.key), ("ca", ca.file))
            for word in ("--set", f"tls.{key}={path}")
        ]
        await self.start_cluster(*self.configuration("tls"), *tls, nodes="a")
        [node] = self.cluster.nodes
        await self.logged(node, "gateway carrier: not registered: ")
        await self.logged(node, "gateway carrier is down")
        self.assertNotIn("registered for", node.log.read_text())
