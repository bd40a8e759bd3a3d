"""The agent that only answers, and where its checks let media go (RFC 8445, attack M6)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media import stun
from voipcluster.media.ice import FRESH, Agent, Checked, Credentials, IceLatch, answer, candidates
from voipcluster.media.latch import Accept, Aim, Arrived, Effect, Guard, State
from voipcluster.media.rtp import Kind
from voipcluster.media.target import Address

OURS = Credentials("oUrs", "password-of-22-ice-chars")
PASSWORD = OURS.password.encode()
WIFI, MOBILE, STRANGER = Address("198.51.100.7", 4000), Address("192.0.2.9", 5000), Address("203.0.113.66", 6)
TRANSACTION = bytes(range(12))


def check(
    user: str = "oUrs:them",
    password: bytes = PASSWORD,
    *more: tuple[int, bytes],
    priority: bytes = b"\0\0\0\7",
    controls: bool = True,
) -> bytes:
    """A binding request as an ICE agent sends it."""
    role = (0x802A if controls else stun.ICE_CONTROLLED, bytes(8))
    attributes = [(stun.USERNAME, user.encode()), role, *more]
    if priority:
        attributes.append((stun.PRIORITY, priority))
    return stun.binding_request(TRANSACTION, attributes, password)


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.agent = Agent(OURS)

    def refusal(self, datagram: bytes) -> int:
        said, checked = answer(self.agent, datagram, WIFI)
        self.assertIsNone(checked)
        assert said is not None
        _, _, kind, number = stun.read_stun(said).attributes[stun.ERROR_CODE]
        return kind * 100 + number

    def test_good_check(self) -> None:
        """It is told the address it came from, under our password, and counts (RFC 8445 section 7.3)."""
        said, checked = answer(self.agent, check(), WIFI)
        assert said is not None
        self.assertTrue(stun.read_stun(said).made_with(PASSWORD))
        self.assertEqual(said, stun.success(TRANSACTION, *WIFI, PASSWORD))
        self.assertEqual(checked, Checked(WIFI, "them", 7, nominates=False))

    def test_nominates(self) -> None:
        """USE-CANDIDATE is seen (RFC 8445 section 7.3.1.5)."""
        _, checked = answer(self.agent, check("oUrs:them", PASSWORD, (stun.USE_CANDIDATE, b"")), WIFI)
        self.assertEqual(checked, Checked(WIFI, "them", 7, nominates=True))

    def test_wrong_password(self) -> None:
        """401 (RFC 8489 section 9.1.3)."""
        self.assertEqual(self.refusal(check(password=b"guess")), 401)

    def test_wrong_role(self) -> None:
        """Who believes to be controlled is told to change: a lite agent never controls (RFC 8445 section 7.3.1.1)."""
        self.assertEqual(self.refusal(check(controls=False)), 487)

    def test_not_understood(self) -> None:
        """A comprehension-required attribute that we do not know (RFC 8489 section 6.3.1)."""
        self.assertEqual(self.refusal(check("oUrs:them", PASSWORD, (0x7FFF, b""))), 420)

    def test_without_priority(self) -> None:
        """A check has a priority (RFC 8445 section 7.1.1)."""
        self.assertEqual(self.refusal(check(priority=b"")), 400)

    def test_silence(self) -> None:
        """Strangers, other calls, answers, indications and junk get nothing: no reflector, no oracle for names."""
        request = check()
        for datagram in (
            check("other:them"),
            check("oUrs"),
            check("oUrs:a:b"),
            check("\xff:them"),
            b"\x01\x01" + request[2:],
            stun.success(TRANSACTION, *WIFI, PASSWORD),
            request[:-1],
            b"",
            b"\x80\x00" + bytes(30),
        ):
            self.assertEqual(answer(self.agent, datagram, WIFI), (None, None))

    def test_restart(self) -> None:
        """New and former credentials are good until the next restart; a rolled back one changes places (section 9)."""
        new, newer = Credentials("new1", "n" * 22), Credentials("new2", "m" * 22)
        self.agent.renew(new)
        good = [self.agent.password(c.ufrag) is not None for c in (OURS, new)]
        self.assertEqual(good, [True, True])
        self.agent.roll_back()
        self.assertEqual(self.agent.current, OURS)
        self.agent.renew(newer)
        good = [self.agent.password(c.ufrag) is not None for c in (OURS, new, newer)]
        self.assertEqual(good, [True, False, True])

    def test_candidates(self) -> None:
        """One host candidate for each component, of the priority for a single address (RFC 8445 section 5.1.2.2)."""
        self.assertEqual(
            candidates("2001:db8::1", (30000, 30001)),
            [
                b"a=candidate:1 1 UDP 2130706431 2001:db8::1 30000 typ host",
                b"a=candidate:1 2 UDP 2130706430 2001:db8::1 30001 typ host",
            ],
        )


class LatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.latch = IceLatch()

    def hears(
        self, source: Address, priority: int, now: float, *, nominates: bool = True, ufrag: str = "them"
    ) -> list[Effect]:
        return self.latch.heard(Checked(source, ufrag, priority, nominates), now)

    def takes(self, source: Address, kind: Kind = Kind.RTP) -> bool:
        return self.latch.arrived(Arrived(source, kind)) == [Accept()]

    def test_nothing_before_a_nomination(self) -> None:
        """Neither media nor DTLS is taken from anywhere, the signalled address included (attack M6)."""
        self.assertEqual(self.latch.expect("them", WIFI, 0), [Aim(None)])
        self.assertEqual(self.hears(WIFI, 7, 0, nominates=False), [])
        for source in (WIFI, STRANGER):
            for kind in Kind:
                self.assertFalse(self.takes(source, kind))
        self.assertEqual((self.latch.state, self.latch.remote), (State.OPEN, None))

    def test_nominated_alone(self) -> None:
        """Media goes to the nominated source and comes from there alone."""
        self.latch.expect("them", None, 0)
        self.assertEqual(self.hears(MOBILE, 7, 0), [Guard(MOBILE)])
        self.assertEqual(self.hears(MOBILE, 7, 2), [])
        self.assertEqual([self.takes(source) for source in (MOBILE, WIFI)], [True, False])
        self.assertTrue(self.takes(MOBILE, Kind.DTLS))
        self.assertFalse(self.takes(MOBILE, Kind.OTHER))
        self.assertIs(self.latch.state, State.LATCHED)

    def test_check_before_its_description(self) -> None:
        """The callee's checks may overtake its answer: they count once it is there, and only for that fork."""
        self.assertEqual(self.hears(WIFI, 7, 0), [])
        self.assertEqual(self.hears(MOBILE, 7, 0, ufrag="fork"), [])
        self.assertEqual(self.latch.expect("fork", None, 0.1), [Guard(MOBILE)])

    def test_aggressive_nomination(self) -> None:
        """Of many that are nominated the one with the highest priority counts, and does not flap (RFC 5245 section 8.1.1.2)."""
        self.latch.expect("them", None, 0)
        self.assertEqual(self.hears(MOBILE, 5, 0), [Guard(MOBILE)])
        self.assertEqual(self.hears(WIFI, 9, 0), [Guard(WIFI)])
        self.assertEqual(self.hears(MOBILE, 5, 1), [])
        self.assertEqual(self.hears(WIFI, 9, 1), [])

    def test_other_network(self) -> None:
        """Another pair takes over when the peer nominates it alone, or when the former is checked no more."""
        self.latch.expect("them", None, 0)
        self.hears(WIFI, 9, 0)
        self.assertEqual(self.hears(MOBILE, 5, 1), [])
        self.assertEqual(self.hears(WIFI, 9, 2, nominates=False), [Guard(MOBILE)])
        self.hears(WIFI, 9, 3)
        self.assertEqual(self.latch.remote, WIFI)
        self.assertEqual(self.hears(MOBILE, 5, 3 + FRESH), [Guard(MOBILE)])

    def test_consent_does_not_end_it(self) -> None:
        """Checks without USE-CANDIDATE after the nomination are consent (RFC 7675): nothing changes."""
        self.latch.expect("them", None, 0)
        self.hears(WIFI, 9, 0)
        for now in range(5, 60, 5):
            self.assertEqual(self.hears(WIFI, 9, now, nominates=False), [])
        self.assertTrue(self.takes(WIFI))

    def test_restart(self) -> None:
        """The former pair stays until the new agent nominates one (RFC 8445 section 9)."""
        self.latch.expect("them", None, 0)
        self.hears(WIFI, 9, 0)
        self.assertEqual(self.latch.expect("them2", None, 10), [Guard(WIFI)])
        self.assertEqual(self.hears(MOBILE, 1, 10), [], "of the former agent")
        self.assertEqual(self.hears(MOBILE, 1, 10, ufrag="them2"), [Guard(MOBILE)])

    def test_memory_is_bounded(self) -> None:
        """An agent that invents sources and names replaces its own oldest ones, never what is in force."""
        self.latch.expect("them", None, 0)
        self.hears(WIFI, 9, 0)
        for n in range(100):
            self.hears(Address("192.0.2.1", 1000 + n), 1, n, nominates=False, ufrag=f"name{n}")
            self.hears(Address("192.0.2.1", 1000 + n), 1, n, nominates=False)
        self.assertLessEqual(len(self.latch._pairs), 4)
        self.assertLessEqual(max(map(len, self.latch._pairs.values())), 8)
        self.assertEqual(self.latch.remote, WIFI)
