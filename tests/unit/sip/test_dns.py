"""Names, and how an answer of the DNS is read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.dns import CNAME, MAX_RECORDS, A, Followed, Owned, Question, follow, host_name

ASKED = Question("a.example", A)


def alias(owner: str, target: str, ttl: int = 100) -> Owned:
    return Owned(owner, CNAME, ttl, target)


class NameTests(SynchronousTestCase):
    def test_good(self) -> None:
        """A name is compared in lower case, with or without the dot of the root."""
        for host in ("Example.COM", "example.com."):
            self.assertEqual(host_name(host), "example.com")
        self.assertEqual(host_name("_sip._udp.x-1.example"), "_sip._udp.x-1.example")

    def test_bad(self) -> None:
        """For what can be no name, no server is asked; digits alone at the end are an address (RFC 1123 section 2.1)."""
        for host in (
            "",
            ".",
            "a..b",
            ".a",
            "a" * 64 + ".example",
            "a." * 127 + "b",
            "1.2.3.256",
            "1234",
            "a b",
        ):
            self.assertIsNone(host_name(host), host)


class FollowTests(SynchronousTestCase):
    def test_records(self) -> None:
        """Those of the name asked for, whatever case it has; the shortest TTL holds."""
        section = [Owned("a.example", A, 60, "192.0.2.1"), Owned("a.example", A, 30, "192.0.2.2")]
        self.assertEqual(follow(ASKED, section), Followed(("192.0.2.1", "192.0.2.2"), 30))

    def test_alias(self) -> None:
        """CNAMEs within the answer are followed, in any order (RFC 1034 section 3.6.2); their TTL counts too."""
        section = [
            Owned("c.example", A, 60, "192.0.2.1"),
            alias("b.example", "c.example", 5),
            alias("a.example", "b.example"),
        ]
        self.assertEqual(follow(ASKED, section), Followed(("192.0.2.1",), 5))

    def test_alias_that_leads_out(self) -> None:
        """A CNAME without records behind it says where to ask next."""
        self.assertEqual(
            follow(ASKED, [alias("a.example", "b.example")]), Followed(ttl=100, onward="b.example")
        )

    def test_loop(self) -> None:
        """CNAMEs in a circle, or without end, are no answer."""
        circle = [alias("a.example", "b.example"), alias("b.example", "a.example")]
        self.assertTrue(follow(ASKED, circle).looped)
        self.assertTrue(follow(ASKED, [alias("a.example", "a.example")]).looped)
        endless = [
            alias("a.example", "0.example"),
            *(alias(f"{n}.example", f"{n + 1}.example") for n in range(99)),
        ]
        self.assertTrue(follow(ASKED, endless).looped)

    def test_unasked(self) -> None:
        """What was not asked for is no answer: another name, another kind (cache poisoning)."""
        section = [Owned("evil.example", A, 60, "192.0.2.6"), Owned("a.example", "AAAA", 60, "2001:db8::6")]
        self.assertEqual(follow(ASKED, section).records, ())

    def test_many(self) -> None:
        """Of thousands of records no more than a bounded number is used."""
        section = [Owned("a.example", A, 60, f"192.0.{n >> 8}.{n & 255}") for n in range(4000)]
        self.assertEqual(len(follow(ASKED, section).records), MAX_RECORDS)
