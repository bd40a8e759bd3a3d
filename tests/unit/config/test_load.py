"""Flags over file over defaults, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import Config, ConfigError, Setting, check_file, load_config, parse_set
from voipcluster.config.load import MAX_FILE


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp() + ".toml"

    def file(self, text: str) -> str:
        Path(self.path).write_text(text, encoding="utf-8")
        return self.path

    def with_flags(self, *arguments: str, path: str | None = None) -> Config:
        return load_config(path, [parse_set(argument) for argument in arguments])

    def refusal(self, *arguments: str, path: str | None = None) -> str:
        return str(self.assertRaises(ConfigError, self.with_flags, *arguments, path=path))

    def problems(self, text: str) -> list[str]:
        path = self.file(text)
        return [line.removeprefix(f"{path}:") for line in check_file(path)]

    def test_defaults(self) -> None:
        """Without file and flags, everything has its default."""
        self.assertEqual(load_config(None), Config())

    def test_order(self) -> None:
        """The file wins over the default, the flag over the file, the later flag over the earlier one."""
        path = self.file('[limits]\ncalls = 7\nconnections = 8\n[cluster]\ndomain = ["x.example"]\n')
        config = self.with_flags("limits.calls=1", "limits.calls=9", path=path)
        self.assertEqual((config.limits.calls, config.limits.connections), (9, 8))
        self.assertEqual((config.limits.transactions, config.cluster.domain), (20000, ("x.example",)))
        self.assertEqual(config.path, path)

    def test_monstrous_numbers(self) -> None:
        """A number of hundreds or thousands of digits is one line like any other mistake, in a file and in a flag."""
        for digits in (
            "9" * 400,
            "-" + "9" * 400,
            "9" * 5000,
            "0x" + "f" * 5000,
            "1" + "_000" * 2000,
            "9" * 400 + ".5",
            "9e999",
        ):
            for key in ("cluster.threshold", "limits.calls", "cluster.domain", "sip.nothing"):
                section, _, name = key.partition(".")
                [problem] = self.problems(f"[{section}]\n\n{name} = {digits}\n")
                self.assertTrue(problem.startswith("3: "), problem)
                self.assertLess(len(problem), 400)
                self.assertEqual(len(self.refusal(f"{key}={digits}").splitlines()), 1)

    def test_values_of_flags(self) -> None:
        """A flag's value is TOML, and a bare word is text."""
        config = self.with_flags(
            "cluster.mode=redirect", 'cluster.policy="sequence"', 'cluster.sequence=["a", "b"]', "auth.required=false",
            "cluster.domain=['example.com']", "media.ports=20000-20999", "node.name=7", "cluster.period = 0.5",
        )  # fmt: skip
        self.assertEqual((config.cluster.mode, config.cluster.policy), ("redirect", "sequence"))
        self.assertEqual((config.cluster.sequence, config.cluster.domain), (("a", "b"), ("example.com",)))
        self.assertEqual((config.auth.required, config.media.ports), (False, (20000, 20999)))
        self.assertEqual((config.node.name, config.cluster.period), ("7", 0.5))

    def test_each_mistake_of_a_file(self) -> None:
        """Each mistake names line, key, what was found and what is allowed, in the order of the file."""
        problems = self.problems(
            "[cluster]\n"
            'domain = [\n  "a.example", # ]\n]\n'
            "treshold = 0.5\n"
            "hard_limit = 1.5\n"
            "calls = 4\n"
            "period = 0\n"
            'mode = "redirct"\n'
            "[limit]\nx = 1\n"
            "[media]\nports = 30000\n"
        )
        expected = [
            ("5: ", 'unknown key "treshold" in [cluster]; did you mean cluster.threshold?'),
            ("6: cluster.hard_limit: ", "found 1.5, allowed is a number above 0 and at most 1"),
            ("7: ", 'unknown key "calls" in [cluster]; did you mean limits.calls?'),
            ("8: cluster.period: ", "found 0, allowed is a number above 0 and at most 3600 s"),
            ("9: cluster.mode: ", 'found "redirct", allowed is one of forward, redirect, auto'),
            ("10: ", 'unknown section "limit"; did you mean [limits]?'),
            ("13: media.ports: ", "found 30000, allowed is two ports"),
        ]
        self.assertEqual(len(problems), len(expected), problems)
        for problem, (place, text) in zip(problems, expected, strict=True):
            self.assertTrue(problem.startswith(place + text), problem)

    def test_start_shows_the_first(self) -> None:
        """A start shows one line: the first mistake, and how to see the others."""
        path = self.file("[limits]\ncalls = 0\nconnections = 0\n")
        text = self.refusal(path=path)
        self.assertTrue(text.startswith(f"{path}:2: limits.calls: found 0"), text)
        self.assertTrue(text.endswith("(and 1 more: voipctl check shows it)"), text)
        self.assertNotIn("\n", text)

    def test_values_stay_on_one_line(self) -> None:
        """A wrong value is shown escaped and cut, so that it cannot look like another line."""
        (problem,) = self.problems('[cluster]\nmode = """a\nb\u009b' + "x" * 100 + '"""\n')
        self.assertNotIn("\n", problem)
        self.assertLess(len(problem), 140)

    def test_levels(self) -> None:
        """The threshold may equal the hard limit but not be above it, and the one that was set is blamed."""
        self.assertEqual(self.with_flags("cluster.threshold=0.95").cluster.threshold, 0.95)
        self.assertEqual(
            self.refusal("cluster.threshold=0.96"),
            "--set cluster.threshold: found 0.96, allowed is at most 0.95, which is cluster.hard_limit",
        )
        self.assertEqual(
            self.refusal("cluster.hard_limit=0.5"),
            "--set cluster.hard_limit: found 0.5, allowed is at least 0.75, which is cluster.threshold",
        )

    def test_expiry(self) -> None:
        """The three times of a registration are in order (RFC 3261 section 10.3)."""
        self.assertIn("which is sip.default_expires", self.refusal("sip.min_expires=4000"))
        self.assertIn("which is sip.default_expires", self.refusal("sip.max_expires=1800"))
        self.assertEqual(
            self.with_flags("sip.max_expires=1800", "sip.default_expires=1800").sip.max_expires, 1800
        )

    def test_session_interval(self) -> None:
        """What is asked for is not refused, and nothing below what RFC 4028 section 4 allows can be set."""
        self.assertIn("which is sip.min_session_expires", self.refusal("sip.session_expires=89"))
        self.assertIn("90 to 86400", self.refusal("sip.min_session_expires=89"))
        self.assertEqual(self.with_flags("sip.session_expires=0").sip.session_expires, 0)
        self.assertEqual(self.with_flags("sip.session_expires=90").sip.session_expires, 90)

    def test_ports_do_not_meet(self) -> None:
        """The relay's ports may not hold a port that something else listens on."""
        text = self.refusal("media.ports=5000-6000")
        self.assertEqual(
            text,
            "--set media.ports: media.ports 5000-6000 include sip.port 5060; change media.ports or sip.port",
        )

    def test_ports_differ(self) -> None:
        """Two parts of the node cannot have one port; one that is off has none."""
        self.assertEqual(
            self.refusal("sip.port=8787"),
            "--set sip.port: cluster.port and sip.port are both 8787; change cluster.port or sip.port",
        )
        for settings, pair in (
            (("web.port=5060",), "web.port and sip.port"),
            (("cluster.port=8080",), "web.port and cluster.port"),
            (("tls.certificate=/c.pem", "tls.port=8787"), "tls.port and cluster.port"),
            (("websocket.tls=false", "websocket.port=8787"), "websocket.port and cluster.port"),
        ):
            self.assertIn(f"{pair} are both", self.refusal(*settings))
        self.assertEqual(self.with_flags("web.port=0", "cluster.port=8080").cluster.port, 8080)

    def test_relay(self) -> None:
        """Each of the ways to relay can be chosen, and no other one."""
        for relay in ("auto", "kernel", "userspace", "off"):
            self.assertEqual(self.with_flags(f"media.relay={relay}").media.relay, relay)
        self.assertIn("auto, kernel, userspace, off", self.refusal("media.relay=ebpf"))

    def test_tls(self) -> None:
        """What TLS cannot do without is asked for, and its port is its own."""
        self.assertEqual(
            self.refusal("tls.key=/k.pem"), "--set tls.key: needs tls.certificate, which is not set"
        )
        self.assertEqual(
            self.refusal("tls.certificate=/c.pem", "tls.client_certificate=true"),
            "--set tls.client_certificate: needs tls.ca, which is not set",
        )
        self.assertEqual(
            self.refusal("tls.certificate=/c.pem", "tls.port=5060"),
            "--set tls.port: tls.port and sip.port are both 5060; change tls.port or sip.port",
        )
        self.assertEqual(self.with_flags("tls.port=5060").tls.port, 5060)
        config = self.with_flags("tls.certificate=c.pem", "tls.ca=ca.pem", "tls.client_certificate=true")
        self.assertEqual((config.tls.certificate, config.tls.client_certificate), ("c.pem", True))

    def test_websocket(self) -> None:
        """A secure port needs a certificate, two things need two ports, and origins are origins."""
        self.assertEqual(
            self.refusal("websocket.port=8443"),
            "--set websocket.port: needs tls.certificate (or websocket.tls = false), which is not set",
        )
        self.assertEqual(
            self.refusal("web.tls=true"), "--set web.tls: needs tls.certificate, which is not set"
        )
        self.assertEqual(
            self.refusal("websocket.port=8080", "websocket.tls=false"),
            "--set websocket.port: websocket.port and web.port are both 8080; change websocket.port or web.port",
        )
        self.assertEqual(self.with_flags("websocket.port=8088", "websocket.tls=false").websocket.port, 8088)
        self.assertIn("allowed is a list of origins", self.refusal('websocket.origins=["phone.example.com"]'))
        config = self.with_flags('websocket.origins=["https://Phone.example.com:8443", "http://[::1]"]')
        self.assertEqual(config.websocket.origins, ("https://phone.example.com:8443", "http://[::1]"))

    def test_policies(self) -> None:
        """A policy is a built-in one or that of a plugin."""
        settings = [parse_set("cluster.policy=round-robin")]
        self.assertEqual(load_config(None, settings, {"round-robin"}).cluster.policy, "round-robin")
        text = self.refusal("cluster.policy=plan")
        self.assertIn('unknown policy "plan"; did you mean planned? allowed are least-loaded, planned', text)

    def test_sequence(self) -> None:
        """A name that no node can have, or that is there twice, is refused; one without a node yet is not known to be wrong."""
        for names in ('["a", "b", "a"]', '["a", "b c"]', '["a", ""]', '["a", 7]', '"a"'):
            text = self.refusal(f"cluster.sequence={names}")
            self.assertTrue(text.startswith("--set cluster.sequence: found "), text)
            self.assertTrue(text.endswith("allowed is a list of node names, each once"), text)
            self.assertNotIn("\n", text)
        path = self.file('[cluster]\npolicy = "sequence"\nsequence = ["a", "a"]\n')
        self.assertTrue(self.refusal(path=path).startswith(f"{path}:3: cluster.sequence: found "))
        self.assertEqual(self.with_flags('cluster.sequence=["later"]').cluster.sequence, ("later",))

    def test_misplaced(self) -> None:
        """A key in front of all sections, an array that is misspelt, and the password of the page, which is in no file."""
        for text, told in (
            ('domain = "a.example"', '1: key "domain" is in no section; it belongs under [cluster]'),
            ('domain = ["a.example"]', '1: key "domain" is in no section; it belongs under [cluster]'),
            ("[gatewy]\n", '1: unknown section "gatewy"; did you mean [[gateway]]? allowed'),
            ("[limit]\n", '1: unknown section "limit"; did you mean [limits]? allowed'),
            ("domains = 1", '1: unknown section "domains"; '),
            ('[web]\npassword = "x"', '2: unknown key "password" in [web]; voipctl web-password sets'),
        ):
            path = self.mktemp()
            Path(path).write_text(text)
            (error,) = check_file(path)
            self.assertIn(f"{path}:{told}", error)

    def test_flags_are_named(self) -> None:
        """A mistake in a flag names the flag as it was typed."""
        self.assertEqual(
            self.refusal("limits.calls=many"),
            '--set limits.calls: found "many", allowed is a whole number from 1 to 10000000',
        )
        self.assertIn(
            '--set limits.callz: unknown key "callz" in [limits]; did you mean limits.calls?',
            self.refusal("limits.callz=1"),
        )
        self.assertIn("is not a TOML value", self.refusal("cluster.domain=[1"))
        for argument in (
            "limits.calls",
            "calls=1",
            "a.b.c=1",
            "=",
            "",
            "limits.x\ncalls=1",
            ".=1",
            f"{'x' * 99}.x=1",
            "limits.\u0430=1",
        ):
            self.assertIn("allowed is SECTION.KEY=VALUE", self.refusal(argument))

    def test_flag_with_a_line_break(self) -> None:
        """A line break in a flag's value begins no second key."""
        self.assertIn("found", self.refusal("limits.calls=1\nx = 2"))

    def test_join_token_is_not_shown(self) -> None:
        """A wrong join token is not repeated in the error: it may be a good one with a slip."""
        setting = Setting("node.join", "verysecrettoken", "--join")
        error = self.assertRaises(ConfigError, load_config, None, [setting])
        self.assertNotIn("verysecret", str(error))
        self.assertTrue(str(error).startswith("--join: allowed is TOKEN@ADDRESS"), str(error))

    def test_broken_files(self) -> None:
        """A file that is no TOML, no text or not there gives one line."""
        self.assertEqual(self.problems("[cluster]\nthreshold = = 1\n"), ["2: not TOML: invalid value"])
        self.assertTrue(
            self.problems("a = 1\na = 2\n")[0].startswith("2: not TOML: cannot overwrite a value")
        )
        self.assertTrue(self.problems('x = "unfinished')[0].startswith("1: not TOML: "))
        self.assertIn("nested too deeply", self.problems("x = " + "[" * 50_000)[0])
        Path(self.path).write_bytes(b"[cluster]\n# \xff\n")
        self.assertEqual(check_file(self.path), [f"{self.path}: line 2 is not UTF-8"])
        Path(self.path).write_bytes(b"#" * (MAX_FILE + 1))
        self.assertEqual(check_file(self.path), [f"{self.path}: larger than {MAX_FILE} octets"])
        self.assertEqual(
            check_file("missing.toml"), ["missing.toml: cannot be read: No such file or directory"]
        )
        self.assertEqual(check_file("."), [".: cannot be read: Is a directory"])

    def test_wrong_shapes(self) -> None:
        """A value where a table must be, and a table where a value must be, are mistakes of their line."""
        self.assertEqual(
            self.problems("\ncluster = 1\n"), ["2: cluster: found 1, allowed is a table: [cluster]"]
        )
        (problem,) = self.problems("[[limits]]\ncalls = 1\n")
        self.assertTrue(problem.startswith("1: limits: found [{"), problem)
        (problem,) = self.problems("[limits.calls]\nx = 1\n")
        self.assertTrue(problem.startswith('1: limits.calls: found {"x": 1}'), problem)

    def test_windows_line_ends(self) -> None:
        """A file with CRLF counts the same lines."""
        Path(self.path).write_bytes(b"[limits]\r\n\r\ncalls = 0\r\n")
        self.assertTrue(check_file(self.path)[0].startswith(f"{self.path}:3: limits.calls"))
