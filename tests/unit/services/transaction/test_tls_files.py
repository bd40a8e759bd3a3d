"""Files of TLS that change while the node runs."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.tls_peer import authority, files
from voipcluster.net.sip_tls import SipTls
from voipcluster.services.transaction.tls_files import PERIOD, SOON, TlsFilesService


class TlsFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ca = authority(self)
        self.pair = self.ca.issue("node", days=(-1, 100))
        self.tls = SipTls(files(self.pair))
        self.clock.advance(self.tls.expires - 2 * SOON)
        self.said: list[tuple[LogLevel, str]] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)
        self.service = TlsFilesService(self.clock, self.tls)
        self.service.startService()

    def tearDown(self) -> None:
        self.service.stopService()
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def note(self, event: dict[str, object]) -> None:
        if event.get("log_namespace", "") == "voipcluster.services.transaction.tls_files.TlsFilesService":
            self.said.append((event["log_level"], str(event["log_format"]).format(**event)))

    def test_new_files(self) -> None:
        """They are used at the next look, which says until when they are good."""
        before = self.tls.expires
        self.ca.issue("node", days=(-1, 200))
        self.clock.advance(PERIOD)
        self.assertGreater(self.tls.expires, before)
        [(level, text)] = self.said
        self.assertEqual(level, LogLevel.info)
        self.assertIn("new files are in use, the certificate is good until 20", text)
        self.clock.advance(PERIOD)
        self.assertEqual(len(self.said), 1)

    def test_bad_file(self) -> None:
        """One line names it, once; when it is good again it is used."""
        before = self.tls.expires
        good = self.pair.certificate.read_bytes()
        self.pair.certificate.write_text("nonsense")
        for _ in range(3):
            self.clock.advance(PERIOD)
        self.assertEqual(
            self.said,
            [
                (
                    LogLevel.error,
                    f"TLS goes on with the old certificate: tls.certificate: {self.pair.certificate}: not a certificate in PEM",
                )
            ],
        )
        self.assertEqual(self.tls.expires, before)
        self.pair.certificate.write_bytes(good)
        self.clock.advance(PERIOD)
        self.assertEqual(self.said[-1][0], LogLevel.info)

    def test_end_is_near(self) -> None:
        """A certificate that ends within two weeks is told of once a day."""
        self.clock.advance(SOON)
        self.clock.advance(PERIOD)
        self.clock.advance(PERIOD)
        self.assertEqual([level for level, _ in self.said], [LogLevel.warn])
        self.clock.advance(86_400.0)
        self.assertEqual(len(self.said), 2)
