"""C{[[route]]} and the rate table: what they give, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import ConfigError, check_file, load_config
from voipcluster.gateway.rewriting import CallerId, Rewriting
from voipcluster.gateway.routing import Route

HEAD = """[numbers]
country = "49"
rates = "RATES"
[[gateway]]
name = "carrier-a"
servers = ["192.0.2.7"]
[[gateway]]
name = "carrier-b"
servers = ["192.0.2.8"]
"""
FULL = """[[route]]
prefix = "+49"
gateway = "carrier-a"
priority = 2
weight = 3
strip = 3
prepend = "0"
stop = true
caller = "+4930123450"
callers = ["+493012345"]
[[route]]
prefix = ""
gateway = "carrier-b"
[[route]]
prefix = "200"
gateway = "pbx"
added = true
"""


class RoutesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rates = self.mktemp() + ".csv"
        self.table("prefix,gateway,price\n+49,carrier-a,1.5\n")

    def table(self, text: str) -> None:
        Path(self.rates).write_text(text, encoding="utf-8")

    def written(self, text: str) -> str:
        path = self.mktemp() + ".toml"
        Path(path).write_text(HEAD.replace("RATES", self.rates) + text, encoding="utf-8")
        return path

    def problem(self, text: str) -> str:
        """The one mistake, without the name of the file; its line is counted from the end of L{HEAD}."""
        path = self.written(text)
        found = check_file(path)
        self.assertEqual(len(found), 1, found)
        line, _, rest = found[0].removeprefix(f"{path}:").partition(": ")
        return f"{int(line) - HEAD.count(chr(10))}: {rest}" if line.isdigit() else found[0]

    def test_routes(self) -> None:
        """All keys, and their defaults."""
        config = load_config(self.written(FULL))
        first, second, third = config.routes
        self.assertEqual(
            first,
            Route(
                "+49", "carrier-a", 2, 3, True, Rewriting(3, "0"), CallerId("+4930123450", ("+493012345",))
            ),
        )
        self.assertEqual(second, Route("", "carrier-b"))
        self.assertEqual(third.gateway, "pbx")
        self.assertEqual(config.rates.price("+4930", "carrier-a"), 1.5)

    def test_mistakes(self) -> None:
        """One line each, with the place and the remedy."""
        route = '[[route]]\nprefix = "+49"\ngateway = "carrier-a"\n'
        for text, place, word in (
            (route.replace("carrier-a", "carrier-aa"), "3: route.gateway", "did you mean carrier-a?"),
            (
                route.replace("carrier-a", "x"),
                "3: route.gateway",
                "declared are: carrier-a, carrier-b (for one of voipctl gateway add",
            ),
            (route.replace("carrier-a", "x"), "3: route.gateway", "write added = true"),
            (route + route, "5: route.prefix", "overlaps the route of line 11"),
            (route.replace("+49", "0049"), "2: route.prefix", 'write "+49"'),
            (route.replace("+49", "030"), "2: route.prefix", 'write "+4930"'),
            (route.replace("+49", "+0"), "2: route.prefix", "matches no number"),
            (route.replace("+49", "49a"), "2: route.prefix", "every number"),
            (route + "weight = -1\n", "4: route.weight", "from 0"),
            (route + 'prepand = "0"\n', "4: route.prepand", "did you mean prepend?"),
            ('[[route]]\ngateway = "carrier-a"\n', "1: route.prefix", "is missing"),
            ('[[route]]\nprefix = ""\n', "1: route.gateway", "is missing"),
            ("[route]\nprefix = 1\n", "1: route", "[[route]]"),
        ):
            found = self.problem(text)
            self.assertTrue(found.startswith(f"{place}: "), found)
            self.assertIn(word, found)

    def test_no_mistake_for_a_mistake_elsewhere(self) -> None:
        """A gateway or number plan that is wrong is told, and not the routes that would be right without that."""
        head = '[[gateway]]\nname = "a"\nchanels = 3\n[[route]]\nprefix = "+49"\ngateway = "a"\n'
        for text, key in (
            (head, "gateway.chanels"),
            ('[numbers]\ncountry = "0"\n[[gateway]]\nname = "a"\n[[route]]\nprefix = "030"\ngateway = "a"\n',
             "numbers.country"),
            ('[[gateway]]\nname = "a"\ntransport = "tls"\n', "gateway.transport"),
            ('[tls]\ncertificate = 3\n[[gateway]]\nname = "a"\ntransport = "tls"\n', "tls.certificate"),
        ):  # fmt: skip
            path = self.mktemp() + ".toml"
            Path(path).write_text(text, encoding="utf-8")
            found = check_file(path)
            self.assertEqual(len(found), 1, found)
            self.assertIn(key.partition(".")[2], found[0])

    def test_rates(self) -> None:
        """A wrong column, value or gateway of the table is told with the line of the table."""
        for table, line, word in (
            ("prefix,gateway,prise\n", 1, "did you mean price?"),
            ("prefix,gateway,price\n+49,carrier-a,x\n", 2, "price 'x'"),
            ("prefix,gateway,price\n\n+49,carrier-aa,1\n", 3, "did you mean carrier-a?"),
            ("prefix,gateway,price\n+49,carrier-a,1\n49,carrier-a,1\n", 3, "stands in line 2 already"),
        ):
            self.table(table)
            found = self.problem("")
            self.assertTrue(found.startswith(f"{self.rates}:{line}: numbers.rates: "), found)
            self.assertIn(word, found)
        Path(self.rates).write_bytes(b"prefix,gateway,price\n\xff,carrier-a,1\n")
        self.assertIn(f"{self.rates}:2: numbers.rates: not UTF-8", self.problem(""))
        Path(self.rates).unlink()
        self.assertIn("cannot be read: No such file", self.problem(""))

    def test_nothing_is_used(self) -> None:
        """Beside one mistake the rest is not used either: the error names it, and how to see more."""
        path = self.written('[[route]]\nprefix = "x"\ngateway = "y"\n[[route]]\nweight = 1\n')
        error = self.assertRaises(ConfigError, load_config, path)
        self.assertIn(f"{path}:11: route.prefix", str(error))
        self.assertIn("more: voipctl check shows them", str(error))
        self.assertNotIn("\n", str(error))
