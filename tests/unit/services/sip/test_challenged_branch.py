"""Challenges of gateways answered in the caller's place, and CSeq from then on (RFC 3261 sections 22.2 and 22.3)."""

from __future__ import annotations

from tests.unit.services.sip_world import Phone, WorldCase
from voipcluster.services.sip.challenged_branch import ChallengedBranch, Challenges, Credentials
from voipcluster.services.sip.copies import Copy
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.sip.challenges import Identity
from voipcluster.sip.digest import ha1, parse_answer, proves
from voipcluster.sip.message import Request
from voipcluster.sip.proxy.events import Target

CARRIER = "198.51.100.50"
NUMBER = f"sip:+4930123@{CARRIER}"
CHALLENGE = ("Proxy-Authenticate", 'Digest realm="carrier", nonce="n1", qop="auth"')
STALE = ("Proxy-Authenticate", 'Digest realm="carrier", nonce="n2", qop="auth", stale=true')


class ChallengedBranchTests(WorldCase):
    """Alice calls a number over a carrier that wants a password."""

    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.carrier = self.world.phone("carrier", CARRIER)
        self.identity: Identity | None = Identity("voip", "secret")
        self.in_vain: list[str] = []
        self.node.serving.within.identity = lambda gateway: self.credentials()
        self._answer_challenges()

    def credentials(self) -> Credentials | None:
        identity = self.identity
        return None if identity is None else lambda: identity

    def _answer_challenges(self) -> None:
        """As calls to numbers do it for their gateways."""
        calls, started = self.node.calls, Forwarding.start_at

        def start_at(forwarding: Forwarding, *targets: Target) -> None:
            copy: Copy | None = forwarding._copy
            assert copy is not None
            request = copy.request
            if targets[0].uri == NUMBER and request.to_tag is None and copy.challenges is None:
                keys = [call.key for call in calls]

                def moved(target: Target, by: int) -> None:
                    for key in keys:
                        calls.move(key, "carrier", by)

                copy.challenges = Challenges(
                    lambda target: self.credentials(),
                    lambda: "fresh",
                    0,
                    moved,
                    lambda target, why: self.in_vain.append(why),
                )
            started(forwarding, *targets)

        self.patch(Forwarding, "start_at", start_at)

    def last(self, method: str, phone: Phone | None = None) -> Request:
        return (phone or self.carrier).request(method)

    def invite(self) -> None:
        self.alice.send(self.node, "INVITE", NUMBER, branch="first", cseq=7)

    def challenge(self, method: str = "INVITE", *challenges: tuple[str, str]) -> None:
        self.carrier.reply(self.last(method), 407, headers=challenges or (CHALLENGE,))

    def call(self) -> Request:
        """A call that is up over the carrier, which has challenged it; gives the INVITE that it answered."""
        self.invite()
        self.challenge()
        invite = self.last("INVITE")
        self.carrier.reply(invite, 200)
        routes = self.alice.response(200).get_all("record-route")[::-1]
        self.routes = [value.strip() for value in routes]
        self.alice.send(
            self.node, "ACK", self.carrier.uri, cseq=7, to_tag=self.carrier.tag, routes=self.routes
        )
        return invite

    def test_answered(self) -> None:
        """The caller hears nothing of it; the same request goes out again with a proof and the next CSeq."""
        self.invite()
        first = self.last("INVITE")
        self.challenge()
        second = self.last("INVITE")
        self.assertEqual(self.carrier.took(), ["INVITE", "ACK", "INVITE"])
        self.assertNotEqual(first.top_via.branch, second.top_via.branch)
        self.assertEqual((first.cseq, second.cseq), ((7, "INVITE"), (8, "INVITE")))
        self.assertEqual((first.call_id, first.from_tag), (second.call_id, second.from_tag))
        given = parse_answer(second.get("proxy-authorization") or "")
        self.assertEqual(given.uri, second.uri)
        self.assertTrue(proves(given, ha1("MD5", "voip", "carrier", "secret"), "INVITE"))
        self.carrier.reply(second, 180)
        self.assertEqual(self.alice.took(), [100, 180])
        self.carrier.reply(second, 486)
        self.assertEqual(self.alice.response(486).cseq, (7, "INVITE"))

    def test_rest_of_the_dialog(self) -> None:
        """ACK and BYE of the caller have moved numbers, too, and the answers his own; the carrier's requests are its own."""
        self.assertEqual(self.call().cseq[0], 8)
        self.assertEqual(self.alice.response(200).cseq, (7, "INVITE"))
        self.assertEqual(self.last("ACK").cseq, (8, "ACK"))
        self.alice.send(
            self.node, "OPTIONS", self.carrier.uri, cseq=8, to_tag=self.carrier.tag, routes=self.routes
        )
        self.assertEqual(self.last("OPTIONS").cseq, (9, "OPTIONS"))
        self.carrier.reply(self.last("OPTIONS"), 200)
        self.assertEqual(self.alice.response(200).cseq, (8, "OPTIONS"))
        self.alice.send(
            self.node, "BYE", self.carrier.uri, cseq=9, to_tag=self.carrier.tag, routes=self.routes
        )
        self.assertEqual(self.last("BYE").cseq, (10, "BYE"))
        self.carrier.reply(self.last("BYE"), 200)
        self.assertEqual(self.alice.response(200).cseq, (9, "BYE"))
        self.assertEqual(len(self.node.calls), 0)

    def test_challenged_within_the_dialog(self) -> None:
        """A BYE that is challenged as well: answered, and the call ends only then."""
        self.call()
        self.alice.took()
        self.alice.send(
            self.node, "BYE", self.carrier.uri, cseq=8, to_tag=self.carrier.tag, routes=self.routes
        )
        self.challenge("BYE")
        bye = self.last("BYE")
        self.assertEqual((bye.cseq, bye.has("proxy-authorization")), ((10, "BYE"), True))
        self.assertEqual((self.alice.took(), len(self.node.calls)), ([], 1))
        self.carrier.reply(bye, 200)
        self.assertEqual((self.alice.took(), len(self.node.calls)), ([200], 0))

    def test_stale(self) -> None:
        """A nonce that went stale meanwhile costs one more number."""
        self.invite()
        self.challenge()
        self.challenge("INVITE", STALE)
        self.assertEqual(self.last("INVITE").cseq, (9, "INVITE"))
        self.carrier.reply(self.last("INVITE"), 486)
        self.assertEqual(self.alice.response(486).cseq, (7, "INVITE"))

    def test_wrong_password(self) -> None:
        """What our password is not good for the caller cannot mend: no challenge goes to him."""
        self.invite()
        self.challenge()
        self.challenge("INVITE", (CHALLENGE[0], CHALLENGE[1].replace("n1", "n3")))
        self.assertEqual(self.alice.took(), [100, 500])
        self.assertEqual(self.in_vain, ["the user name or password is wrong for realm 'carrier'"])

    def test_without_an_account(self) -> None:
        """Where we have no account the challenge is the caller's, as it always was."""
        self.identity = None
        self.invite()
        self.challenge()
        response = self.alice.response(407)
        self.assertEqual(response.get("proxy-authenticate"), CHALLENGE[1])

    def test_cancelled(self) -> None:
        """The CANCEL goes to what is under way now; a challenge behind it is not answered."""
        self.invite()
        self.challenge()
        self.carrier.reply(self.last("INVITE"), 180)
        self.alice.send(self.node, "CANCEL", NUMBER, branch="first", cseq=7)
        cancel = self.last("CANCEL")
        self.assertEqual(cancel.cseq, (8, "CANCEL"))
        self.assertEqual(cancel.top_via.branch, self.last("INVITE").top_via.branch)
        self.carrier.reply(cancel, 200)
        self.challenge("INVITE", STALE)
        self.assertEqual(len([m for m in self.carrier.inbox if getattr(m, "method", "") == "INVITE"]), 2)

    def test_not_in_the_way(self) -> None:
        """Nobody stands before the branch to a target of which there is nothing to know."""
        challenges = Challenges(lambda target: None, lambda: "fresh")
        owner = object()
        self.assertIs(challenges.user(owner, Target(NUMBER)), owner)
        moved = Challenges(lambda target: None, lambda: "fresh", 1)
        self.assertIsInstance(moved.user(owner, Target(NUMBER)), ChallengedBranch)
