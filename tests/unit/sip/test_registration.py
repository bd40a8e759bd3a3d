"""The values of a REGISTER."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Flow
from voipcluster.sip.registration import Refused, Settings, Source

HERE, THERE = ("192.0.2.1", 5060), ("192.0.2.7", 40000)


class SettingsTests(SynchronousTestCase):
    def test_extensions(self) -> None:
        """What is switched off is not said to be supported."""
        self.assertEqual(Settings().extensions, ("path", "outbound", "gruu"))
        self.assertEqual(Settings(outbound=False).extensions, ("path", "gruu"))
        self.assertEqual(Settings(outbound=False, gruu=False).extensions, ("path",))


class SourceTests(SynchronousTestCase):
    def test_watched(self) -> None:
        """Only a connection of this process that is the client's own shows that keep-alives stay away."""
        flow = Flow("TCP", HERE, THERE, 1)
        self.assertTrue(Source("a", "t", flow, transport="TCP").watched)
        self.assertFalse(Source("a", "t", flow, transport="TCP", first_hop=False).watched)
        self.assertFalse(Source("a", "t", None, transport="TCP").watched)
        self.assertFalse(Source("a", "t", Flow("UDP", HERE, THERE)).watched)
        self.assertFalse(Source("a", "t", flow, transport="WS").watched, "a browser sends none")


class RefusedTests(SynchronousTestCase):
    def test_carries_its_answer(self) -> None:
        """Status, reason and headers come out as they went in; without a reason the error says the status."""
        refused = Refused(423, None, ("min-expires", "60"))
        self.assertEqual(
            (refused.status_hint, refused.reason, refused.headers), (423, None, (("min-expires", "60"),))
        )
        self.assertEqual(str(refused), "423")
        self.assertEqual(str(Refused(403, "Too Many Contacts")), "Too Many Contacts")
