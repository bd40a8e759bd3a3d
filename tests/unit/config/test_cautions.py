"""What is allowed in a file, and hardly meant: one line each, and the file can be used."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import load_config, look_into, parse_set

GATEWAY = '[[gateway]]\nname = "a"\nservers = ["192.0.2.1"]\n'
ROUTE = '[[route]]\nprefix = "+49"\ngateway = "a"\n'


class CautionsTests(SynchronousTestCase):
    def warnings(self, text: str, domain: str = '[cluster]\ndomain = ["a.b"]\n') -> list[str]:
        path = self.mktemp()
        Path(path).write_text(text + domain, encoding="utf-8")
        errors, warnings = look_into(path)
        self.assertEqual(errors, [])
        return [line.removeprefix(f"{path}:") for line in warnings]

    def test_nothing_to_say(self) -> None:
        text = (
            f'{GATEWAY}codecs = ["pcma", "OPUS", "telephone-event"]\n{ROUTE}[numbers]\nemergency = ["112"]\n'
        )
        self.assertEqual(self.warnings(f'{text}[[route]]\nprefix = "112"\ngateway = "a"\n'), [])
        self.assertEqual(self.warnings("[auth]\nrequired = false\n"), [])

    def test_no_domain(self) -> None:
        """It serves the domain of the examples; a file without anything may be the wrong one."""
        for text, told in (
            ("", "is not set, nor is anything else: only users of example.com"),
            ("# domain = mine\n", "is not set, nor is anything else: only users of example.com"),
            ("[limits]\ncalls = 20\n", "is not set: only users of example.com"),
            ("[cluster]\nthreshold = 0.5\n", "is not set: only users of example.com"),
        ):
            (found,) = self.warnings(text, "")
            self.assertIn(f"cluster.domain: {told}", found)
        self.assertEqual(self.warnings(""), [])

    def test_a_domain_that_is_told_besides(self) -> None:
        """By a flag, or there is no file: then nobody has forgotten it in one."""
        path = self.mktemp()
        Path(path).write_text("[limits]\ncalls = 20\n")
        flag = parse_set('cluster.domain=["a.b"]')
        self.assertEqual((load_config(path, [flag]).cautions, load_config(None).cautions), ((), ()))

    def test_codec(self) -> None:
        """A codec that nobody knows, with the one that may be meant; a new one is allowed."""
        found = self.warnings(f'{GATEWAY}codecs = ["PCMZ", "x-new-one"]\n')
        self.assertEqual(
            found[0], '4: gateway.codecs: "PCMZ" is no codec that is known; did you mean PCMA or PCMU?'
        )
        self.assertIn("x-new-one", found[1])

    def test_route_to_nowhere(self) -> None:
        """A gateway without servers takes no call; one of the database may."""
        (found,) = self.warnings(f'[[gateway]]\nname = "a"\n{ROUTE}')
        self.assertTrue(found.startswith("5: route.gateway: gateway a has no servers"), found)
        self.assertEqual(self.warnings('[[route]]\nprefix = "+"\ngateway = "x"\nadded = true\n'), [])

    def test_help_without_a_route(self) -> None:
        (found,) = self.warnings(f'{GATEWAY}{ROUTE}[numbers]\nemergency = ["112"]\n')
        self.assertTrue(found.startswith("8: numbers.emergency: no route takes 112"), found)
        self.assertEqual(
            self.warnings(
                f'{GATEWAY}[[route]]\nprefix = ""\ngateway = "a"\n[numbers]\nemergency = ["112"]\n'
            ),
            [],
        )

    def test_no_numbers_for_help(self) -> None:
        """Where numbers are written out 112 would be one of this area; without a country it stays what it is."""
        for area, more in (
            ("", "others and may"),
            ('area = "30"\nextensions = 3\n', "others and may"),
            ('area = "30"\n', "others, which the area code is put in front of, and may"),
        ):
            (found,) = self.warnings(f'[numbers]\ncountry = "49"\n{area}')
            told = "2: numbers.emergency: [numbers] has a country and no emergency numbers: 112 is a number like "
            self.assertTrue(found.startswith(told + more), found)
        self.assertEqual(self.warnings("[numbers]\nextensions = 3\n"), [])

    def test_a_gateway_that_is_this_node(self) -> None:
        """What is sent there comes back to us: the address with the port of SIP or TLS; another port is another program."""
        node = '[node]\naddress = "192.0.2.9"\nalso = ["2001:db8::9"]\n'
        for server in ("192.0.2.9", "192.0.2.9:5060", "[2001:DB8:0::9]:5060"):
            (found,) = self.warnings(f'{node}[[gateway]]\nname = "a"\nservers = ["192.0.2.1", "{server}"]\n')
            self.assertTrue(found.startswith(f"6: gateway.servers: {server} is this node itself"), found)
        self.assertEqual(self.warnings(f'{node}[[gateway]]\nname = "a"\nservers = ["192.0.2.9:5070"]\n'), [])

    def test_open_to_everybody(self) -> None:
        """Without passwords whoever says that he is one of ours can call numbers."""
        (found,) = self.warnings(f"[auth]\nrequired = false\n{GATEWAY}{ROUTE}")
        self.assertTrue(found.startswith("2: auth.required: is false: whoever puts a domain"), found)

    def test_page_for_strangers(self) -> None:
        """A page that all can reach and read; not one of loopback, of log-in, or none."""
        (found,) = self.warnings('[web]\nhost = "192.0.2.1"\n')
        self.assertTrue(found.startswith("2: web.host: whoever reaches it reads callers"), found)
        for more in ('host = "127.0.0.1"', 'host = "::"\nread = "login"', 'host = "::"\nport = 0'):
            self.assertEqual(self.warnings(f"[web]\n{more}\n"), [], more)
