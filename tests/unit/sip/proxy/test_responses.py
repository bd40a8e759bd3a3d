"""The best response of a fork (RFC 3261 section 16.7 steps 6 and 7)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import response
from voipcluster.sip.proxy.responses import best_response


def best(*statuses: int) -> int:
    chosen = best_response([response(status) for status in statuses])
    assert chosen is not None
    return chosen.status


class BestResponseTests(SynchronousTestCase):
    def test_none(self) -> None:
        """No response, no best one."""
        self.assertIsNone(best_response([]))

    def test_6xx_first(self) -> None:
        """A 6xx wins over everything (step 6)."""
        self.assertEqual(best(404, 302, 603, 500), 603)

    def test_lowest_class(self) -> None:
        """Then the lowest class wins; 503 says least of all (step 6)."""
        self.assertEqual(best(486, 302, 500), 302)
        self.assertEqual(best(503, 500), 500)
        self.assertEqual(best(486, 404, 503), 486)

    def test_first_of_equals(self) -> None:
        """Of equals the first one is taken."""
        self.assertEqual(best(404, 486), 404)

    def test_helpful_4xx(self) -> None:
        """Those that say what to change come first among 4xx (step 6)."""
        for status in (401, 407, 415, 420, 484):
            self.assertEqual(best(404, status, 486), status)
        self.assertEqual(best(484, 407), 407)

    def test_all_challenges(self) -> None:
        """All challenges of all 401 and 407 are collected, the order of each branch kept (step 7, RFC 8760 section 2.5)."""
        first = response(
            407, headers=['Proxy-Authenticate: Digest realm="a"', 'Proxy-Authenticate: Digest realm="b"']
        )
        second = response(401, headers=['WWW-Authenticate: Digest realm="c"'])
        third = response(407, headers=['Proxy-Authenticate: Digest realm="d"'])
        chosen = best_response([response(404), first, second, third])
        assert chosen is not None
        self.assertEqual(chosen.status, 407)
        self.assertEqual(chosen.get_all("proxy-authenticate"), [f'Digest realm="{realm}"' for realm in "abd"])
        self.assertEqual(chosen.get_all("www-authenticate"), ['Digest realm="c"'])
        self.assertEqual(len(first.lines), len(first.keys))
        self.assertEqual(first.get_all("www-authenticate"), [])

    def test_alone(self) -> None:
        """A single challenge goes up as it is."""
        given = response(401, headers=['WWW-Authenticate: Digest realm="a"'])
        self.assertIs(best_response([given, response(404)]), given)
