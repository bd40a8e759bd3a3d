"""The table of calls."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import MAX_CONTACTS, MAX_PROXIES, Call, CallTable

KEY = CallKey("call-1", "a1")


def call(key: CallKey = KEY) -> Call:
    return Call(key, "sip:a@x", "sip:b@x", "192.0.2.1:5060", "UDP", "", "a", (), 100.0)


class CallTableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = CallTable()
        self.sizes: list[int] = []
        self.released: list[tuple[CallKey, str]] = []
        self.table.changed = lambda: self.sizes.append(len(self.table))
        self.table.released = lambda key, reason: self.released.append((key, reason))

    def test_life(self) -> None:
        """A call rings, is up, and ends once; each change of the number is told, and what it holds is released."""
        self.table.start(call())
        found = self.table.get(KEY)
        assert found is not None
        self.assertEqual(found.state, "ringing")
        self.table.answered(KEY, 105.0)
        self.table.answered(KEY, 109.0)
        self.assertEqual((found.state, found.answered, self.table.answered_count), ("up", 105.0, 1))
        self.assertTrue(self.table.end(KEY, "bye"))
        self.assertFalse(self.table.end(KEY, "bye"))
        self.assertEqual((self.sizes, self.released), ([1, 0], [(KEY, "bye")]))
        self.assertEqual(self.table.ended, {"bye": 1})
        self.assertIsNone(self.table.get(KEY))

    def test_why(self) -> None:
        """Ends are counted by a few reasons; the words behind one are for those who look at that call."""
        over: list[str] = []
        self.table.over = lambda call, reason: over.append(reason)
        self.table.start(call())
        self.table.failed(KEY, "refused 404", "no such user")
        self.assertEqual((over, self.table.ended), (["refused 404 (no such user)"], {"refused 404": 1}))
        self.assertEqual(self.released, [(KEY, "refused 404")])

    def test_copy(self) -> None:
        """The same call over another branch is no second one."""
        self.table.start(call())
        self.table.start(call())
        self.assertEqual((len(self.table), self.table.started, self.sizes), (1, 1, [1]))

    def test_unanswered(self) -> None:
        """Calls count for their user or address while they ring, however they end; 0 is any number."""
        table = CallTable(most_of_user=1, most_of_address=2)
        keys = [CallKey(f"call-{n}", "a1") for n in range(3)]
        table.start(call(keys[0]))
        self.assertTrue(table.has_room(None, "192.0.2.1"))
        table.start(call(keys[1]))
        self.assertFalse(table.has_room(None, "192.0.2.1"))
        self.assertTrue(table.has_room(None, "192.0.2.2"))
        table.answered(keys[0], 105.0)
        self.assertTrue(table.has_room(None, "192.0.2.1"))
        table.end(keys[0], "bye")
        table.failed(keys[1], "failed 486")
        self.assertEqual(table.unanswered, {})
        table.start(evolve(call(keys[2]), user="bob@x"))
        self.assertEqual(
            (table.has_room("bob@x", "192.0.2.1"), table.has_room("eve@x", "192.0.2.1")), (False, True)
        )
        self.assertTrue(CallTable().has_room("bob@x", "192.0.2.1"))

    def test_ipv6_origin(self) -> None:
        """Callers of one IPv6 /64 are one address."""
        table = CallTable(most_of_address=1)
        table.start(evolve(call(), source="[2001:db8::1]:5060"))
        self.assertFalse(table.has_room(None, "2001:db8::2"))

    def test_session_timer(self) -> None:
        """A session timer that nobody refreshed ends a call that was answered, even one with media (RFC 4028)."""
        self.table.start(call())
        found = self.table.get(KEY)
        assert found is not None
        for answered, expires, now, left in (
            (0.0, 0.0, 1000.0, 1), (0.0, 400.0, 1000.0, 1), (105.0, 400.0, 399.9, 1), (105.0, 900.0, 899.0, 1),
            (105.0, 900.0, 900.0, 0),
        ):  # fmt: skip
            found.lasts_until(expires)
            if answered:
                self.table.answered(KEY, answered)
            self.table.end_overdue(now, 3600.0, lambda key: True)
            self.assertEqual(len(self.table), left, now)
        self.assertEqual(self.released, [(KEY, "session expired")])

    def test_too_long(self) -> None:
        """A call without session timer ends when it is too long, unless its media are watched."""
        self.table.start(call())
        for now, watched, left in ((3700.0, False, 1), (3701.0, True, 1), (3701.0, False, 0)):
            self.table.end_overdue(now, 3600.0, lambda key, watched=watched: watched)
            self.assertEqual(len(self.table), left)
        self.assertEqual(self.table.ended, {"too long": 1})

    def test_sessions_of_a_fork(self) -> None:
        """A call of two dialogs lasts as long as the longer one, for ever when one has no session timer."""
        one = call()
        one.leg_up("x")
        one.lasts_until(200.0)
        one.leg_up("y")
        one.lasts_until(300.0)
        one.lasts_until(250.0)
        self.assertEqual(one.expires, 300.0)
        one.lasts_until(0.0)
        one.lasts_until(400.0)
        self.assertEqual(one.expires, 0.0)

    def test_where_requests_may_go(self) -> None:
        """To a Contact by its user and address, and along proxies of that side; a bounded number of each."""
        one = call()
        one.learn_contact(True, "sip:a@192.0.2.9:5070;x=y", True)
        self.assertTrue(one.leads(True, "sip:%61@192.0.2.9:5070"))
        for uri in ("sip:b@192.0.2.9:5070", "sip:a@192.0.2.9", "sip:a@192.0.2.9:5070;maddr=192.0.2.8"):
            self.assertFalse(one.leads(True, uri), uri)
        self.assertFalse(one.leads(False, "sip:a@192.0.2.9:5070"))
        one.learn_proxies(True, ["<sip:192.0.2.7;lr>", "<sip:192.0.2.7;lr>", "<"], True)
        self.assertTrue(one.goes_along(True, "<sip:192.0.2.7;lr;more>"))
        self.assertFalse(one.goes_along(False, "<sip:192.0.2.7;lr>"))
        self.assertFalse(one.goes_along(True, "<sip:192.0.2.7;lr;maddr=192.0.2.6>"))
        self.assertEqual(len(one.proxies), 2)
        one.learn_proxies(False, [f"<sip:p{n}.example;lr>" for n in range(100)], False)
        self.assertEqual(len(one.proxies), MAX_PROXIES)

    def test_what_is_proved(self) -> None:
        """What anybody may have said is told from what a user of ours said, and does not crowd it out."""
        one = call()
        one.learn_proxies(False, ["<sip:192.0.2.7;lr>"], False)
        one.learn_proxies(False, ["<sip:192.0.2.8;lr>"], True)
        for n in range(100):
            one.learn_contact(False, f"sip:b@192.0.2.9:{5000 + n}", False)
        one.learn_contact(False, "sip:b@192.0.2.10", True)
        self.assertEqual(len(one.contacts), MAX_CONTACTS + 1)
        self.assertTrue(one.leads(False, "sip:b@192.0.2.9:5000"))
        self.assertFalse(one.leads(False, "sip:b@192.0.2.9:5000", proved=True))
        self.assertTrue(one.leads(False, "sip:b@192.0.2.10"))
        self.assertTrue(one.leads(False, "sip:b@192.0.2.10", proved=True))
        self.assertTrue(one.goes_along(False, "<sip:192.0.2.7;lr>"))
        self.assertFalse(one.goes_along(False, "<sip:192.0.2.7;lr>", proved=True))
        self.assertTrue(one.goes_along(False, "<sip:192.0.2.8;lr>", proved=True))

    def test_moved_numbers(self) -> None:
        """By how much a caller's CSeq differs behind us is known of each call, also in the next process."""
        self.table.start(call())
        self.table.move(KEY, "carrier", 0)
        self.assertFalse(self.table.any_noted)
        self.table.move(KEY, "carrier", 2)
        self.table.move(CallKey("other", "x"), "carrier", 1)
        found = self.table.get(KEY)
        assert found is not None
        self.assertEqual((found.moved, found.proves_to, self.table.any_noted), (2, "carrier", True))
        after = CallTable()
        after.adopt(found)
        self.assertTrue(after.any_noted)

    def test_unknown(self) -> None:
        """What is said of an unknown call changes nothing."""
        self.table.answered(KEY, 1.0)
        self.assertFalse(self.table.end(KEY, "bye"))
        self.assertEqual((self.sizes, self.released, list(self.table)), ([], [], []))
