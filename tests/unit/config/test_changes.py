"""What a running node can take of a changed file, and what has to wait."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from tests.unit.config.section_case import SectionCase
from voipcluster.config import Config, load_config
from voipcluster.config.changes import changes

GATEWAYS = """
[[gateway]]
name = "a"
servers = ["192.0.2.1"]
[[gateway]]
name = "b"
servers = ["192.0.2.2"]
channels = {channels}
[[route]]
prefix = "+"
gateway = "{route}"
"""


class ChangesTests(SectionCase):
    def written(self, **more: object) -> Config:
        path = Path(self.mktemp())
        path.write_text(GATEWAYS.format(**{"channels": 1, "route": "a", **more}), "utf-8")
        return evolve(load_config(str(path)), path=None)

    def test_none(self) -> None:
        found = changes(Config(), Config())
        self.assertEqual((found.live, found.later, found.config), ((), (), Config()))

    def test_live_and_later(self) -> None:
        """What has to wait is named, and is not in the configuration that the node goes on with."""
        new = self.taken("cluster.threshold=0.5", "limits.calls=7", "sip.port=5070", "media.relay=off")
        found = changes(Config(), new)
        self.assertEqual(found.live, ("cluster.threshold", "limits.calls"))
        self.assertEqual(found.later, ("media.relay", "sip.port"))
        self.assertEqual(found.config, self.taken("cluster.threshold=0.5", "limits.calls=7"))
        self.assertEqual(changes(found.config, new).later, found.later)

    def test_gateways_and_routes(self) -> None:
        """Each gateway that came, went or changed has its name; routes are one thing."""
        old = self.written()
        found = changes(old, self.written(channels=2))
        self.assertEqual(found.live, ("gateway b",))
        self.assertEqual(changes(old, self.written(route="b")).live, ("routes",))
        self.assertEqual(changes(old, Config()).live, ("gateway a", "gateway b", "routes"))
        self.assertEqual(changes(old, Config()).config, Config())

    def test_switches(self) -> None:
        """New files of TLS are taken; TLS itself is switched on and off by a start. Likewise a webhook, and records at all."""
        tls = self.taken("tls.certificate=a.pem")
        self.assertEqual(changes(tls, self.taken("tls.certificate=b.pem", "tls.key=k.pem")).live,
                         ("tls.certificate", "tls.key"))  # fmt: skip
        self.assertEqual(changes(Config(), tls).later, ("tls.certificate",))
        self.assertEqual(changes(tls, Config()).config, tls)
        hook = self.taken("records.webhook=http://a.example/", "records.webhook_secret_file=s")
        self.assertEqual(changes(Config(), hook).later, ("records.webhook", "records.webhook_secret_file"))
        self.assertEqual(
            changes(
                hook, self.taken("records.webhook=http://b.example/", "records.webhook_secret_file=s")
            ).live,
            ("records.webhook",),
        )
        self.assertEqual(changes(Config(), self.taken("records.days=0")).later, ("records.days",))
        self.assertEqual(changes(Config(), self.taken("records.days=5")).live, ("records.days",))

    def test_the_first_join(self) -> None:
        """A join token is for the first start: that it is gone from the command line is no change."""
        new = self.taken("node.join=abcdefgh@10.0.0.1")
        self.assertEqual((changes(Config(), new).live, changes(Config(), new).later), ((), ()))
