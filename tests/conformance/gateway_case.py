"""What the tests of call flows with gateways share: a node that knows gateways and routes, and the gateways as peers."""

from __future__ import annotations

import atexit
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from tests.conformance.case import Message, Peer
from tests.conformance.dns_server import DnsServer
from tests.conformance.flow_case import FlowTestCase

ENUM = "e164.flows.example"
NUMBER, LOCAL = "+49893456", "0893456"  # a number, and as it is dialled
_CONFIG = """
[numbers]
country = "49"
extensions = 4
emergency = ["112"]
enum = "{enum}"
enum_wait = 1.0

[[gateway]]
name = "one"
kind = "pstn"
servers = ["{net}.101:5060"]
incoming = {{ numbers = ["users", "+", "8"] }}
probe = 0

[[gateway]]
name = "two"
kind = "pstn"
servers = ["{net}.102:5060"]
probe = 0

[[gateway]]
name = "pbx"
kind = "pbx"
servers = ["{net}.103:5060"]
sources = []
username = "pbx@example.com"
incoming = {{ numbers = ["users", "8"] }}
probe = 0

[[route]]
prefix = "+"
gateway = "one"
priority = 1

[[route]]
prefix = "+"
gateway = "two"
priority = 2

[[route]]
prefix = "7"
gateway = "pbx"

[[route]]
prefix = "8"
gateway = "one"
priority = 1

[[route]]
prefix = "8"
gateway = "two"
priority = 2
"""


def config_file(net: str, text: str = _CONFIG) -> Path:
    """A file for all tests of a module; its gateways have .101, .102 and .103 of the nodes' network."""
    folder = Path(tempfile.mkdtemp(prefix="flows"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "voipcluster.toml"
    path.write_text(text.format(net=net, enum=ENUM))
    return path


class GatewayFlowCase(FlowTestCase):
    """
    Users prove passwords; gateways are known by their address, the PBX by its password.

    @ivar one: and C{two}, C{pbx}: the gateways. C{dns}: what the node asks about numbers.
    """

    auth = True
    fast: ClassVar[tuple[str, ...]] = ()
    _files: ClassVar[dict[str, Path]] = {}

    async def setUp(self) -> None:
        net = f"{self._own_network().rpartition('.')[0]}.0"
        file = self._files.get(net) or self._files.setdefault(net, config_file(net))
        dns_at = f"{net}.104", 5353
        servers = f'dns.servers=["{dns_at[0]}:{dns_at[1]}"]'
        self.options = ("--config", str(file), "--set", servers, *self.fast)
        self.dns = DnsServer(self.reactor)
        ports = self.dns.listen(*dns_at)
        await super().setUp()
        self.one, self.two, self.pbx = (
            self.udp(name, host=f"{net}.{last}") for name, last in (("one", 101), ("two", 102), ("pbx", 103))
        )

        async def close() -> None:
            self.dns.close()
            for port in ports:
                await port.stopListening()

        self.at_end(close)

    async def calls(
        self, user: str, callee: str, *headers: tuple[str, str], body: bytes = b""
    ) -> tuple[Peer, Message]:
        """A call with the right password."""
        await self.add_users(user)
        caller = self.udp(user)
        return caller, await self.invites(caller, callee, *headers, body=body)

    async def invites(
        self, caller: Peer, callee: str, *headers: tuple[str, str], body: bytes = b""
    ) -> Message:
        invite = caller.invite(callee, *headers, body=body)
        challenge = await caller.exchange(invite)
        self.assertEqual(challenge.status, 407)
        invite = caller.authorized(invite, challenge)
        caller.send(invite)
        caller.heard.clear()
        return invite

    def from_number(self, gateway: Peer, callee: str, number: str = "+4930999", body: bytes = b"") -> Message:
        """An INVITE of a gateway, for somebody whom it does not know but by his number; not sent yet."""
        caller = f"<sip:{number}@{gateway.host};user=phone>;tag={secrets.token_hex(4)}"
        return gateway.invite(callee, body=body).set("From", caller)

    async def refused(self, caller: Peer, invite: Message, status: int) -> Message:
        final = await caller.final(invite)
        caller.ack(invite, final)
        self.assertEqual(final.status, status)
        return final

    async def fails(self, callee: Peer, status: int, *headers: tuple[str, str]) -> Message:
        """A gateway or phone gets the call and refuses it; as it arrived."""
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, status, *headers)
        await callee.expect("ACK")
        return arrived

    def statuses(self, caller: Peer, invite: Message) -> list[int]:
        """What a caller has heard of one call; gateways have the same address in every test."""
        return [m.status for m in caller.heard if m.status and m.call_id == invite.call_id]
