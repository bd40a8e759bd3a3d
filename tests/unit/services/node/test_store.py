"""The database of one node, and the thread that works on it."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import insert, select
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from voipcluster.services.node.store import NodeStore
from voipcluster.store.database import Database
from voipcluster.store.tables import outbox


class NodeStoreTests(TestCase):
    async def test_written_in_another_thread(self) -> None:
        """Reads and writes do not hold up the reactor's thread, and closing waits for them."""
        store = NodeStore(reactor, Path(self.mktemp()))
        store.start()
        threads = []
        rows = Database.rows

        def noted(database: Database, query: object) -> object:
            threads.append(threading.current_thread())
            return rows(database, query)

        self.patch(Database, "rows", noted)
        await store.database.write((insert(outbox), [{"consumer": "x", "body": "{}"}]))
        found = await store.database.read(select(outbox.c.consumer, outbox.c.body))
        store.close()
        self.assertEqual([tuple(row) for row in found], [("x", "{}")])
        self.assertEqual(len(threads), 1)
        self.assertIsNot(threads[0], threading.current_thread())
        self.assertFalse(threads[0].is_alive())

    def test_closed_before_it_started(self) -> None:
        """A node that could not start lets go of its database too."""
        path = Path(self.mktemp())
        NodeStore(reactor, path).close()
        self.assertTrue(path.exists())
