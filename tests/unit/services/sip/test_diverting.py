"""Calls to users with preferences, through a whole node."""

from __future__ import annotations

from collections.abc import Sequence

from tests.unit.services.sip_world import Phone, WorldCase

BOB, CAROL = "sip:bob@example.com", "sip:carol@example.com"


class DivertingCase(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob, self.carol = (self.world.phone(u, f"198.51.100.{n}") for n, u in ((2, "bob"), (3, "carol")))

    def register(self, *phones: Phone) -> None:
        for phone in phones:
            phone.register(self.node)
            phone.took()

    def calls(self, headers: Sequence[str] = (), uri: str = BOB) -> None:
        self.alice.send(self.node, "INVITE", uri, branch="call", headers=headers)


class ForwardTests(DivertingCase):
    def test_always(self) -> None:
        """The phone does not ring, the caller is told, and the copy says who did it and why (RFC 5359 section 2.7)."""
        self.register(self.bob, self.carol)
        self.world.prefers("bob", {"forward.always": "carol"})
        self.calls(["Diversion: <sip:x@far.example>;reason=away"])
        self.assertEqual((self.alice.took(), self.bob.took()), ([100, 181], []))
        copy = self.carol.request("INVITE")
        self.assertEqual(copy.uri, self.carol.uri)
        self.assertEqual(
            copy.get_all("diversion"),
            ["<sip:bob@example.com>;reason=unconditional;counter=1", "<sip:x@far.example>;reason=away"],
        )
        self.assertEqual(
            copy.get_all("history-info"),
            ["<sip:bob@example.com>;index=1", "<sip:carol@example.com;cause=302>;index=1.1;mp=1"],
        )
        self.assertEqual((copy.get("max-forwards"), copy.get("to")), ("69", "<sip:bob@example.com>"))
        self.carol.reply(copy, 200)
        self.assertEqual(self.alice.took(), [200])
        self.calls_left = 1

    def test_silent(self) -> None:
        """Whoever wants it has it not told."""
        self.register(self.carol)
        self.world.prefers("bob", {"forward.always": "carol", "forward.silent": "yes"})
        self.calls()
        self.assertEqual(self.alice.took(), [100])
        self.carol.reply(self.carol.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [486])

    def test_no_answer(self) -> None:
        """The phone is cancelled after its seconds; the next one is tried behind its 487, with a fresh copy (2.9)."""
        self.register(self.bob, self.carol)
        self.world.prefers("bob", {"forward.no-answer": "carol", "forward.no-answer-after": "3"})
        self.calls()
        ringing = self.bob.request("INVITE")
        self.assertNotIn("diversion", ringing.keys)
        self.bob.reply(ringing, 180)
        self.world.wait(2.8)
        self.assertEqual(self.bob.took(), ["INVITE"])
        self.world.wait(0.4)
        self.bob.reply(self.bob.request("CANCEL"), 200)
        self.assertEqual(self.carol.took(), [])
        self.bob.reply(ringing, 487)
        self.assertEqual(self.alice.took(), [100, 180, 181])
        self.carol.reply(self.carol.request("INVITE"), 200)
        self.assertEqual(self.alice.took(), [200])
        self.calls_left = 1

    def test_unregistered(self) -> None:
        """Nobody is registered: the call goes on at once, also a stranger's, who is answered without state else."""
        self.register(self.carol)
        self.calls()
        self.assertEqual(self.alice.took(), [480])
        self.world.prefers("bob", {"forward.unregistered": "carol"})
        self.alice.send(self.node, "INVITE", BOB, call_id="call-2")
        self.assertEqual(self.alice.took(), [100, 181])
        self.carol.reply(self.carol.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [486])

    def test_unreachable(self) -> None:
        """A phone whose socket is closed is as good as not registered."""
        self.register(self.bob, self.carol)
        self.world.prefers("bob", {"forward.unregistered": "carol"})
        self.world.network.closed.add(self.bob.address)
        self.calls()
        self.world.wait(0.1)
        self.assertEqual(self.alice.took(), [100, 181])
        self.carol.reply(self.carol.request("INVITE"), 486)

    def test_nobody_there(self) -> None:
        """Where a call is to go is nobody: the answer is that of whom it is about."""
        self.world.prefers("bob", {"forward.always": "carol"})
        self.calls()
        self.assertEqual(self.alice.took(), [480])
        self.world.prefers("bob", {"forward.always": "ghost"})
        self.calls()
        self.assertEqual(self.alice.took(), [404])

    def test_nobody_there_after_all(self) -> None:
        """The phone's own answer goes up when the other place is nobody's."""
        self.register(self.bob)
        self.world.prefers("bob", {"forward.busy": "ghost"})
        self.calls()
        self.bob.reply(self.bob.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_elsewhere(self) -> None:
        """A place that is none of ours gets the call from here."""
        far = self.world.phone("far", "203.0.113.9")
        self.world.prefers("bob", {"forward.always": far.uri})
        self.calls()
        self.assertEqual(far.request("INVITE").uri, far.uri)
        far.reply(far.request("INVITE"), 486)
        self.assertEqual(self.alice.took(), [100, 181, 486])

    def test_loop(self) -> None:
        """Two users who forward to each other: 482, without state for a stranger."""
        self.register(self.bob, self.carol)
        self.world.prefers("bob", {"forward.always": "carol"})
        self.world.prefers("carol", {"forward.always": "bob"})
        self.calls()
        self.assertEqual((self.alice.took(), self.carol.took(), self.bob.took()), ([482], [], []))

    def test_caller_gives_up(self) -> None:
        """A CANCEL ends it wherever it is."""
        self.register(self.bob, self.carol)
        self.world.prefers("bob", {"forward.busy": "carol"})
        self.calls()
        self.bob.reply(self.bob.request("INVITE"), 486)
        ringing = self.carol.request("INVITE")
        self.carol.reply(ringing, 180)
        self.alice.send(self.node, "CANCEL", BOB, branch="call")
        self.carol.reply(self.carol.request("CANCEL"), 200)
        self.carol.reply(ringing, 487)
        self.assertEqual(self.alice.took(), [100, 181, 180, 200, 487])
        self.assertEqual(len(self.node.calls), 0)

    def test_broken_diversion(self) -> None:
        """A Diversion that is none is the caller's fault, when it matters."""
        self.register(self.bob)
        self.world.prefers("bob", {"forward.busy": "carol"})
        self.calls(["Diversion: <sip:x"])
        self.assertEqual(self.alice.took(), [400])


class StaysTests(DivertingCase):
    def test_a_dialog_of_one_phone(self) -> None:
        """Replaces and Join mean a call that is up: it is not elsewhere."""
        self.register(self.bob, self.carol)
        self.world.prefers("bob", {"forward.always": "carol"})
        for header in ("Replaces: a;to-tag=b;from-tag=c", "Join: a;to-tag=b;from-tag=c"):
            self.alice.send(self.node, "INVITE", BOB, headers=[header], call_id=header)
            self.bob.reply(self.bob.request("INVITE"), 486)
            self.assertEqual((self.alice.took(), self.carol.took()), ([100, 486], []))

    def test_no_call(self) -> None:
        """A MESSAGE is screened and not forwarded; a SUBSCRIBE is neither."""
        self.register(self.bob, self.carol)
        self.world.prefers("bob", {"forward.always": "carol", "screen.incoming": "deny:alice@example.com"})
        self.alice.send(self.node, "MESSAGE", BOB)
        self.assertEqual((self.alice.took(), self.bob.took()), ([403], []))
        self.alice.send(self.node, "SUBSCRIBE", BOB, call_id="call-2")
        self.bob.reply(self.bob.request("SUBSCRIBE"), 200)
        self.assertEqual(self.alice.took(), [200])


class ScreeningTests(DivertingCase):
    def screened(self, *headers: str, from_uri: str | None = None) -> list[int | str]:
        self.world.branches += 1
        self.alice.send(
            self.node,
            "INVITE",
            BOB,
            headers=headers,
            call_id=f"call-{self.world.branches}",
            from_uri=from_uri,
        )
        took = self.alice.took()
        if took == [100]:
            self.bob.reply(self.bob.request("INVITE"), 486)
            self.alice.took()
        return took

    def test_names(self) -> None:
        """By From, by the number in it, and by whether the caller hides who he is (RFC 3323)."""
        self.register(self.bob)
        self.world.prefers(
            "bob", {"screen.incoming": "decline:mallory@example.com, deny:+4990*, deny:anonymous"}
        )
        self.assertEqual(self.screened(), [100])
        self.assertEqual(self.screened(from_uri="sip:mallory@example.com"), [603])
        self.assertEqual(self.screened(from_uri="sip:+49-900-1@gw.example;user=phone"), [403])
        self.assertEqual(self.screened(from_uri="tel:+499001"), [403])
        self.assertEqual(self.screened(from_uri="sip:anonymous@anonymous.invalid"), [403])
        self.assertEqual(self.screened("Privacy: header; id"), [403])
        self.assertEqual(self.screened("Privacy: none"), [100])

    def test_asserted_by_nobody(self) -> None:
        """What a client asserts of himself is no name of his (RFC 3325 section 5)."""
        self.register(self.bob)
        self.world.prefers("bob", {"screen.incoming": "allow:boss@example.com, decline:*"})
        self.assertEqual(self.screened("P-Asserted-Identity: <sip:boss@example.com>"), [603])


class OutgoingTests(WorldCase):
    def test_after_the_password(self) -> None:
        """Who proved his password is refused what he does not want called from his phone (RFC 5359 section 2.14)."""
        node = self.world.node("a", auth=True)
        alice, far = self.world.phone("alice", "198.51.100.1"), self.world.phone("+49900", "203.0.113.9")
        self.world.prefers("alice", {"screen.outgoing": "deny:+49900*"})
        alice.send(node, "INVITE", far.uri)
        proof = alice.credentials(alice.response(407), "INVITE", far.uri)
        alice.took()
        alice.send(node, "INVITE", far.uri, cseq=2, headers=[proof])
        refused = alice.response(403)
        self.assertIn("by the preferences of the caller", refused.get("warning") or "")
        self.assertEqual((alice.took(), far.took()), ([403], []))
