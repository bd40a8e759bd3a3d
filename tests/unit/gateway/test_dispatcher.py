"""Destinations as other servers write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.dispatcher import attributes, destination, read_list, server_of

LIST = """
# set destination flags priority attributes
1 sip:192.0.2.1:5060 0 10 weight=50;duid=a;socket=udp:192.0.2.200:5060
1 sip:gw.example.com;transport=tls 8   # probed
2 sips:[2001:db8::1]:5061 4 0 maxload=30
"""


class DispatcherTests(SynchronousTestCase):
    def test_a_list(self) -> None:
        """What each line says, and where it stands."""
        one, two, three = read_list(LIST, "dispatcher.list")
        self.assertEqual(
            (one.where, one.setid, one.server, one.transport),
            ("dispatcher.list:3", 1, "192.0.2.1:5060", "udp"),
        )
        self.assertEqual((one.name, one.weight, one.priority, one.enabled), ("a", 50, 10, True))
        self.assertEqual(
            (two.server, two.transport, two.name), ("gw.example.com", "tls", "set1-gw.example.com")
        )
        self.assertEqual((three.server, three.transport), ("[2001:db8::1]:5061", "tls"))
        self.assertEqual((three.enabled, three.channels, three.name), (False, 30, "set2-2001-db8--1--5061"))

    def test_wrong_lines(self) -> None:
        """One line of text with file and line."""
        for line, text in (
            ("1", "SET DESTINATION"),
            ("x sip:192.0.2.1", "setid 'x' is not a number"),
            ("-1 sip:192.0.2.1", "setid"),
            ("1 192.0.2.1", "is no SIP URI"),
            ("1 sip:", "is not HOST or HOST:PORT"),
            ("1 sip:192.0.2.1:99999", "is not HOST or HOST:PORT"),
            ("1 sip:a_b;transport=tcp", "is not HOST or HOST:PORT"),
            ("1 sip:192.0.2.1;transport=sctp", "transport 'sctp'"),
            ("1 sip:192.0.2.1 no", "flags 'no'"),
            ("1 sip:192.0.2.1 0 high", "priority 'high'"),
            ("1 sip:192.0.2.1 0 0 weight", "attribute 'weight' is not NAME=VALUE"),
            ("1 sip:192.0.2.1 0 0 weight=heavy", "weight=heavy"),
            ("1 sip:192.0.2.1 0 0 duid=a,b", "duid=a,b"),
        ):
            error = str(self.assertRaises(ValueError, list, read_list(f"\n{line}\n", "d.list")))
            self.assertTrue(error.startswith("d.list:2: "), error)
            self.assertIn(text, error)
            self.assertNotIn("\n", error)

    def test_flags(self) -> None:
        """Inactive (1) and disabled (4) ones are not used; those that are probed are."""
        enabled = [flags for flags in range(16) if destination("", "1", "sip:192.0.2.1", f"{flags}").enabled]
        self.assertEqual(enabled, [0, 2, 8, 10])

    def test_a_user_and_parameters(self) -> None:
        self.assertEqual(server_of("sip:us@192.0.2.1:5080;lr;Transport=TCP"), ("192.0.2.1:5080", "tcp"))
        self.assertEqual(server_of("sip:2001:db8::1"), ("2001:db8::1", "udp"))

    def test_attributes(self) -> None:
        """Quotes around all of them and blanks between them are no part of them; rweight goes before weight."""
        self.assertEqual(attributes('"weight=5; duid=x;"'), {"weight": "5", "duid": "x"})
        self.assertEqual(attributes(""), {})
        self.assertEqual(destination("", "1", "sip:192.0.2.1", attrs="weight=5;rweight=7").weight, 7)
