"""C{[tls]}, C{[web]} and C{[websocket]}."""

from __future__ import annotations

from tests.unit.config.section_case import SectionCase


class TransportsTests(SectionCase):
    def test_tls_needs_a_certificate(self) -> None:
        for setting in (
            "tls.client_certificate=true",
            "tls.key=key.pem",
            "web.tls=true",
            "websocket.port=8443",
        ):
            self.assertIn("needs tls.certificate", self.refused(setting))
        self.taken("websocket.port=8443", "websocket.tls=false")

    def test_ports_differ(self) -> None:
        self.assertIn("are both 5060", self.refused("web.port=5060"))
        self.assertEqual(self.taken("web.port=0").web.port, 0)

    def test_host(self) -> None:
        """Any address, also that of all interfaces."""
        self.assertEqual(self.taken("web.host=0.0.0.0").web.host, "0.0.0.0")
        self.assertIn("web.host", self.refused("web.host=224.0.0.1"))

    def test_origins(self) -> None:
        """Scheme, host and port, without a path."""
        taken = self.taken('websocket.origins=["https://Phone.example.com", "*"]').websocket.origins
        self.assertEqual(taken, ("https://phone.example.com", "*"))
        self.assertIn("websocket.origins", self.refused('websocket.origins=["https://phone.example.com/x"]'))
