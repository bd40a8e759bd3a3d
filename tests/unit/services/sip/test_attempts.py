"""One branch to a name: its servers tried one after the other (RFC 3263 section 4.3)."""

from __future__ import annotations

from itertools import product

from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.services.names_world import NET, ONE, TWO, NamesCase
from voipcluster.address import Hop
from voipcluster.errors import TransportError
from voipcluster.services.node.records import CallRecord
from voipcluster.services.records.rows import row_of
from voipcluster.services.sip.attempts import Attempts
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.services.transaction.resolving import REFUSED, SILENT, UNAVAILABLE
from voipcluster.services.transaction.runners import IClientUser
from voipcluster.sip.dns import NAPTR, SRV, A, Naptr, Srv
from voipcluster.sip.message import Response
from voipcluster.sip.proxy.events import Target

CAROL = f"sip:carol@{NET}"


class AttemptsCase(NamesCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.one, self.two = self.world.phone("carol", ONE), self.world.phone("carol", TWO)

    def invite(self) -> None:
        self.alice.send(self.node, "INVITE", CAROL, branch="first")

    def fails_over(self) -> None:
        """What came to the first server came to the second one, in a transaction of its own, and nowhere else."""
        first, second = self.one.request("INVITE"), self.two.request("INVITE")
        self.assertNotEqual(first.top_via.branch, second.top_via.branch)
        self.assertEqual((first.call_id, first.cseq, first.uri), (second.call_id, second.cseq, second.uri))


class FailoverTests(AttemptsCase):
    def test_first_server(self) -> None:
        """A request to a name goes to its first server; the Request-URI stays what it was."""
        self.invite()
        invite = self.one.request("INVITE")
        self.assertEqual(invite.uri, CAROL)
        self.one.reply(invite, 486)
        self.assertEqual((self.alice.took(), self.two.took()), ([100, 486], []))
        self.assertEqual(self.one.took(), ["INVITE", "ACK"])

    def test_silent(self) -> None:
        """A silent first server: the second one is asked after a while, and the first one is tried last from then on."""
        self.world.network.lost.add(self.one.address)
        self.invite()
        self.world.wait(4.9)
        self.assertEqual(self.two.took(), [])
        self.world.wait(0.3)
        self.two.reply(self.two.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.assertEqual(self.resolving.failures, {SILENT: 1})
        self.two.inbox.clear()
        self.alice.send(self.node, "INVITE", CAROL, call_id="call-2")
        self.two.reply(self.two.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_late_sign_of_life(self) -> None:
        """A server that was given up and answers yet is told to stop; the caller hears nothing of it (section 9.1)."""
        self.invite()
        self.world.wait(5.2)
        self.fails_over()
        self.one.reply(self.one.request("INVITE"), 180)
        self.assertEqual(self.one.took()[-1], "CANCEL")
        self.assertEqual(self.alice.took(), [100])
        self.two.reply(self.two.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [486])
        self.one.took()

    def test_late_answer(self) -> None:
        """A 2xx of a server that was given up still goes to the caller, who has a call then (16.7 step 5)."""
        self.calls_left = 1
        self.invite()
        self.world.wait(5.2)
        self.one.reply(self.one.request("INVITE"), 200)
        self.assertEqual(self.alice.took(), [100, 200])
        self.world.wait(6.0)

    def test_late_answer_while_the_next_one_rings(self) -> None:
        """That one is cancelled then, at once or as soon as it speaks (16.7 step 10, 9.1); a 200 that crosses goes up, too."""
        for rings_before, crosses in product((True, False), repeat=2):
            with self.subTest(rings_before=rings_before, crosses=crosses):
                self.invite()
                self.world.wait(5.2)
                one, two = self.one.request("INVITE"), self.two.request("INVITE")
                if rings_before:
                    self.two.reply(two, 180)
                self.one.reply(one, 200)
                if not rings_before:
                    self.assertNotIn("CANCEL", self.two.took())
                    self.two.reply(two, 180)
                self.two.reply(self.two.request("CANCEL"), 200)
                self.alice.took()
                self.two.reply(two, 200 if crosses else 487)
                self.assertEqual(self.alice.took(), [200] if crosses else [])
                for call in list(self.node.calls):
                    self.node.calls.end(call.key, "bye")
                self.resolving.answered(Hop("UDP", ONE, 5060))
                self.world.wait(70, step=0.5)
                for phone in (self.alice, self.one, self.two):
                    phone.took()

    def test_late_decline(self) -> None:
        """A 6xx is the answer of whoever is called, over whichever server: the other one is cancelled (16.7 step 5)."""
        self.invite()
        self.world.wait(5.2)
        self.two.reply(self.two.request("INVITE"), 180)
        self.alice.took()
        self.one.reply(self.one.request("INVITE"), 603)
        self.assertEqual(self.alice.took(), [603])
        self.two.reply(self.two.request("CANCEL"), 200)
        self.two.reply(self.two.request("INVITE"), 487)
        self.assertEqual(self.alice.took(), [])

    def test_503(self) -> None:
        """503 from the first server: the second one is asked at once; the ACK goes to the first one (17.1.1.3)."""
        self.invite()
        self.one.reply(self.one.request("INVITE"), 503)
        self.fails_over()
        acked = self.one.request("ACK")
        self.assertEqual(acked.top_via.branch, self.one.request("INVITE").top_via.branch)
        self.two.reply(self.two.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.assertEqual(self.two.took(), ["INVITE", "ACK"])
        self.assertEqual((self.one.took(), self.resolving.failures), (["INVITE", "ACK"], {UNAVAILABLE: 1}))

    def test_where_the_media_is_vouched_for(self) -> None:
        """The relay hears of an answer that it came from the server that was asked last, not from nowhere."""
        seen = []

        def message_passes(call: object, **what: object) -> object:
            seen.append((what["status"], getattr(what["source"], "host", "")))
            return what["body"]

        serving = self.node.serving
        serving._relays = serving._answers._relays = True  # as with a relay that is on from the start
        serving._media._off, serving._media.message_passes = False, message_passes
        self.invite()
        self.one.reply(self.one.request("INVITE"), 503)
        self.two.reply(self.two.request("INVITE"), 183, body=b"early")
        self.two.reply(self.two.request("INVITE"), 486)
        self.assertEqual(seen[:2], [(None, "198.51.100.1"), (183, TWO)])

    def test_503_of_all(self) -> None:
        """503 from all: 500 for the caller, whom we serve well otherwise (16.7 step 6)."""
        self.invite()
        self.one.reply(self.one.request("INVITE"), 503)
        self.two.reply(self.two.request("INVITE"), 503)
        self.assertEqual(self.alice.took(), [100, 500])

    def test_retry_after(self) -> None:
        """A server that says for how long it cannot serve is tried last for that time (21.5.4)."""
        self.invite()
        self.one.reply(self.one.request("INVITE"), 503, headers=[("retry-after", "100 (busy);duration=60")])
        self.two.reply(self.two.request("INVITE"), 486)
        self.world.wait(90, step=1.0)
        self.assertEqual(self.resolving.dead_hops, 1)
        self.world.wait(11, step=1.0)
        self.assertEqual(self.resolving.dead_hops, 0)

    def test_refused(self) -> None:
        """Port unreachable: the next server at once, not after 32 s (18.4)."""
        self.world.network.closed.add(self.one.address)
        self.invite()
        self.world.wait(0.2)
        self.two.reply(self.two.request("INVITE"), 486)
        self.assertEqual((self.alice.took(), self.resolving.failures), ([100, 486], {REFUSED: 1}))

    def test_refused_by_all(self) -> None:
        """All refuse: as if each had answered 503 (16.9)."""
        self.world.network.closed.update((self.one.address, self.two.address))
        self.invite()
        self.world.wait(0.3)
        self.assertEqual(self.alice.took(), [100, 500])

    def test_other_failures(self) -> None:
        """Any other answer is one: 500 and 486 of a server are nothing that another server would say better (section 4.3)."""
        self.invite()
        self.one.reply(self.one.request("INVITE"), 500)
        self.assertEqual((self.alice.took(), self.two.took()), ([100, 500], []))

    def test_one_transaction_one_server(self) -> None:
        """All retransmissions go to one server (section 4.2), also when it falls behind in the meantime."""
        self.dns.zone[f"_sip._udp.{NET}", SRV] = (Srv(1, 1, 5060, f"one.{NET}"),)
        self.invite()
        self.dns.zone[f"one.{NET}", A] = (TWO,)
        self.world.wait(40)
        self.assertEqual((set(self.one.took()), self.two.took()), ({"INVITE"}, []))
        self.assertEqual(self.alice.took()[:2], [100, 408])

    def test_non_invite(self) -> None:
        """What is no INVITE waits for Timer F: a server may take its time with it (RFC 4320); the next request goes elsewhere."""
        self.alice.send(self.node, "MESSAGE", CAROL)
        self.world.wait(31.9)
        self.assertEqual(self.two.took(), [])
        self.world.wait(0.5)
        self.two.reply(self.two.request("MESSAGE"), 200)
        self.alice.send(self.node, "MESSAGE", CAROL, call_id="call-2")
        self.two.reply(self.two.request("MESSAGE"), 200)
        self.assertEqual(self.alice.took(), [200, 200])
        self.one.took()

    def test_stateless_ack(self) -> None:
        """ACK and BYE of a dialog whose remote target is a name reach the server that has the call (section 4.3)."""
        alike = (Srv(1, 1, 5060, f"one.{NET}"), Srv(1, 1, 5060, f"two.{NET}"))
        self.dns.zone[f"_sip._udp.{NET}", SRV] = alike
        for number in range(6):
            call_id = f"call-{number}"
            self.alice.send(self.node, "INVITE", CAROL, call_id=call_id)
            serving = self.one if self.one.inbox else self.two
            serving.contact = CAROL
            serving.reply(serving.request("INVITE"), 200)
            ok = self.alice.response(200)
            routes = ok.get_all("record-route")
            for method in ("ACK", "BYE"):
                self.alice.send(
                    self.node,
                    method,
                    CAROL,
                    call_id=call_id,
                    to_tag=ok.to_tag or "",
                    routes=routes,
                    cseq=1 + (method == "BYE"),
                )
            serving.reply(serving.request("BYE"), 200)
            self.assertEqual(serving.took(), ["INVITE", "ACK", "BYE"])
            self.assertEqual(self.one.inbox + self.two.inbox, [])
            self.alice.took()

    def test_ack_to_nowhere(self) -> None:
        """An ACK to a name that leads nowhere is dropped, quietly (17.1.1.3)."""
        self.invite()
        self.one.contact = "sip:carol@nowhere.example"
        self.one.reply(self.one.request("INVITE"), 200)
        ok = self.alice.response(200)
        for method, number in (("ACK", 1), ("BYE", 2)):
            self.alice.send(
                self.node,
                method,
                self.one.contact,
                to_tag=ok.to_tag or "",
                routes=ok.get_all("record-route"),
                cseq=number,
            )
        self.assertEqual(self.alice.took(), [100, 200, 500])


class PatientTests(AttemptsCase):
    next_after = 0.0

    def test_timer_b(self) -> None:
        """Without patience of its own Timer B says that a server is silent (section 4.3: a time-out of the transaction)."""
        self.invite()
        self.world.wait(31.8)
        self.assertEqual(self.two.took(), [])
        self.world.wait(0.6)
        self.fails_over()
        self.two.reply(self.two.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.one.took()


class SilentTcpTests(AttemptsCase):
    """More than 1300 octets go over TCP first (RFC 3261 section 18.1.1), but not each time where TCP leads nowhere."""

    def setUp(self) -> None:
        super().setUp()
        self.calls = 0

    def call(self, uri: str, seconds: float) -> list[str]:
        """Call with a large INVITE; gives the transports that it goes over within so many seconds, and ends the call."""
        self.calls += 1
        before = len(self.world.network.log)
        self.alice.send(self.node, "INVITE", uri, call_id=f"large-{self.calls}", body="x" * 1500)
        self.world.wait(seconds)
        sent = [data for _, to, data in self.world.network.log[before:] if to == self.one.address]
        found = list(dict.fromkeys(data.split(b"Via: SIP/2.0/", 1)[1][:3].decode() for data in sent))
        invite = self.one.request("INVITE")
        self.one.reply(invite, 486)
        self.assertEqual((self.alice.took()[-1], self.two.took()), (486, []))
        self.one.took()
        return found

    def forgets(self, uri: str) -> None:
        """TCP is silent once, and tried last for as long as its penalty goes on."""
        self.world.network.deaf.add(self.one.address)
        self.assertEqual(self.call(uri, 5.2), ["TCP", "UDP"])
        self.assertEqual(self.resolving.failures, {SILENT: 1})
        for _ in range(3):
            self.assertEqual(self.call(uri, 0.1), ["UDP"])
        self.world.wait(30, step=1.0)
        self.world.network.deaf.clear()
        self.assertEqual(self.call(uri, 0.1), ["TCP"])

    def test_address(self) -> None:
        """A numeric next hop whose firewall drops TCP delays one INVITE, not all."""
        self.forgets(f"sip:carol@{ONE}")

    def test_name(self) -> None:
        """The same for the servers of a name; the second one is not asked in place of the first one's UDP."""
        self.forgets(CAROL)

    def test_hand_over(self) -> None:
        """A node that takes UDP only has a large INVITE over UDP before it is given up as dead; the next one at once."""
        other, third = self.world.node("b"), self.world.node("c")
        third.load(0.9)
        self.node.load(0.8)
        self.world.network.deaf.add(other.address)
        for number, seconds in enumerate((0.7, 0.1)):
            call_id = f"handed-{number}"
            self.alice.send(self.node, "INVITE", "sip:bob@example.com", call_id=call_id, body="x" * 1500)
            self.world.wait(seconds)
            self.assertEqual(self.alice.took()[-1], 480, "what b says of bob, who is nowhere")
        self.assertEqual(dict(self.node.placing.handed_over), {"b": 2})
        self.world.wait(1.5)
        self.assertEqual(dict(self.node.placing.handed_over), {"b": 2})


class CancelTests(AttemptsCase):
    def cancel(self) -> None:
        self.alice.send(self.node, "CANCEL", CAROL, branch="first")

    def test_same_server(self) -> None:
        """CANCEL goes to the server that has the INVITE, not to the first of the list (9.1)."""
        self.invite()
        self.one.reply(self.one.request("INVITE"), 503)
        invite = self.two.request("INVITE")
        self.two.reply(invite, 180)
        self.cancel()
        cancelled = self.two.request("CANCEL")
        self.assertEqual(cancelled.top_via.branch, invite.top_via.branch)
        self.two.reply(cancelled, 200)
        self.two.reply(invite, 487)
        self.assertEqual(self.alice.took(), [100, 180, 200, 487])
        self.assertEqual(self.one.took(), ["INVITE", "ACK"])

    def test_before_anything_is_heard(self) -> None:
        """Between two servers CANCEL waits for the second one's first sign (9.1), also when the first one had rung."""
        self.invite()
        self.one.reply(self.one.request("INVITE"), 180)
        self.one.reply(self.one.request("INVITE"), 503)
        invite = self.two.request("INVITE")
        self.cancel()
        self.assertEqual(self.two.took(), ["INVITE"])
        self.two.reply(invite, 100)
        self.assertEqual(self.two.took(), ["CANCEL"])
        self.two.reply(invite, 487)
        self.assertEqual(self.alice.took(), [100, 180, 200, 487])
        self.one.took()

    def test_no_further_server(self) -> None:
        """After CANCEL no other server is asked, whatever the present one does."""
        for end in ("silence", "503", "refused"):
            alice = self.world.phone("alice", f"198.51.100.{100 + len(end)}")
            alice.send(self.node, "INVITE", CAROL, branch=end, call_id=end)
            asked = self.one if self.one.inbox else self.two
            alice.send(self.node, "CANCEL", CAROL, branch=end, call_id=end)
            if end == "503":
                asked.reply(asked.request("INVITE"), 503)
            elif end == "refused":
                self.node.transactions.unreachable(Hop("UDP", *asked.address))
            self.world.wait(40, step=0.5)
            self.assertEqual(alice.took()[-1], 487, end)
            self.assertEqual((self.two if asked is self.one else self.one).took(), [], end)
            asked.took()
            self.world.wait(700, step=1.0)


class LookupTests(AttemptsCase):
    def setUp(self) -> None:
        super().setUp()
        self.dns.silent.add(NET)

    def test_slow(self) -> None:
        """While the DNS is slow the caller has its 100, copies ask nothing more, and other calls are served."""
        self.invite()
        self.alice.send(self.node, "INVITE", CAROL, branch="first")
        self.assertEqual((self.alice.took(), self.dns.asked), ([100, 100], [f"NAPTR of {NET}"]))
        self.alice.send(self.node, "INVITE", f"sip:carol@{TWO}", call_id="call-2")
        self.two.reply(self.two.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])
        self.world.wait(5)
        self.alice.took()
        self.assertEqual(self.one.took(), [])
        self.dns.answer_held()
        self.world.run()
        self.one.reply(self.one.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [486])

    def test_cancelled(self) -> None:
        """CANCEL while the name is looked up: 487 at once, and nothing is sent when the answer comes."""
        self.invite()
        self.alice.send(self.node, "CANCEL", CAROL, branch="first")
        self.assertEqual(self.alice.took(), [100, 200, 487])
        self.dns.answer_held()
        self.world.wait(1)
        self.assertEqual((self.one.took(), self.two.took()), ([], []))

    def test_silent_dns(self) -> None:
        """A DNS that never answers ends the request with 500 (16.9), in bounded time."""
        self.dns.silent.add(f"_sip._udp.{NET}")
        self.invite()
        self.world.wait(31)
        self.assertEqual(self.alice.took()[:2], [100, 500])
        self.dns.held.clear()

    def test_stopped(self) -> None:
        """When the node stops, whoever waits for a name is answered, and nothing is left behind."""
        self.invite()
        self.successResultOf(self.resolver.stopService())
        self.world.run()
        self.assertEqual(self.alice.took(), [100, 500])

    def test_other_branch_answers(self) -> None:
        """A name that is found when another phone has answered is not called any more (16.7 step 10)."""
        self.calls_left = 1
        bob = self.world.phone("bob", "198.51.100.2")
        both = [Target(bob.uri), Target(CAROL)]
        self.node.targets.locate = lambda uri: both
        self.alice.send(self.node, "INVITE", "sip:bob@example.com")
        bob.reply(bob.request("INVITE"), 200)
        self.dns.answer_held()
        self.world.wait(1)
        self.assertEqual((self.one.took(), self.alice.took()[-1]), ([], 200))

    def test_abandoned(self) -> None:
        """Who hands the request to somebody else in the meantime hears nothing of the look-up, and sends nothing."""
        self.invite()
        (incoming,) = self.node.transactions.servers.values()
        request, forwarding = incoming.request, incoming.user
        assert isinstance(forwarding, Forwarding)
        forwarding.abandon()
        self.dns.answer_held()
        self.world.wait(1)
        self.assertEqual((self.alice.took(), self.one.took()), ([100], []))
        incoming.request = request
        incoming.answer(480)
        self.node.calls.failed(next(iter(self.node.calls)).key, "abandoned")


class MovedTests(AttemptsCase):
    def test_who_hears(self) -> None:
        """Whoever takes the branch over hears of it by a number of his own, and it goes to no more servers."""
        heard: list[tuple[int, int]] = []

        @implementer(IClientUser)
        class Heir:
            def response_received(self, branch: int, response: Response) -> None:
                heard.append((branch, response.status))

            def timed_out(self, branch: int) -> None:
                heard.append((branch, 0))

            def send_failed(self, branch: int, error: TransportError) -> None:
                heard.append((branch, -1))

        verifyObject(IClientUser, Heir())
        self.invite()
        (incoming,) = self.node.transactions.servers.values()
        request, forwarding = incoming.request, incoming.user
        assert isinstance(forwarding, Forwarding)
        attempts = forwarding._clients.pop(0)
        assert isinstance(attempts, Attempts)
        attempts.move_to(Heir(), 7)
        self.one.reply(self.one.request("INVITE"), 180)
        self.world.wait(10)
        self.assertEqual((heard, self.two.took()), ([(7, 180)], []))
        self.one.reply(self.one.request("INVITE"), 486)
        self.assertEqual((heard[1:], self.alice.took()), ([(7, 486)], [100]))
        forwarding.abandon()
        incoming.request = request
        incoming.answer(480)
        self.node.calls.failed(next(iter(self.node.calls)).key, "moved")


class NoServerTests(AttemptsCase):
    def test_no_such_name(self) -> None:
        """A name that does not exist: 500 at once, for each method (16.9, 16.7 step 6)."""
        for number, method in enumerate(("INVITE", "MESSAGE")):
            self.alice.send(self.node, method, "sip:x@nowhere.example", call_id=f"n{number}")
            self.assertEqual(self.alice.took()[-1], 500)
        self.assertEqual(self.resolving.unresolved, 2)

    def test_the_record(self) -> None:
        """What could not be sent nobody has refused but this node, and the record says why."""
        over: list[CallRecord] = []
        self.node.calls.over = lambda call, reason: over.append(CallRecord(call, 0.0, reason, None))
        self.alice.send(self.node, "INVITE", "sip:x@nowhere.example")
        self.assertEqual(self.alice.took()[-1], 500)
        (record,) = over
        row = row_of(record, "a", False)
        self.assertEqual(
            (row["sip_code"], row["ended_by"], row["target"]), ("500", "node", "sip:x@nowhere.example")
        )
        self.assertTrue(row["cause"].startswith("not sent: nowhere.example cannot be resolved"), row["cause"])

    def test_route(self) -> None:
        """A name in Route is looked up, not that of the Request-URI (16.6 step 7)."""
        self.alice.send(self.node, "INVITE", "sip:x@nowhere.example", routes=[f"<sip:{NET};lr>"])
        invite = self.one.request("INVITE")
        self.assertEqual((invite.uri, invite.values("route")), ("sip:x@nowhere.example", [f"<sip:{NET};lr>"]))
        self.one.reply(invite, 486)

    def test_transport(self) -> None:
        """The Via names the transport that was found."""
        self.dns.zone[NET, NAPTR] = (Naptr(1, 1, "s", "SIP+D2T", f"_sip._tcp.{NET}"),)
        self.dns.zone[f"_sip._tcp.{NET}", SRV] = (
            Srv(1, 1, 5070, f"one.{NET}"),
            Srv(2, 1, 5060, f"two.{NET}"),
        )
        two = self.world.phone("carol", TWO, "TCP")
        self.invite()
        self.world.wait(0.2)
        invite = two.request("INVITE")
        self.assertEqual(invite.top_via.transport, "TCP")
        two.reply(invite, 486)
        self.assertEqual((self.alice.took(), self.resolving.failures), ([100, 486], {REFUSED: 1}))

    def test_without_dns(self) -> None:
        """Where nobody looks names up, a name is a target that cannot be reached."""
        self.node.core.resolving = None
        self.invite()
        self.assertEqual(self.alice.took(), [100, 500])

    def test_a_fault_of_ours(self) -> None:
        """Whatever goes wrong behind a look-up, the caller gets an end."""
        self.dns.silent.add(NET)
        self.invite()
        self.node.transport.flow_to = None
        self.dns.answer_held()
        self.world.run()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(self.alice.took(), [100, 500])


class LargeTests(AttemptsCase):
    """More than 1300 octets (RFC 3261 section 18.1.1)."""

    def large(self, uri: str, method: str = "MESSAGE") -> None:
        self.alice.send(self.node, method, uri, branch="first", body="x" * 1500)

    def test_address(self) -> None:
        """A next hop that is an address is asked over TCP."""
        self.large(f"sip:carol@{ONE}")
        self.assertEqual(self.one.request("MESSAGE").top_via.transport, "TCP")
        self.one.reply(self.one.request("MESSAGE"), 200)
        self.assertEqual(self.alice.took(), [200])

    def test_refused(self) -> None:
        """Where TCP is refused it goes over UDP, with another branch."""
        self.world.network.refusing.add((ONE, 5060))
        self.large(f"sip:carol@{ONE}")
        self.world.wait(0.1)
        self.assertEqual(self.one.request("MESSAGE").top_via.transport, "UDP")
        self.one.reply(self.one.request("MESSAGE"), 200)
        self.assertEqual(self.alice.took(), [200])

    def test_name(self) -> None:
        """Each server of a name is asked over TCP first."""
        self.large(CAROL)
        self.assertEqual(self.one.request("MESSAGE").top_via.transport, "TCP")
        self.one.reply(self.one.request("MESSAGE"), 200)
        self.assertEqual(self.alice.took(), [200])

    def test_asked_for(self) -> None:
        """Who says transport=udp gets UDP (RFC 3263 section 4.1)."""
        for uri in (f"sip:carol@{ONE};transport=udp", f"{CAROL};transport=udp"):
            self.alice.send(self.node, "MESSAGE", uri, branch=uri[11:15], call_id=uri, body="x" * 1500)
            self.assertEqual(self.one.request("MESSAGE").top_via.transport, "UDP")
            self.one.reply(self.one.request("MESSAGE"), 200)
            self.assertEqual(self.alice.took(), [200])

    def test_small(self) -> None:
        """Less goes over UDP."""
        self.alice.send(self.node, "MESSAGE", f"sip:carol@{ONE}", branch="first", body="x" * 100)
        self.assertEqual(self.one.request("MESSAGE").top_via.transport, "UDP")
        self.one.reply(self.one.request("MESSAGE"), 200)
        self.assertEqual(self.alice.took(), [200])
