"""Where a new request goes."""

from __future__ import annotations

from attrs import evolve

from tests.unit.services.sip_world import WorldCase
from voipcluster.address import UDP, Flow
from voipcluster.balance.handover import Handover
from voipcluster.errors import PeerError
from voipcluster.services.sip.accepted import Accepted
from voipcluster.services.sip.targets import NoSuchUser
from voipcluster.sip.uri import parse_uri

BOB = "sip:bob@example.com"


class LocatingTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.locating = self.node.serving.locating
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)

    def accepted(self, uri: str = BOB, user: str | None = None, routes: list[str] | None = None) -> Accepted:
        """An INVITE of hers, as the proxy has taken it."""
        self.alice.send(self.node, "INVITE", uri, branch="located")
        incoming = next(
            one for one in self.node.transactions.servers.values() if one.request.method == "INVITE"
        )
        flow = Flow(UDP, ("192.0.2.1", 5060), ("198.51.100.1", 5060))
        return Accepted(incoming, Handover(flow, "a", user), uri, routes, 70)

    def test_registered(self) -> None:
        """Over the flow that he registered on, with a mark that tells a loop (RFC 3261 section 16.3)."""
        located = self.locating.locate(self.accepted(), BOB)
        (target,) = located.targets
        self.assertEqual(target.uri, self.bob.uri)
        self.assertTrue(located.mark)
        self.assertEqual((located.diverting, located.outgoing), (None, None))

    def test_route(self) -> None:
        """What has a Route goes along it, wherever the Request-URI leads (section 16.5)."""
        accepted = self.accepted(routes=["<sip:192.0.2.9;lr>"])
        located = self.locating.locate(accepted, "sip:nobody@example.com")
        self.assertEqual([target.uri for target in located.targets], ["sip:nobody@example.com"])
        self.assertEqual(located.mark, "")

    def test_nobody(self) -> None:
        accepted = self.accepted()
        with self.assertRaises(NoSuchUser) as caught:
            self.locating.locate(accepted, "sip:nobody@example.com")
        self.assertEqual(caught.exception.status_hint, 404)

    def test_registered_at_an_address_of_ours(self) -> None:
        """Who has proved a password is not asked again when a Contact leads back to us; a stranger is."""
        home = f"sip:carol@{self.node.core.own_address[0]}"
        self.bob.send(
            self.node, "REGISTER", "sip:example.com", call_id="back", headers=["Expires: 60"], contact=home
        )
        accepted = self.accepted()
        known = self.locating.locate(accepted._replace(client=evolve(accepted.client, user="alice")), BOB)
        back = next(target for target in known.targets if parse_uri(target.uri).user == "carol")
        self.assertIn(";ho=", back.routes[0])
        strangers = self.locating.locate(accepted, BOB)
        self.assertEqual([target.routes for target in strangers.targets], [() for _ in strangers.targets])

    def test_caller_who_bars_calls(self) -> None:
        """RFC 5359 section 2.14: 403 to who does not want to call out to it."""
        self.world.prefers("alice", {"screen.outgoing": "deny:*"})
        accepted = self.accepted(user="alice@example.com")
        self.locating.check_caller(accepted._replace(client=evolve(accepted.client, user=None)))
        with self.assertRaises(PeerError) as caught:
            self.locating.check_caller(accepted)
        self.assertEqual(caught.exception.status_hint, 403)

    def test_no_numbers(self) -> None:
        """A node without gateways knows no number, and so none for help."""
        self.assertEqual(self.locating.number_of("sip:112@example.com"), "")
        self.assertFalse(self.locating.is_for_help("sip:112@example.com"))
