"""Answers of the DNS: kept, shared, bounded, and given up in time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.net.dns_fakes import FakeDnsClient
from voipcluster.net.dns_client import FAILED, NO_NAME, TIMED_OUT, DnsFailure, IDnsClient, Section
from voipcluster.net.resolver import BUSY, Answer, DnsLimits, DnsResolver
from voipcluster.sip.dns import CNAME, A, Owned, Question

ONE = Question("one.example", A)


class ResolverCase(SynchronousTestCase):
    limits = DnsLimits(timeout=10.0, queries=3, cache=4, max_ttl=100.0, negative_ttl=20.0)

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeDnsClient({ONE: ("192.0.2.1",)})
        self.resolver = DnsResolver(self.clock, self.client, self.limits)
        self.resolver.startService()

    def tearDown(self) -> None:
        self.successResultOf(self.resolver.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def ask(self, name: str) -> Deferred[Answer]:
        return self.resolver.lookup(Question(name, A))

    def answer(self, name: str) -> Answer:
        return self.successResultOf(self.ask(name))


class LookupTests(ResolverCase):
    def test_fake(self) -> None:
        """The client of these tests is one."""
        verifyObject(IDnsClient, self.client)

    def test_answer(self) -> None:
        """An answer comes, and is kept for its TTL."""
        self.assertEqual(self.answer("one.example"), Answer(("192.0.2.1",)))
        self.clock.advance(59.9)
        self.answer("one.example")
        self.assertEqual((len(self.client.asked), self.resolver.cache_hits), (1, 1))
        self.clock.advance(0.2)
        self.answer("one.example")
        self.assertEqual((len(self.client.asked), self.resolver.cache_hits), (2, 1))
        self.assertEqual(self.resolver.results, {"answered": 2})

    def test_longest_ttl(self) -> None:
        """Nothing is kept for longer than we say; with a TTL of 0 it is not kept at all."""
        self.client.ttl = 1 << 31
        self.answer("one.example")
        self.clock.advance(100.0)
        self.client.ttl = 0
        self.answer("one.example")
        self.answer("one.example")
        self.assertEqual(len(self.client.asked), 3)

    def test_asked_once(self) -> None:
        """Those who ask the same while it is under way share the answer."""
        self.client.silent.add("one.example")
        both = [self.ask("one.example"), self.ask("one.example")]
        self.assertEqual((len(self.client.asked), self.resolver.under_way), (1, 1))
        self.client.answer_held()
        self.assertEqual([self.successResultOf(one) for one in both], [Answer(("192.0.2.1",))] * 2)

    def test_no_records(self) -> None:
        """That there are no records is kept as long as the SOA says, or for our time (RFC 2308 section 5)."""
        self.client.section = lambda question: Section((), 5)
        self.assertEqual(self.answer("none.example"), Answer())
        self.clock.advance(4.9)
        self.answer("none.example")
        self.assertEqual(len(self.client.asked), 1)
        self.clock.advance(0.2)
        self.client.section = lambda question: Section((), 1000)
        self.answer("none.example")
        self.clock.advance(20.1)
        self.answer("none.example")
        self.assertEqual(len(self.client.asked), 3)

    def test_no_name(self) -> None:
        """A name that does not exist is remembered too."""
        self.client.failing["none.example", A] = DnsFailure(NO_NAME, NO_NAME, 1000)
        self.assertEqual(self.answer("none.example").failure, NO_NAME)
        self.clock.advance(19.9)
        self.answer("none.example")
        self.assertEqual((len(self.client.asked), self.resolver.results[NO_NAME]), (1, 1))

    def test_failure(self) -> None:
        """A server that cannot say is asked again soon, but not at once (RFC 2308 section 7)."""
        self.client.failing["one.example", A] = DnsFailure(FAILED, "SERVFAIL")
        self.assertEqual(self.answer("one.example").failure, FAILED)
        self.answer("one.example")
        self.client.failing.clear()
        self.clock.advance(5.1)
        self.assertEqual(self.answer("one.example").records, ("192.0.2.1",))
        self.assertEqual(len(self.client.asked), 2)

    def test_nonsense(self) -> None:
        """Whatever an answer breaks, it is one that failed."""
        self.client.failing["one.example", A] = UnicodeError("what?")
        self.assertEqual(self.answer("one.example"), Answer(failure=FAILED))


class AliasTests(ResolverCase):
    def alias(self, question: Question, target: str) -> Section:
        return Section((Owned(question.name, CNAME, 60, target),))

    def test_onward(self) -> None:
        """A CNAME that leads out of the answer is asked for; the whole is kept under the first name."""
        section = self.client.section
        self.client.section = lambda question: (
            self.alias(question, "one.example") if question.name == "www.example" else section(question)
        )
        self.assertEqual(self.answer("www.example").records, ("192.0.2.1",))
        self.answer("www.example")
        self.assertEqual(self.client.asked, ["A of www.example", "A of one.example"])

    def test_endless(self) -> None:
        """CNAMEs that lead on and on end the question after a few (S26)."""
        self.client.section = lambda question: self.alias(question, "x" + question.name)
        self.assertEqual(self.answer("a.example"), Answer(failure=FAILED))
        self.assertLess(len(self.client.asked), 12)

    def test_circle(self) -> None:
        """CNAMEs in a circle, one an answer, too."""
        self.client.section = lambda question: self.alias(
            question, {"a.example": "b.example"}.get(question.name, "a.example")
        )
        self.assertEqual(self.answer("a.example").failure, FAILED)


class BoundsTests(ResolverCase):
    def test_time(self) -> None:
        """A question that is not answered in time has failed; what comes later is for nobody."""
        self.client.silent.add("slow.example")
        asked = self.ask("slow.example")
        self.clock.advance(9.9)
        self.assertNoResult(asked)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(asked), Answer(failure=TIMED_OUT))
        self.assertEqual(self.resolver.under_way, 1)
        self.client.answer_held()
        self.assertEqual(self.resolver.under_way, 0)

    def test_number(self) -> None:
        """Only so many are under way at once, the late ones included; other answers are not delayed."""
        self.answer("one.example")
        names = [f"slow{n}.example" for n in range(4)]
        self.client.silent.update(names)
        asked = [self.ask(name) for name in names]
        self.assertEqual(self.successResultOf(asked[3]), Answer(failure=BUSY))
        self.assertEqual(self.answer("one.example").records, ("192.0.2.1",))
        self.clock.advance(10.1)
        self.assertEqual(self.answer("two.example").failure, BUSY)
        self.client.answer_held()
        self.assertEqual(self.answer("two.example").failure, "")
        self.assertEqual(self.resolver.results[BUSY], 2)

    def test_cache_size(self) -> None:
        """Only so many are kept; the oldest goes first."""
        for n in range(9):
            self.answer(f"n{n}.example")
        self.assertEqual(self.resolver.cached, 4)
        before = len(self.client.asked)
        self.answer("n8.example")
        self.assertEqual(len(self.client.asked), before)
        self.answer("n0.example")
        self.assertEqual(len(self.client.asked), before + 1)

    def test_stop(self) -> None:
        """Whoever waits when the node stops is told at once, and nothing is asked any more; a second stop is harmless."""
        self.client.silent.add("slow.example")
        asked = self.ask("slow.example")
        self.successResultOf(self.resolver.stopService())
        self.assertEqual(self.successResultOf(asked).failure, FAILED)
        self.assertEqual(self.answer("two.example").failure, FAILED)
        self.client.answer_held()
        self.successResultOf(self.resolver.stopService())
        self.assertEqual((self.client.started, self.client.stopped), (1, 1))
