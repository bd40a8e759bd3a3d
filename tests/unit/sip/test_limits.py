"""Token buckets, bans, and who keeps service (S2, S3, S5 of the attacks that docs/security.md lists)."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip import limits
from voipcluster.sip.limits import ADMITTED, BANNED, BURST, BUSY, Ban, LimitSettings, RequestLimits

ATTACKER, ALICE, NEIGHBOUR = ("192.0.2.66", 5060), ("192.0.2.1", 5060), ("192.0.2.66", 40000)
BOB = "bob@example.com"
NOW = 1000.0


class LimitsCase(SynchronousTestCase):
    settings = LimitSettings(
        requests_per_address=8.0,
        requests_per_user=4.0,
        ban=60.0,
        wrong_passwords_per_user=3,
        wrong_passwords_per_address=5,
        guess_ban=600.0,
        keep=3600.0,
    )

    def setUp(self) -> None:
        self.told: list[Ban] = []
        self.trusted: set[str] = set()
        self.limits = RequestLimits(self.settings, lambda host: host in self.trusted, self.told.append)

    def flood(self, remote: tuple[str, int] = ATTACKER, now: float = NOW, most: int = 1000) -> int:
        """How many requests at once are admitted."""
        for count in range(most):
            if self.limits.check(remote, now) != ADMITTED:
                return count
        return most


class RefusedNumberTests(LimitsCase):
    """Calls to numbers that somebody may not call: a scanner, or a password that was stolen."""

    settings = evolve(LimitsCase.settings, refused_numbers=4)

    def refused(self, remote: tuple[str, int], count: int, now: float = NOW) -> None:
        for _ in range(count):
            self.limits.refused_number(remote, now)

    def test_a_source(self) -> None:
        """Who proved nothing is banned with all of his address."""
        self.refused(ATTACKER, 3)
        self.assertEqual(self.told, [])
        self.refused(ATTACKER, 1)
        ban = Ban("192.0.2.66", "calls to numbers without permission", 600.0)
        self.assertEqual((self.told, self.limits.check(NEIGHBOUR, NOW)), ([ban], BANNED))
        self.assertEqual(self.limits.check(NEIGHBOUR, NOW + 600), ADMITTED)

    def test_a_user(self) -> None:
        """A user is banned alone, and not those behind the same NAT."""
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.refused(NEIGHBOUR, 4)
        self.assertEqual([ban.who for ban in self.told], [BOB])
        self.assertEqual(self.limits.check(NEIGHBOUR, NOW), BUSY)
        self.assertEqual(self.limits.check(ATTACKER, NOW), ADMITTED)

    def test_now_and_then(self) -> None:
        """Wrong numbers of a whole day are no attack; they are forgotten one by one."""
        for n in range(50):
            self.refused(ALICE, 1, NOW + n * 151)
        self.assertEqual(self.told, [])

    def test_lifted(self) -> None:
        """After the operator has lifted it all of them may be tried again."""
        self.refused(ATTACKER, 4)
        self.assertTrue(self.limits.lift("192.0.2.66"))
        self.refused(ATTACKER, 3)
        self.assertEqual(self.limits.check(ATTACKER, NOW), ADMITTED)

    def test_who_is_not_counted(self) -> None:
        """Trusted sources, and anybody when it is switched off."""
        self.trusted.add("192.0.2.1")
        self.refused(ALICE, 50)
        self.limits = RequestLimits(evolve(self.settings, refused_numbers=0))
        self.refused(ATTACKER, 50)
        self.assertEqual((self.told, self.limits.check(ATTACKER, NOW)), ([], ADMITTED))

    def test_remembered(self) -> None:
        """A sweep leaves what counts still, and no more."""
        self.refused(ATTACKER, 3)
        self.limits.sweep(NOW + 100)
        self.refused(ATTACKER, 1, NOW + 100)
        self.assertEqual(len(self.told), 1)
        self.refused(ALICE, 1)
        self.limits.sweep(NOW + 5000)
        self.assertEqual(self.limits.remembered, 0)


class RateTests(LimitsCase):
    def test_burst_and_ban(self) -> None:
        """5 s' worth at once are served; the next one bans its source, and nobody else."""
        self.assertEqual(self.flood(), 8 * BURST)
        self.assertEqual(self.limits.check(ATTACKER, NOW), BANNED)
        self.assertEqual(self.limits.check(ALICE, NOW), ADMITTED)
        self.assertEqual(self.told, [Ban("192.0.2.66", "too many requests", 60.0)])
        self.assertEqual(list(self.limits.bans(NOW + 20)), [Ban("192.0.2.66", "too many requests", 40.0)])

    def test_a_steady_rate_below_the_limit(self) -> None:
        """Who stays at the limit is served for ever."""
        self.assertTrue(all(self.limits.check(ALICE, NOW + n / 8) == ADMITTED for n in range(2000)))

    def test_the_ban_ends(self) -> None:
        """After its time, however much came meanwhile."""
        self.flood()
        for seconds in (1, 30, 59.9):
            self.assertEqual(self.limits.check(ATTACKER, NOW + seconds), BANNED)
        self.assertEqual(self.limits.check(ATTACKER, NOW + 60), ADMITTED)
        self.assertEqual(list(self.limits.bans(NOW + 60)), [])

    def test_a_clock_that_is_put_back(self) -> None:
        """Nobody is banned for it, and no ban lasts longer than it would have (P6)."""
        self.limits.check(ALICE, NOW)
        self.limits.failed(ALICE, BOB, NOW)
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.limits.check(NEIGHBOUR, NOW)
        self.flood()
        for _ in range(3):
            self.limits.failed(ATTACKER, BOB, NOW)
        earlier = NOW - 3600
        self.assertEqual(self.flood(ALICE, earlier, 40), 40)
        self.assertEqual(self.flood(NEIGHBOUR, earlier, 20), 20)
        self.assertEqual(self.limits.check(ATTACKER, earlier), ADMITTED)
        self.assertTrue(self.limits.reserve(ATTACKER, earlier))
        self.assertTrue(self.limits.may_try(ATTACKER, BOB, earlier))
        self.assertEqual([ban.who for ban in self.told], [ATTACKER[0], f"{BOB} from {ATTACKER[0]}"])

    def test_one_ipv6_network_is_one_source(self) -> None:
        """An IPv6 customer has 2**64 addresses: they share a bucket and a ban."""
        served = sum(self.limits.check((f"2001:db8::{n:x}", 5060), NOW) == ADMITTED for n in range(1, 100))
        self.assertEqual(served, 8 * BURST)
        self.assertTrue(self.limits.shuns("2001:db8::ffff", NOW))
        self.assertEqual(self.limits.check(("2001:db8:0:1::1", 5060), NOW), ADMITTED)
        self.assertEqual([ban.who for ban in self.told], ["2001:db8::/64"])

    def test_trusted(self) -> None:
        """The white list is never banned."""
        self.trusted.add("192.0.2.66")
        self.assertEqual(self.flood(), 1000)

    def test_no_limit(self) -> None:
        """0 requests a second is any number."""
        self.limits = RequestLimits(LimitSettings(requests_per_address=0.0))
        self.assertEqual(self.flood(most=50_000), 50_000)


class ChangedTests(LimitsCase):
    def test_other_settings(self) -> None:
        """Sources that are known count by the new settings; a ban in force goes on."""
        self.limits.check(ALICE, NOW)
        self.flood()
        self.limits.use(evolve(self.settings, requests_per_address=2.0, ban=600.0))
        self.assertEqual(self.limits.check(ATTACKER, NOW), BANNED)
        self.assertEqual(self.flood(ALICE), 2 * BURST - 1)
        self.assertEqual([ban.who for ban in self.limits.bans(NOW + 60)], [ALICE[0]])
        self.limits.use(evolve(self.settings, requests_per_address=0.0))
        self.assertEqual(self.flood(("192.0.2.200", 5060)), 1000)


class UserTests(LimitsCase):
    def test_users_behind_a_banned_nat_keep_service(self) -> None:
        """S5: a phone that proved a password has a bucket of its own, the ban of its address is none of its business."""
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.flood()
        self.assertEqual(self.limits.check(NEIGHBOUR, NOW), ADMITTED)
        self.assertFalse(self.limits.shuns(ATTACKER[0], NOW))  # the address: somebody there is served

    def test_too_many_requests_of_a_user(self) -> None:
        """A user is told that it is too much, from wherever the requests come."""
        elsewhere = ("198.51.100.1", 5060)
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.limits.proved(elsewhere, BOB, NOW)
        self.assertEqual(self.flood(NEIGHBOUR), 4 * BURST)
        self.assertEqual(self.limits.check(elsewhere, NOW), BUSY)
        self.assertEqual(self.limits.left(elsewhere, NOW), 60.0)
        self.assertEqual(self.told, [Ban(BOB, "too many requests", 60.0)])
        self.assertEqual(self.limits.check(ATTACKER, NOW), ADMITTED)
        self.assertEqual(self.limits.check(elsewhere, NOW + 60), ADMITTED)

    def test_many_users_of_one_port(self) -> None:
        """A trunk or a proxy in front of us counts as one source, not as the user who came last."""
        for user in ("alice@example.com", BOB, "carol@example.com"):
            self.limits.proved(NEIGHBOUR, user, NOW)
        self.assertEqual(self.flood(NEIGHBOUR), 8 * BURST)
        self.assertEqual(self.limits.check(NEIGHBOUR, NOW), BUSY)

    def test_many_users_of_many_ports(self) -> None:
        """Two accounts open no bucket of their own for each port: all trunks of a source share one, which one name lifts."""
        ports = [("192.0.2.66", port) for port in range(40000, 40200)]
        for remote in ports:
            self.limits.proved(remote, "alice@example.com", NOW)
            self.limits.proved(remote, BOB, NOW)
        # the ports that were forgotten count as strangers
        self.assertLessEqual(sum(self.flood(remote) for remote in ports), 2 * 8 * BURST)
        self.assertEqual(self.limits.check(ports[-1], NOW), BUSY)
        self.assertIn(Ban("trunks at 192.0.2.66", "too many requests", 60.0), self.told)
        self.assertLessEqual(self.limits.remembered, limits.PORTS_OF_TRUNKS + 4)
        self.assertTrue(self.limits.lift("trunks at 192.0.2.66"))
        self.assertEqual(self.limits.check(ports[-1], NOW), ADMITTED)

    def test_trunks_of_one_ipv6_network(self) -> None:
        """They are of one source as well."""
        hosts = [(f"2001:db8::{n:x}", 5060) for n in range(1, 20)]
        for remote in hosts:
            self.limits.proved(remote, "alice@example.com", NOW)
            self.limits.proved(remote, BOB, NOW)
        self.assertEqual(sum(self.flood(remote) for remote in hosts), 8 * BURST)

    def test_a_trunk_that_was_restarted(self) -> None:
        """Its users are known at another port too, those who never proved a password there are not."""
        for user in ("alice@example.com", BOB):
            self.limits.proved(NEIGHBOUR, user, NOW)
        for user in ("alice@example.com", BOB):
            self.assertTrue(self.limits.returns(("192.0.2.66", 40001), user))
            self.assertFalse(self.limits.returns(("192.0.2.67", 40001), user))
        self.assertFalse(self.limits.returns(("192.0.2.66", 40001), "carol@example.com"))

    def test_a_phone_that_was_restarted(self) -> None:
        """It comes from another port of the banned NAT, and is known by its user."""
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.assertTrue(self.limits.returns(("192.0.2.66", 40001), BOB))
        self.assertFalse(self.limits.returns(("192.0.2.66", 40001), "alice@example.com"))
        self.assertFalse(self.limits.returns(("192.0.2.67", 40000), BOB))

    def test_reserve(self) -> None:
        """What is served in spite of a ban is limited as well."""
        self.flood()
        self.assertEqual(sum(self.limits.reserve(ATTACKER, NOW) for _ in range(200)), 8 * BURST)
        self.assertTrue(self.limits.reserve(ATTACKER, NOW + 1))

    def test_proofs_end(self) -> None:
        """A proof counts as long as a registration lasts; then nothing is kept of the user."""
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.limits.sweep(NOW + 3599)
        self.assertTrue(self.limits.is_proven(NEIGHBOUR))
        self.limits.sweep(NOW + 3600)
        self.assertFalse(self.limits.is_proven(NEIGHBOUR))
        self.assertEqual(self.limits.remembered, 0)

    def test_addresses_of_a_user(self) -> None:
        """A user who comes from ever new ports does not fill the memory."""
        for port in range(1024, 1124):
            self.limits.proved(("192.0.2.66", port), BOB, NOW)
        self.assertFalse(self.limits.is_proven(("192.0.2.66", 1024)))
        self.assertTrue(self.limits.is_proven(("192.0.2.66", 1123)))
        self.assertEqual(self.limits.remembered, limits.ADDRESSES_OF_USER + 1)


class PasswordTests(LimitsCase):
    def guess(self, user: str, count: int, remote: tuple[str, int] = ATTACKER, now: float = NOW) -> None:
        for _ in range(count):
            self.limits.failed(remote, user, now)

    def test_one_user_name(self) -> None:
        """S5: three wrong passwords, and that user name is refused there; elsewhere, and other users, are served."""
        self.guess(BOB, 2)
        self.assertTrue(self.limits.may_try(ATTACKER, BOB, NOW))
        self.guess(BOB, 1)
        self.assertFalse(self.limits.may_try(ATTACKER, BOB, NOW))
        self.assertTrue(self.limits.may_try(ATTACKER, "alice@example.com", NOW))
        self.assertTrue(self.limits.may_try(ALICE, BOB, NOW))
        self.assertEqual(self.told, [Ban(f"{BOB} from 192.0.2.66", "wrong passwords", 600.0)])
        self.assertTrue(self.limits.may_try(ATTACKER, BOB, NOW + 600))

    def test_the_user_keeps_service(self) -> None:
        """Who proved that password before, behind the same NAT, is not locked out by somebody who guesses it."""
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.guess(BOB, 3)
        self.assertTrue(self.limits.may_try(NEIGHBOUR, BOB, NOW))

    def test_the_user_comes_back(self) -> None:
        """From a new port too, as long as the address may be wrong at all: more would be a licence to guess."""
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.guess(BOB, 3)
        self.assertTrue(self.limits.may_try(ATTACKER, BOB, NOW))
        self.guess(BOB, 2)
        self.assertFalse(self.limits.may_try(ATTACKER, BOB, NOW))
        self.assertTrue(self.limits.may_try(NEIGHBOUR, BOB, NOW))

    def test_the_user_comes_back_where_addresses_have_no_limit(self) -> None:
        """Then the limit of the user name is the only one, and holds for each new port."""
        self.limits = RequestLimits(evolve(self.settings, wrong_passwords_per_address=0))
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.guess(BOB, 3)
        self.assertFalse(self.limits.may_try(ATTACKER, BOB, NOW))
        self.assertTrue(self.limits.may_try(NEIGHBOUR, BOB, NOW))

    def test_a_trunk_is_no_licence(self) -> None:
        """Only who proved a password over a trunk keeps service there; it may not guess those of others."""
        users = ["alice@example.com", "carol@example.com"]
        for user in users:
            self.limits.proved(NEIGHBOUR, user, NOW)
        self.guess(BOB, 3, NEIGHBOUR)
        self.assertFalse(self.limits.may_try(NEIGHBOUR, BOB, NOW))
        for user in users:
            self.guess(user, 3)
            self.assertTrue(self.limits.may_try(NEIGHBOUR, user, NOW), user)
            # at a trunk of the same source that never proved it, that user name is as at any port
            self.assertFalse(self.limits.may_try(ATTACKER, user, NOW), user)

    def test_users_of_a_trunk_are_forgotten(self) -> None:
        """Each of them when its own last proof counts no more."""
        users = ["alice@example.com", "carol@example.com"]
        for user in users:
            self.limits.proved(NEIGHBOUR, user, NOW)
        later = NOW + 3600
        self.limits.proved(NEIGHBOUR, users[1], NOW + 1000)
        self.limits.sweep(later)
        for user in users:
            self.guess(user, 3, now=later)
        self.assertEqual([self.limits.may_try(NEIGHBOUR, user, later) for user in users], [False, True])

    def test_guesses_over_trunks_of_many_ports(self) -> None:
        """The wrong passwords of all trunks of a source count together."""
        for port in range(40000, 40005):
            for user in ("alice@example.com", "carol@example.com"):
                self.limits.proved(("192.0.2.66", port), user, NOW)
            self.guess(f"{port}@example.com", 1, ("192.0.2.66", port))
        self.assertEqual(self.limits.check(("192.0.2.66", 40000), NOW), BUSY)

    def test_users_of_a_trunk(self) -> None:
        """A trunk with ever new users does not fill the memory."""
        self.patch(limits, "USERS_OF_TRUNKS", 3)
        for number in range(9):
            self.limits.proved(NEIGHBOUR, f"{number}@example.com", NOW)
        known = [n for n in range(9) if self.limits.returns(NEIGHBOUR, f"{n}@example.com")]
        self.assertEqual(known, [6, 7, 8])

    def test_a_phone_with_an_old_password(self) -> None:
        """It tries every five minutes and is never banned."""
        for minutes in range(0, 500, 5):
            self.guess(BOB, 1, now=NOW + 60 * minutes)
        self.assertEqual(self.told, [])

    def test_more_wrong_passwords_than_the_limit(self) -> None:
        """They do not begin to count anew while both bans last, as those of ports that are served on would."""
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        for count in range(40):
            self.guess(BOB, 1, NEIGHBOUR)
            self.assertEqual(self.limits.may_try(ATTACKER, BOB, NOW), count < 4, count)
        names = [f"{BOB} from 192.0.2.66", "192.0.2.66", BOB]
        self.assertEqual([ban.who for ban in self.told], names)  # each of them told once

    def test_a_scan_over_user_names(self) -> None:
        """One guess for each of many names bans the source."""
        for number in range(5):
            self.guess(f"{number}@example.com", 1)
        self.assertEqual(self.told, [Ban("192.0.2.66", "wrong passwords", 600.0)])
        self.assertEqual(self.limits.check(ATTACKER, NOW + 599), BANNED)
        self.assertTrue(self.limits.shuns(ATTACKER[0], NOW + 599))
        self.assertEqual(self.limits.check(ATTACKER, NOW + 600), ADMITTED)

    def test_a_user_who_guesses_those_of_others(self) -> None:
        """An account of one's own is no licence."""
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        for number in range(5):
            self.guess(f"{number}@example.com", 1, NEIGHBOUR)
        self.assertEqual(self.limits.check(NEIGHBOUR, NOW), BUSY)

    def test_off_and_trusted(self) -> None:
        """0 is any number of wrong passwords; the white list is not counted."""
        self.trusted.add(ATTACKER[0])
        self.guess(BOB, 50)
        self.limits = RequestLimits(LimitSettings(wrong_passwords_per_user=0, wrong_passwords_per_address=0))
        self.guess(BOB, 500)
        self.assertEqual(self.told, [])
        self.assertTrue(self.limits.may_try(ATTACKER, BOB, NOW))


class OperatorTests(LimitsCase):
    def test_lift(self) -> None:
        """Each ban can be ended under the name that the list gives it."""
        self.flood()
        self.limits.proved(("198.51.100.1", 1), "alice@example.com", NOW)
        self.flood(("198.51.100.1", 1))
        for _ in range(3):
            self.limits.failed(ALICE, BOB, NOW)
        names = [ban.who for ban in self.limits.bans(NOW)]
        self.assertEqual(names, ["192.0.2.66", "alice@example.com", f"{BOB} from 192.0.2.1"])
        self.assertTrue(all(self.limits.lift(who) for who in names))
        self.assertEqual(list(self.limits.bans(NOW)), [])
        self.assertEqual(self.limits.check(ATTACKER, NOW), ADMITTED)
        self.assertFalse(self.limits.lift("192.0.2.66"))


class MemoryTests(LimitsCase):
    def test_many_sources(self) -> None:
        """S3: a flood from forged addresses keeps a bounded number, and bans survive it."""
        self.flood()
        for number in range(3 * limits.MOST_SOURCES):
            self.limits.check((f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5060), NOW)
        self.assertLessEqual(self.limits.remembered, limits.MOST_SOURCES + 2)
        self.assertEqual(self.limits.check(ATTACKER, NOW), BANNED)

    def test_everything_is_forgotten(self) -> None:
        """Nothing is left when all of it has ended."""
        self.flood()
        self.limits.failed(ALICE, BOB, NOW)
        self.limits.proved(NEIGHBOUR, BOB, NOW)
        self.flood(NEIGHBOUR)
        self.limits.sweep(NOW + 10_000)
        self.assertEqual((self.limits.remembered, self.limits.banned, self.limits.banned_users), (0, {}, {}))

    def test_wrong_passwords_of_many(self) -> None:
        """Made-up user names from made-up addresses keep a bounded number."""
        for number in range(limits.MOST_PAIRS + 10):
            self.limits.failed((f"10.0.{number >> 8 & 255}.{number & 255}", 5060), f"{number}", NOW)
        self.assertLess(self.limits.remembered, 2 * limits.MOST_PAIRS)
