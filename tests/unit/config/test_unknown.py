"""Keys and sections that there are none of."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config.options import options
from voipcluster.config.unknown import unknown_key, unknown_section

KNOWN = {option.name: option for option in options()}


class SectionTests(SynchronousTestCase):
    def said(self, section: str, content: object = None) -> str:
        problem = unknown_section(KNOWN, "file:3", section, content)
        self.assertEqual((problem.where, problem.key), ("file:3", ""))
        return problem.text

    def test_meant(self) -> None:
        """A section is written in one pair of brackets, what stands there any number of times in two."""
        self.assertIn('unknown section "limit"; did you mean [limits]? allowed are ', self.said("limit", {}))
        self.assertIn("did you mean [[gateway]]?", self.said("gatewy", [{}]))
        self.assertNotIn("did you mean", self.said("zzz", {}))

    def test_a_key_in_no_section(self) -> None:
        for content in ("a.example", ["a.example"], 7):
            self.assertEqual(
                self.said("domain", content), 'key "domain" is in no section; it belongs under [cluster]'
            )
        self.assertIn('unknown section "domain"', self.said("domain", {"a": 1}))

    def test_a_key_of_several_sections(self) -> None:
        self.assertIn("[sip] or [tls] or ", self.said("port", 5060))


class KeyTests(SynchronousTestCase):
    def said(self, name: str) -> str:
        return unknown_key(KNOWN, "--set", name).text

    def test_meant(self) -> None:
        """The same section is looked at first, then the others."""
        self.assertEqual(
            self.said("cluster.treshold"),
            'unknown key "treshold" in [cluster]; did you mean cluster.threshold?',
        )
        self.assertEqual(
            self.said("cluster.calls"), 'unknown key "calls" in [cluster]; did you mean limits.calls?'
        )
        self.assertIn("; allowed are level", self.said("log.zzzzzz"))

    def test_no_section(self) -> None:
        self.assertIn('unknown section "nothing"', self.said("nothing.at_all"))

    def test_password_of_the_page(self) -> None:
        self.assertIn("voipctl web-password", self.said("web.password"))
