"""The registrations that this node holds, in its database, so that they are there again when it has restarted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert
from twisted.internet.defer import Deferred

from voipcluster.sip.location import Binding
from voipcluster.store.database import Database
from voipcluster.store.tables import location

Key = tuple[str, str]  # Binding.aor, Binding.key


class Locations:
    """Rows of C{location}. C{Binding.flow}, a matter of the process, is not kept. Times are unix seconds."""

    def __init__(self, database: Database, wall_clock: Callable[[], float] = time.time) -> None:
        self._database, self._wall_clock = database, wall_clock

    def save(self, bindings: Sequence[Binding]) -> Deferred[None]:
        """
        Add rows, or replace those of the same C{aor} and C{key}.

        @return: fires when they are on the disk.
        """
        statement = insert(location)
        upsert = statement.on_conflict_do_update(
            index_elements=["aor", "ruid"],
            set_={column.name: column for column in statement.excluded if not column.primary_key},
        )
        return (
            self._database.write((upsert, [_row(binding) for binding in bindings]))
            if bindings
            else _nothing()
        )

    def remove(self, keys: Sequence[Key]) -> Deferred[None]:
        """Remove the rows with these C{(aor, key)}; unknown ones are passed over."""
        gone = delete(location).where(
            location.c.aor == bindparam("gone_aor"), location.c.ruid == bindparam("gone_key")
        )
        rows = [{"gone_aor": aor, "gone_key": key} for aor, key in keys]
        return self._database.write((gone, rows)) if rows else _nothing()

    def load(self) -> Deferred[list[Binding]]:
        """All rows that have not expired; the others are removed."""
        now = self._wall_clock()
        self._database.write((delete(location).where(location.c.expires <= now), None)).addErrback(
            lambda failure: None
        )
        rows = self._database.read(select(location).where(location.c.expires > now))
        return rows.addCallback(lambda found: [_binding(row) for row in found])


def _nothing() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done


def _row(binding: Binding) -> dict[str, Any]:
    username, _, domain = binding.aor.rpartition("@")
    return {
        "aor": binding.aor, "ruid": binding.key, "username": username, "domain": domain, "contact": binding.contact,
        "received": binding.source, "path": "\n".join(binding.path), "expires": binding.expires_at, "q": binding.q,
        "callid": binding.call_id, "cseq": binding.cseq, "last_modified": binding.registered_at,
        "user_agent": binding.user_agent, "params": binding.params, "instance": binding.instance,
        "reg_id": binding.reg_id, "flow": binding.flow_token, "node": binding.node,
    }  # fmt: skip


def _binding(row: Any) -> Binding:
    return Binding(
        aor=row.aor, contact=row.contact, expires_at=row.expires, registered_at=row.last_modified, call_id=row.callid,
        cseq=row.cseq, q=row.q, params=row.params, path=tuple(row.path.split("\n")) if row.path else (),
        user_agent=row.user_agent, node=row.node, flow_token=row.flow, source=row.received, instance=row.instance,
        reg_id=row.reg_id,
    )  # fmt: skip
