"""A cluster of nodes in memory for one test, and what they tell each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.marks import Recorded
from tests.unit.services.cluster_nodes import Cluster, User
from voipcluster.balance.messages import Account, Binding, Ha1


def binding(node: str, name: str, expires: int = 60, **rest: Any) -> Binding:
    return Binding(
        node=node, epoch=1, seq=1, aor=f"{name}@example.com", contact=f"sip:{name}@192.0.2.1", expires=expires,
        call_id="c", cseq=1, **rest,
    )  # fmt: skip


def account(name: str, **rest: Any) -> Account:
    return Account(username=name, domain="example.com", ha1=(Ha1(algorithm="MD5", ha1="0" * 32),), **rest)


class ClusterCase(Recorded, SynchronousTestCase):
    def setUp(self) -> None:
        self.cluster = Cluster(Path(self.mktemp()))
        self.network = self.cluster.network
        self.addCleanup(self._stop)

    def _stop(self) -> None:
        self.cluster.stop()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def three(self) -> None:
        self.cluster.join("b", "127.0.0.2")
        self.cluster.join("c", "127.0.0.3")
        self.network.pass_time(1.5)

    def user(self, name: str) -> User:
        return self.cluster[name].user
