"""Checklist A: messages and their parsing (RFC 3261 sections 7, 8, 18 and 20)."""

from __future__ import annotations

from tests.conformance.case import ConformanceTestCase
from tests.conformance.marks import requirement


class MessageTests(ConformanceTestCase):
    @requirement(1)
    async def test_version(self) -> None:
        """SIP-Version is compared without case, and written as SIP/2.0 (7.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        message = caller.request("MESSAGE", "bob", body=b"hello").to_bytes()
        caller.send(message.replace(b" SIP/2.0\r\n", b" sip/2.0\r\n", 1))
        arrived = await callee.expect("MESSAGE")
        self.assertTrue(arrived.start.endswith(" SIP/2.0"), arrived.start)

    @requirement(22)
    async def test_timestamp(self) -> None:
        """Timestamp is copied into the 100 (8.2.6.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        caller.send(caller.invite("bob", ("Timestamp", "54.1")))
        trying = await caller.expect(100)
        self.assertEqual(trying["timestamp"], "54.1")
        callee.reply(await callee.expect("INVITE"), 486)
        await caller.expect(486)
