"""Who else sees messages, as it is configured."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import Config
from voipcluster.config.kinds import Kind
from voipcluster.config.options import options
from voipcluster.config.tracing import HepOptions


class HepOptionsTests(SynchronousTestCase):
    def kind(self, name: str) -> Kind[object]:
        return next(option.kind for option in options() if option.name == f"hep.{name}")

    def test_nobody_unless_told(self) -> None:
        """Without a server nobody sees anything, and secrets stay hidden unless somebody asks for them."""
        self.assertEqual(Config().hep, HepOptions())
        self.assertEqual((HepOptions().server, HepOptions().mask), ("", True))

    def test_server(self) -> None:
        """An address or a name, with HEP's own port when there is none."""
        take = self.kind("server").take
        for given, wanted in (
            ("10.0.0.9", "10.0.0.9:9060"),
            ("Homer.example.com:9061", "homer.example.com:9061"),
            ("[2001:db8::9]:9", "[2001:db8::9]:9"),
            ("2001:db8::9", "[2001:db8::9]:9060"),
        ):
            self.assertEqual(take(given), wanted)
        for bad in ("", "a b", "10.0.0.9:0", "10.0.0.9:http", 9060, "udp:10.0.0.9"):
            self.assertRaises(ValueError, take, bad)

    def test_methods(self) -> None:
        """Names of methods, in capitals as SIP has them."""
        take = self.kind("methods").take
        self.assertEqual(take(["INVITE", "BYE"]), ("INVITE", "BYE"))
        for bad in (["invite"], [""], "INVITE", ["INVITE", "INVITE"]):
            self.assertRaises(ValueError, take, bad)
