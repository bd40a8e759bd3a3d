"""The call flows of RFC 3665 section 2: a phone and its registrar."""

from __future__ import annotations

from tests.conformance.case import ConformanceTestCase, Message, Peer
from tests.conformance.digest import parameters
from tests.conformance.marks import flow


class RegistrationFlowTests(ConformanceTestCase):
    auth = True

    async def user(self, name: str) -> Peer:
        await self.add_users(name)
        self.registered.add(name)
        return self.udp(name)

    def asking(self, peer: Peer, *headers: tuple[str, str]) -> Message:
        return peer.request("REGISTER", f"sip:{self.domain}", *headers, to=f"<{peer.aor}>")

    async def accepted(self, peer: Peer, *headers: tuple[str, str]) -> Message:
        """A REGISTER, challenged and answered; gives the 200."""
        request = self.asking(peer, *headers)
        challenge = await peer.exchange(request)
        self.assertEqual(challenge.status, 401)
        response = await peer.exchange(peer.authorized(request, challenge))
        self.assertEqual(response.status, 200)
        return response

    def bound(self, response: Message) -> dict[str, int]:
        """Contact URIs of a 200 with the seconds that are left of each."""
        pairs = [value.partition(">") for value in response.values("contact")]
        return {
            uri.lstrip("<"): int(rest.partition("expires=")[2].partition(";")[0]) for uri, _, rest in pairs
        }

    @flow("RFC3665-2.1")
    async def test_new_registration(self) -> None:
        """Challenged with a fresh nonce, then accepted; the 200 lists the binding with its time."""
        peer = await self.user("f21")
        contact = ("Contact", f"<{peer.uri}>;expires=600")
        first, second = self.asking(peer, contact), self.asking(peer, contact)
        challenges = [await peer.exchange(request) for request in (first, second)]
        asked = [parameters(c.lines("www-authenticate")[-1]) for c in challenges]
        self.assertEqual([c.status for c in challenges], [401, 401])
        self.assertNotEqual(asked[0]["nonce"], asked[1]["nonce"])
        self.assertEqual((asked[0]["realm"], asked[0]["qop"]), (self.domain, "auth"))
        response = await peer.exchange(peer.authorized(first, challenges[0]))
        self.assertEqual((response.status, self.bound(response)), (200, {peer.uri: 600}))
        (row,) = await self.node.ask("registrations", aor=f"f21@{self.domain}")
        self.assertEqual(row["contact"], peer.uri)

    @flow("RFC3665-2.2")
    async def test_update_of_contact_list(self) -> None:
        """A second REGISTER adds a Contact; the 200 lists both, and calls go to both."""
        peer, other = await self.user("f22"), self.udp("f22")
        await self.accepted(peer, ("Contact", f"<{peer.uri}>"))
        response = await self.accepted(peer, ("Contact", f"<{other.uri}>"))
        self.assertEqual(set(self.bound(response)), {peer.uri, other.uri})
        await self.add_users("alice")
        caller = self.udp("alice")
        request = caller.request("MESSAGE", "f22")
        caller.send(caller.authorized(request, await caller.exchange(request)))
        for phone in (peer, other):
            phone.reply(await phone.expect("MESSAGE"), 200)

    @flow("RFC3665-2.3")
    async def test_request_for_contact_list(self) -> None:
        """A REGISTER without Contact changes nothing; the 200 lists all bindings."""
        peer = await self.user("f23")
        both = {peer.uri, "sip:f23@192.0.2.1"}
        await self.accepted(peer, *(("Contact", f"<{uri}>") for uri in sorted(both)))
        for _ in range(2):
            self.assertEqual(set(self.bound(await self.accepted(peer))), both)
        rows = await self.node.ask("registrations", aor=f"f23@{self.domain}")
        self.assertEqual({row["contact"] for row in rows}, both)

    @flow("RFC3665-2.4")
    async def test_cancellation(self) -> None:
        """Contact: * with Expires: 0 removes all bindings; the 200 has no Contact."""
        peer = await self.user("f24")
        await self.accepted(peer, ("Contact", f"<{peer.uri}>"), ("Contact", "<sip:f24@192.0.2.1>"))
        response = await self.accepted(peer, ("Contact", "*"), ("Expires", "0"))
        self.assertNotIn("contact", response)
        self.assertEqual(await self.node.ask("registrations", aor=f"f24@{self.domain}"), [])

    @flow("RFC3665-2.5")
    async def test_wrong_password(self) -> None:
        """A wrong password is challenged again with another nonce, and nothing is bound."""
        peer = await self.user("f25")
        request = self.asking(peer, ("Contact", f"<{peer.uri}>"))
        first = await peer.exchange(request)
        second = await peer.exchange(peer.authorized(request, first, "wrong"))
        self.assertEqual((first.status, second.status), (401, 401))
        nonces = [parameters(c.lines("www-authenticate")[-1])["nonce"] for c in (first, second)]
        self.assertNotEqual(*nonces)
        self.assertEqual(await self.node.ask("registrations", aor=f"f25@{self.domain}"), [])
