"""Calls to numbers: where they go, what a gateway is told, who is asked next, and the channels they take."""

from __future__ import annotations

from functools import partial

from attrs import evolve

from tests.unit.services.gateway.trunk_world import HOSTS, NUMBER, SDP, TrunkCase, gateway
from tests.unit.services.sip_world import Phone
from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.gateway.allowance import Allowance
from voipcluster.gateway.numbers import Number
from voipcluster.gateway.permission import Party, Permission
from voipcluster.gateway.rewriting import CallerId, Rewriting
from voipcluster.gateway.routing import Route, Routes
from voipcluster.services.gateway.allowances import USER, Allowances
from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.dns import NAPTR, A, Naptr
from voipcluster.sip.message import Response


class WayTests(TrunkCase):
    routes = (
        Route("+", "a", 1, rewriting=Rewriting(1, "00")),
        Route("+", "b", 2),
        Route("110", "b"),
        Route("2", "b", caller=CallerId("+49300")),
    )

    def test_call(self) -> None:
        """A number of the plan goes to its gateway as that wants it; when the call is over its channel is free again."""
        self.invite()
        self.assertEqual(self.got(self.a).uri, f"sip:0049893456@{HOSTS['a']};user=phone")
        self.assertEqual(self.in_use("a"), 1)
        self.a.reply(self.got(self.a), 183)
        self.a.reply(self.got(self.a), 200)
        self.a.reply(self.got(self.a), 200)  # a copy takes no second channel
        self.assertEqual(self.alice.took()[:3], [100, 183, 200])
        call = next(iter(self.node.calls))
        self.assertEqual((call.gateway_out, call.number, self.in_use("a")), ("a", "+49893456", 1))
        self.world.wait(1)
        self.a.reply(self.got(self.a), 200)
        self.hang_up(self.a)
        state = self.book.state("a")
        assert state is not None
        self.assertEqual((state.channels, state.seizures, state.answers), (0, 1, 1))

    def test_forms(self) -> None:
        """However it is written it is the same number: tel, user=phone, with separators, of a country as context."""
        for n, uri in enumerate(
            (
                "tel:+49-89-3456",
                "sip:+49893456@example.com;user=phone",
                "tel:089-3456",
                "tel:893456;phone-context=+49",
            )
        ):
            self.invite(uri, branch=f"f{n}", call_id=f"form-{n}")
            self.assertEqual(self.got(self.a).uri, f"sip:0049893456@{HOSTS['a']};user=phone", uri)
            self.a.reply(self.got(self.a), 486)
            self.assertEqual(self.alice.took(), [100, 486])

    def test_not_a_number(self) -> None:
        """A user of ours is not taken for a number, a name that is neither is 404; so is a number without a route."""
        self.world.users.add("0893456")
        self.invite()
        self.assertEqual(self.alice.took(), [100, 480])
        self.invite("sip:nobody@example.com", branch="n", call_id="n")
        self.assertEqual(self.alice.took(), [100, 404])
        over: list[str] = []
        self.node.calls.over = lambda call, reason: over.append(reason)
        self.invite("sip:31@example.com", branch="m", call_id="m")
        self.assertEqual(over, ["refused 404 (no route to 31)"])
        response = self.alice.response(404)
        self.assertEqual(response.get("reason"), 'Q.850;cause=3;text="no route to destination"')
        self.assertEqual((self.a.took(), self.b.took()), ([], []))

    def test_other_schemes(self) -> None:
        """A broken tel URI is 400, another scheme 416, and so is a service that nobody is called for."""
        self.node.access.required = False
        for uri, status in (("tel:x", 400), ("mailto:a@b", 416), ("urn:service:weather", 416)):
            self.alice.send(self.node, "INVITE", uri, from_uri=self.alice.aor)
            self.assertEqual(self.alice.took(), [status], uri)

    def test_help(self) -> None:
        """urn:service:sos is the first number for help; load, limits, hours and channels do not matter."""
        self.declare([evolve(gateway("b"), channels=1, outgoing=Permission(numbers=()))])
        self.book.seized("b")
        self.node.load(0.99)
        self.invite("urn:service:sos.police")
        self.assertEqual(self.got(self.b).uri, f"sip:110@{HOSTS['b']};user=phone")
        self.b.reply(self.got(self.b), 480)
        self.assertEqual(self.alice.took(), [100, 480])
        self.invite(branch="x", call_id="x")
        self.assertEqual(self.alice.took(), [503])  # and nobody else is served there

    def test_help_of_who_may_call_nobody(self) -> None:
        """A user's own preferences, and those that somebody has set for him, forbid no call for help."""
        self.world.prefers("alice", {"screen.outgoing": "deny:*"})
        self.invite("sip:+4930@example.com")
        self.assertEqual(self.alice.took(), [403])
        for number, uri in enumerate(("sip:110@example.com", "urn:service:sos")):
            self.invite(uri, branch=f"h{number}", call_id=f"h{number}")
            self.b.reply(self.got(self.b), 480)
            self.assertEqual(self.alice.took(), [100, 480])

    def test_message(self) -> None:
        """Another request to a number goes to the gateway too, and takes no channel."""
        self.invite(method="MESSAGE")
        self.assertEqual(self.in_use("a"), 0)
        self.a.reply(self.a.request("MESSAGE"), 202)
        self.assertEqual(self.alice.took(), [202])

    def test_many_servers(self) -> None:
        """The servers of a gateway are tried one after the other before the next gateway is; names are looked up by their DNS."""
        self.declare([evolve(gateway("a"), servers=(HOSTS["a"], HOSTS["c"]), transport="udp"), gateway("b")])
        self.invite()
        self.a.reply(self.got(self.a), 503)
        self.c.reply(self.got(self.c), 503)
        self.b.reply(self.got(self.b), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.assertEqual((self.in_use("a"), self.in_use("b")), (0, 0))


class NextTests(TrunkCase):
    def test_statuses(self) -> None:
        """503, another 5xx and 408 lead to the next gateway; 4xx and 6xx, and what a cause says of the user, do not."""
        for n, (status, cause, goes_on) in enumerate(
            (
                (503, 0, True), (500, 0, True), (408, 0, True), (504, 0, True), (480, 34, True), (486, 0, False),
                (404, 0, False), (403, 0, False), (603, 0, False), (500, 17, False), (302, 0, False),
            )
        ):  # fmt: skip
            self.invite(branch=f"s{n}", call_id=f"s{n}")
            reason = [("reason", f"Q.850;cause={cause}")] if cause else []
            self.a.reply(self.got(self.a), status, headers=reason)
            if goes_on:
                self.b.reply(self.got(self.b), 487)
                self.assertEqual(self.alice.took(), [100, 487], status)
            else:
                self.assertEqual((self.alice.took(), self.b.took()), ([100, status], []))
            self.assertEqual((self.in_use("a"), self.in_use("b")), (0, 0))
            self.b.inbox.clear()

    def test_the_last_word(self) -> None:
        """What the last gateway says of the number is told, not the 408 of the first one (section 16.7 step 6)."""
        self.invite()
        self.a.reply(self.got(self.a), 408)
        self.b.reply(self.got(self.b), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_all_failed(self) -> None:
        """503 of all: to the caller that is a 500, or he would avoid this node (section 16.7 step 6)."""
        self.invite()
        self.a.reply(self.got(self.a), 503)
        self.b.reply(self.got(self.b), 503)
        self.assertEqual(self.alice.took(), [100, 500])

    def test_dead(self) -> None:
        """A gateway that gives no sign for numbers.next_after is passed over, one that refuses at once; CANCEL follows it."""
        suspected: list[str] = []
        self.routing.suspect = suspected.append
        self.world.network.lost.add(self.a.address)
        self.invite()
        self.world.wait(3.9)
        self.assertEqual((self.b.took(), suspected), ([], []))
        self.world.wait(0.2)
        self.assertEqual(suspected, ["a"])  # it is to be probed at once
        self.assertEqual((self.in_use("a"), self.in_use("b")), (0, 1))
        self.b.reply(self.got(self.b), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.world.network.closed.add(self.a.address)
        self.world.network.lost.clear()
        self.invite(branch="icmp", call_id="icmp")
        self.world.wait(0.1)
        self.b.reply(self.got(self.b), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_late_answer(self) -> None:
        """One that was given up and answers first all the same has the call, and its channel; the other one is cancelled."""
        self.world.network.lost.add(self.a.address)
        self.invite()
        self.world.wait(4.2)
        self.world.network.lost.clear()
        self.b.reply(self.got(self.b), 180)
        self.world.wait(4.0)  # the next copy reaches the first one
        self.a.reply(self.got(self.a), 200)
        self.assertIn(200, self.alice.took())
        self.assertIn("CANCEL", self.b.took())
        self.assertEqual(self.in_use("a"), 1)
        self.assertTrue(self.node.calls)
        for call in list(self.node.calls):
            self.node.calls.end(call.key, "test")
        self.assertEqual(self.in_use("a"), 0)

    def test_early_media(self) -> None:
        """What the first gateway sent before it failed went to the caller, and so does that of the next one (RFC 3960)."""
        self.invite(body=SDP)
        self.a.reply(self.got(self.a), 183, headers=[("content-type", "application/sdp")], body=SDP.encode())
        self.a.reply(self.got(self.a), 503)
        self.b.reply(self.got(self.b), 183, headers=[("content-type", "application/sdp")], body=SDP.encode())
        early = [m for m in self.alice.inbox if isinstance(m, Response) and m.status == 183]
        self.assertEqual([m.to_tag for m in early], ["tag-gwa", "tag-gwb"])
        self.assertEqual([m.body for m in early], [SDP.encode()] * 2)
        self.b.reply(self.got(self.b), 200)
        self.assertEqual(self.alice.took(), [100, 183, 183, 200])
        self.hang_up_b()

    def hang_up_b(self) -> None:
        for call in list(self.node.calls):
            self.assertEqual(call.gateway_out, "b")
            self.node.calls.end(call.key, "test")
        self.assertEqual((self.in_use("a"), self.in_use("b")), (0, 0))

    def test_taken_meanwhile(self) -> None:
        """A gateway whose last channel was taken while another one was asked is passed over; for help it is not."""
        self.declare([gateway("a"), gateway("b", channels=1), gateway("c")])
        self.routing.dialling = evolve(
            self.routing.dialling, routes=Routes((Route("+", "a", 1), Route("+", "b", 2), Route("+", "c", 3)))
        )
        self.invite()
        self.book.seized("b")
        self.a.reply(self.got(self.a), 503)
        self.assertEqual((self.b.took(), self.in_use("b")), ([], 1))
        self.c.reply(self.got(self.c), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.routing.dialling = evolve(
            self.routing.dialling, routes=Routes((Route("110", "a", 1), Route("110", "b", 2)))
        )
        self.a.inbox.clear()
        self.invite("sip:110@example.com", branch="h", call_id="h")
        self.a.reply(self.got(self.a), 503)
        self.b.reply(self.got(self.b), 486)
        self.assertEqual(self.in_use("b"), 1)

    def test_given_up(self) -> None:
        """The caller gives up: CANCEL to the gateway that rings, no other one is asked, and the channel is free."""
        self.invite()
        self.a.reply(self.got(self.a), 180)
        self.alice.send(self.node, "CANCEL", NUMBER, branch="call2", cseq=2)
        self.a.reply(self.a.request("CANCEL"), 200)
        self.a.reply(self.got(self.a), 487)
        self.assertEqual(self.alice.took(), [100, 180, 200, 487])
        self.assertEqual((self.b.took(), self.in_use("a")), ([], 0))
        state = self.book.state("a")
        assert state is not None
        self.assertEqual(state.last_cause, "487")


class AlsoTests(TrunkCase):
    also_next = frozenset({403})

    def test_also(self) -> None:
        """A status that the operator has named leads to the next gateway too."""
        self.invite()
        self.a.reply(self.got(self.a), 403)
        self.b.reply(self.got(self.b), 404)
        self.assertEqual(self.alice.took(), [100, 404])


class NobodyTests(TrunkCase):
    def refused(self, status: int, cause: int) -> None:
        count = len(self.world.network.log)
        self.invite(branch=f"r{count}", call_id=f"r{count}")
        response = self.alice.response(status)
        self.assertTrue(
            (response.get("reason") or "").startswith(f"Q.850;cause={cause};"), response.get("reason")
        )
        self.assertEqual((self.a.took(), self.b.took()), ([], []))
        self.alice.took()

    def test_none_left(self) -> None:
        """All are full, down, closed or forbid it: 503 or 403 with the cause, and nothing is sent on."""
        self.declare([gateway("a", channels=1), gateway("b", channels=1)])
        self.book.seized("a")
        self.book.seized("b")
        self.refused(503, 34)
        self.book.released("b", "")
        self.book.set_up("b", False, "no answer")
        self.refused(503, 34)
        self.book.set_up("a", False, "no answer")
        self.refused(503, 38)
        forbids = Permission(numbers=("*", "!+49"))
        self.declare([gateway("a", outgoing=forbids), gateway("b", outgoing=forbids)])
        self.book.set_up("a", True)
        self.book.set_up("b", True)
        self.refused(403, 21)
        self.declare([])
        self.refused(503, 38)

    def test_passed_over(self) -> None:
        """One that is full or down is no candidate; the next one is asked at once."""
        self.declare([gateway("a", channels=1), gateway("b")])
        self.book.seized("a")
        self.invite()
        self.assertEqual(self.a.took(), [])
        self.b.reply(self.got(self.b), 486)

    def test_not_back(self) -> None:
        """A call is not sent back to the gateway that it came from."""
        found = self.routing.candidates(Number("+49893456"), Party(), (), "a")
        self.assertEqual([c.refused for c in found], ["forbidden: the call came from there", ""])


class TellTests(TrunkCase):
    gateways = (gateway("a", trusted=True, codecs=("PCMA",)), gateway("b"), gateway("c", trusted=True))
    routes = (
        Route("+49", "a", caller=CallerId("+4930100", ("+4930",))),
        Route("+1", "b"),
        Route("+498988", "c"),
    )

    def test_trusted(self) -> None:
        """A trusted gateway is told who calls: the number of the route, for a caller who has none (RFC 3325)."""
        self.invite(NUMBER, "P-Asserted-Identity: <sip:mallory@example.com>")
        self.assertEqual(
            self.got(self.a).get_all("p-asserted-identity"), ["<sip:+4930100@example.com;user=phone>"]
        )
        self.a.reply(self.got(self.a), 486)

    def test_redirected(self) -> None:
        """Who carries a token of ours because we have redirected him is a client like any other: he asserts nothing."""
        core = self.node.core
        known = Handover(Flow("UDP", ("192.0.2.1", 5060), self.alice.address), "n9", visited=("n9",), hops=1)
        token = core.handovers.seal(known.for_redirect(), "call-1", core.wall())
        host, port = core.own_address
        uri = f"sip:0893456@{host}:{port};hop={token};domain=example.com"
        self.invite(uri, "P-Asserted-Identity: <sip:+4911@example.com>")
        self.assertEqual(
            self.got(self.a).get_all("p-asserted-identity"), ["<sip:+4930100@example.com;user=phone>"]
        )

    def test_own_number(self) -> None:
        """A user whose name is a number is told by it, if the route lets it be shown, else as the route says."""
        for user, shown in (("+493055", "+493055"), ("+498955", "+4930100")):
            self.world.users.add(user)
            self.alice.user = user
            self.invite(branch=user, call_id=user)
            self.assertEqual(
                self.got(self.a).get_all("p-asserted-identity"), [f"<sip:{shown}@example.com;user=phone>"]
            )
            self.a.reply(self.got(self.a), 486)

    def test_untrusted(self) -> None:
        """One that is not trusted is told nothing."""
        self.invite("sip:+14155550100@example.com", "P-Preferred-Identity: <sip:alice@example.com>")
        got = self.got(self.b)
        self.assertFalse(got.has("p-asserted-identity") or got.has("p-preferred-identity"))
        self.b.reply(got, 486)

    def test_from_a_gateway(self) -> None:
        """What a trusted gateway asserts goes to a trusted one, not to a user's phone; of another one it is taken off at once."""
        said = ["P-Asserted-Identity: <sip:+4940@carrier.example>", "Privacy: id"]
        self.node.access.required = False
        self.world.phone("bob", "198.51.100.2").register(self.node)
        bob = self.world.network.ends["198.51.100.2", 5060]
        assert isinstance(bob, Phone)
        self.node.access.required = True
        for name, phone, seen in (("a", self.a, True), ("b", self.b, False)):
            self.patch(self.node.access, "caller", partial(self._of_gateway, name))
            phone.send(
                self.node, "INVITE", "sip:bob@example.com", from_uri="sip:+4940@carrier.example", headers=said,
                call_id=name,
            )  # fmt: skip
            got = self.got(bob)
            self.assertFalse(got.has("p-asserted-identity"))
            self.assertEqual(got.get("privacy"), "id")
            bob.reply(got, 486)
            phone.send(
                self.node, "INVITE", "sip:+498988@example.com", from_uri="sip:+4940@carrier.example",
                headers=said, call_id=f"on-{name}",
            )  # fmt: skip
            target = self.c
            self.assertEqual(self.got(target).has("p-asserted-identity"), seen, name)
            target.reply(self.got(target), 486)

    def _of_gateway(
        self, name: str, incoming: ServerTransaction, client: Handover, *more: object
    ) -> tuple[Handover, list[int]]:
        return evolve(client, gateway=name), []

    def test_codecs(self) -> None:
        """A gateway is offered the codecs that it may use; none of them: 488, and nothing is sent on."""
        self.invite(body=SDP)
        self.assertIn(b"m=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n", self.got(self.a).body)
        self.a.reply(self.got(self.a), 486)
        self.a.took()
        self.alice.took()
        self.invite(body=SDP.replace("0 8\r", "0\r"), branch="u", call_id="u")
        self.assertEqual((self.alice.took(), self.a.took()), ([100, 488], []))


class EnumTests(TrunkCase):
    enum = "e164.arpa"
    name = "6.5.4.3.9.8.9.4.e164.arpa"

    def record(self, uri: str) -> None:
        self.dns.zone[self.name, NAPTR] = (Naptr(1, 1, "u", "E2U+sip", "", f"!^.*$!{uri}!"),)

    def test_found(self) -> None:
        """The URI that the DNS has is called first; the routes are behind it (RFC 6116)."""
        self.record(f"sip:info@{HOSTS['c']}")
        self.invite()
        self.assertEqual(self.got(self.c).uri, f"sip:info@{HOSTS['c']}")
        self.c.reply(self.got(self.c), 503)
        self.a.reply(self.got(self.a), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_user(self) -> None:
        """A URI of ours is looked up like any other; a user who is away is passed over."""
        self.record("sip:bob@example.com")
        bob = self.world.phone("bob", "198.51.100.2")
        self.invite()
        self.a.reply(self.got(self.a), 486)
        self.node.access.required = False
        bob.register(self.node)
        self.node.access.required = True
        bob.took()
        self.alice.took()
        self.invite(branch="again", call_id="again")
        bob.reply(self.got(bob), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_nothing(self) -> None:
        """No record, or one that cannot be used: the routes."""
        self.invite()
        self.a.reply(self.got(self.a), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_slow(self) -> None:
        """Behind numbers.enum_wait the call goes on without the DNS; a late answer changes nothing."""
        self.record(f"sip:info@{HOSTS['c']}")
        self.dns.silent.add(self.name)
        self.invite()
        self.world.wait(1.9)
        self.assertEqual(self.a.took(), [])
        self.world.wait(0.2)
        self.a.reply(self.got(self.a), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.dns.answer_held()
        self.assertEqual(self.c.took(), [])

    def test_given_up(self) -> None:
        """A caller who gives up while the DNS is asked gets his 487, and nothing is sent on."""
        self.dns.silent.add(self.name)
        self.invite()
        self.alice.send(self.node, "CANCEL", NUMBER, branch="call2", cseq=2)
        self.assertEqual(self.alice.took(), [100, 200, 487])
        self.world.wait(2.1)
        self.assertEqual((self.a.took(), len(self.node.calls)), ([], 0))

    def test_not_asked(self) -> None:
        """For help and for local numbers the DNS is not asked."""
        self.invite("sip:110@example.com")
        self.invite("sip:200@example.com", branch="l", call_id="l")
        self.assertEqual(self.dns.asked, [])


class DivertedTests(TrunkCase):
    gateways = (gateway("a"), gateway("b", outgoing=Permission(callers=("bob@example.com",))))

    def test_to_a_number(self) -> None:
        """A user's forwarding may lead to a number; his permissions count, and each forwarding has its own last word."""
        self.world.prefers("bob", {"forward.always": "sip:+4989@example.com", "forward.silent": "yes"})
        self.invite("sip:bob@example.com")
        self.a.reply(self.got(self.a), 503)
        self.b.reply(self.got(self.b), 183)
        self.b.reply(self.got(self.b), 404)
        self.assertEqual(self.alice.took(), [100, 183, 404])
        self.assertEqual((self.in_use("a"), self.in_use("b")), (0, 0))

    def test_back_to_the_trunk(self) -> None:
        """Who calls from the PSTN and is forwarded into it may come back to the gateway that he came from: the user pays."""
        self.world.prefers("bob", {"forward.always": "sip:+4989@example.com", "forward.silent": "yes"})
        self.patch(
            self.node.access, "caller", lambda incoming, client, *more: (evolve(client, gateway="a"), [])
        )
        self.a.send(self.node, "INVITE", "sip:bob@example.com", from_uri="sip:+4940@carrier.example")
        self.assertEqual(self.got(self.a).uri, f"sip:+4989@{HOSTS['a']};user=phone")
        self.a.reply(self.got(self.a), 486)

    def test_screened_number(self) -> None:
        """What a user may not call he may not call in another form either, nor forward to."""
        self.world.prefers("alice", {"screen.outgoing": "deny:+49900*"})
        for n, uri in enumerate(
            ("sip:+49900123@example.com", "sip:0900123@example.com", "tel:00-49-900-123")
        ):
            self.invite(uri, branch=f"d{n}", call_id=f"d{n}")
            self.assertEqual((self.alice.took()[-1], self.a.took()), (403, []), uri)
        self.world.prefers("bob", {"forward.always": "0900123", "screen.outgoing": "deny:+49900*"})
        self.invite("sip:bob@example.com", branch="f", call_id="f")
        self.assertEqual((self.alice.took()[-1], self.a.took()), (403, []))

    def test_behind_busy(self) -> None:
        """A user who is busy has it go to a number, whose gateway is asked although the phone has said no."""
        self.world.prefers("bob", {"forward.busy": "sip:+4989@example.com", "forward.silent": "yes"})
        bob = self.world.phone("bob", "198.51.100.2")
        self.node.access.required = False
        bob.register(self.node)
        self.node.access.required = True
        bob.took()
        self.invite("sip:bob@example.com")
        bob.reply(self.got(bob), 486)
        self.a.reply(self.got(self.a), 200)
        self.assertEqual(self.alice.took(), [100, 200])
        self.assertEqual([call.gateway_out for call in self.node.calls], ["a"])
        for call in list(self.node.calls):
            self.node.calls.end(call.key, "test")
        self.assertEqual(self.in_use("a"), 0)


class ChallengedTests(TrunkCase):
    """Gateways where we have an account, and that ask for its password."""

    gateways = (
        gateway("a", auth_user="voip", password="secret", realm="carrier"),
        gateway("b", auth_user="voip", secret="/nonexistent"),
    )

    def challenge(self, phone: Phone, realm: str = "carrier", nonce: str = "n1") -> None:
        value = f'Digest realm="{realm}", nonce="{nonce}", qop="auth"'
        phone.reply(phone.request("INVITE"), 407, headers=[("Proxy-Authenticate", value)])

    def test_answered(self) -> None:
        """One channel is taken, not two; the answer counts for that gateway, and the call knows how far its CSeq is behind."""
        self.invite()
        self.challenge(self.a)
        state = self.book.state("a")
        assert state is not None
        self.assertEqual((state.channels, state.seizures), (1, 1))
        invite = self.a.request("INVITE")
        self.assertEqual((invite.cseq[0], invite.has("proxy-authorization")), (3, True))
        self.a.reply(invite, 200)
        self.assertEqual(self.alice.response(200).cseq[0], 2)
        [call] = self.node.calls
        self.assertEqual((call.gateway_out, call.proves_to, call.moved), ("a", "a", 1))
        self.node.calls.end(call.key, "over")
        self.assertEqual(self.tallies.total("gateway:a"), 0)

    def test_next_one(self) -> None:
        """A challenge that cannot be met is a failure of that gateway; the next one gets the caller's own number."""
        self.invite()
        self.challenge(self.a, realm="somebody else")
        invite = self.b.request("INVITE")
        self.assertEqual((invite.cseq[0], invite.has("proxy-authorization")), (2, False))
        self.challenge(self.b)  # whose password is in a file that is not there
        self.assertEqual(self.alice.took()[-1], 500)
        self.assertEqual((self.tallies.total("gateway:a"), self.tallies.total("gateway:b")), (0, 0))


class BypassTests(TrunkCase):
    """A server of a gateway as host of the Request-URI or as Route: what the gateway may do counts all the same."""

    gateways = (gateway("a", channels=1, outgoing=Permission(numbers=("+49", "!+49900"))), gateway("b"))

    def test_forbidden(self) -> None:
        """Who names the address of a gateway calls no number that it may not be asked for; nothing is sent on."""
        for n, (uri, route) in enumerate(
            (
                (f"sip:+49900123@{HOSTS['a']}", ""),
                (f"sip:0900123@{HOSTS['a']}:5060;transport=tcp", ""),
                (f"sip:x@carrier.example;maddr={HOSTS['a']}", ""),
                ("sip:+49900123@carrier.example", f"Route: <sip:{HOSTS['a']};lr>"),
            )
        ):
            self.invite(uri, *([route] if route else []), branch=f"n{n}", call_id=f"n{n}")
            self.assertEqual((self.alice.took()[-1], self.a.took()), (403, []), uri)

    def test_counted(self) -> None:
        """What it may be asked for takes a channel of it, so that the next one is refused."""
        self.invite(f"sip:+4989@{HOSTS['a']}")
        self.a.reply(self.got(self.a), 200)
        self.assertEqual(self.in_use("a"), 1)
        self.alice.took()
        self.a.inbox.clear()
        self.invite(f"sip:+4988@{HOSTS['a']}", branch="m", call_id="m")
        self.assertEqual((self.alice.took()[-1], self.a.took()), (503, []))
        [call] = self.node.calls
        self.assertEqual((call.gateway_out, call.number), ("a", "+4989"))
        self.node.calls.end(call.key, "test")
        self.assertEqual(self.in_use("a"), 0)

    def test_disabled(self) -> None:
        """A gateway that is disabled is not called by its address either."""
        self.declare([evolve(gateway("a"), enabled=False)])
        self.invite(f"sip:+4989@{HOSTS['a']}")
        self.assertEqual((self.alice.took()[-1], self.a.took()), (503, []))

    def test_allowance(self) -> None:
        """What a user may have of gateways counts as well."""
        allowances = Allowances(
            self.world.clock,
            self.tallies,
            self.book,
            Allowance(0, 0, 0, ("+4989",)),
            {},
            self.world.clock.seconds,
        )
        self.addCleanup(allowances.stop)
        self.routing.allowances = allowances
        self.invite(f"sip:+4930@{HOSTS['a']}")
        self.assertEqual((self.alice.took()[-1], self.a.took()), (403, []))
        self.invite(f"sip:+4989@{HOSTS['a']}", branch="y", call_id="y")
        self.assertEqual(allowances.usage(USER, "alice@example.com")[:2], (1, 1))
        self.a.reply(self.got(self.a), 486)

    def test_allowance_of_forks(self) -> None:
        """INVITEs with one Call-ID and From tag count each, one that goes to several gateways once."""
        self.declare([gateway("a"), gateway("b")])
        allowances = Allowances(
            self.world.clock, self.tallies, self.book, Allowance(2), {}, self.world.clock.seconds
        )
        self.addCleanup(allowances.stop)
        self.routing.allowances = allowances
        self.invite("sip:+4981@example.com", branch="1")
        self.a.reply(self.got(self.a), 503)
        first = self.got(self.b)
        self.assertEqual(allowances.usage(USER, "alice@example.com")[:2], (1, 1))
        self.invite("sip:+4982@example.com", branch="2")
        self.assertEqual(allowances.usage(USER, "alice@example.com")[:2], (2, 2))
        second = self.got(self.a)
        self.invite("sip:+4983@example.com", branch="3")
        self.assertEqual(self.alice.took()[-1], 403)
        self.b.reply(first, 486)
        self.a.reply(second, 486)

    def test_by_another_name(self) -> None:
        """A host of one's own whose DNS has the address of a gateway is no way around it; another host is called."""
        self.dns.zone["trick.example", A] = (HOSTS["a"],)
        self.dns.zone["peer.example", A] = (HOSTS["c"],)
        self.invite("sip:+49900123@trick.example:5060;transport=udp")
        self.assertEqual((self.alice.took()[-1], self.a.took()), (500, []))
        self.assertEqual(self.in_use("a"), 0)
        self.invite("sip:bob@peer.example:5060;transport=udp", branch="p", call_id="p")
        self.c.reply(self.got(self.c), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_forwarded(self) -> None:
        """A user's forwarding to the address of a gateway is what he may have of it."""
        self.world.prefers("bob", {"forward.always": f"sip:+4989@{HOSTS['a']}", "forward.silent": "yes"})
        self.invite("sip:bob@example.com")
        self.assertEqual(self.in_use("a"), 1)
        self.a.reply(self.got(self.a), 486)
        self.assertEqual((self.alice.took(), self.in_use("a")), ([100, 486], 0))
        self.world.prefers("bob", {"forward.always": f"sip:+49900@{HOSTS['a']}"})
        self.a.inbox.clear()
        self.invite("sip:bob@example.com", branch="f", call_id="f")
        self.assertEqual((self.alice.took()[-1], self.a.took()), (403, []))
