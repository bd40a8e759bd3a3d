"""C{[records]} and C{[database]}: where call records go."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from attrs import frozen

from voipcluster.config.kinds import DatabaseUrl, FilePath, HttpUrl, Whole
from voipcluster.config.option import option


@frozen
class DatabaseOptions:
    """A database that all nodes share: accounts, gateways and call records are there, too (C{docs/database.md})."""

    url: str = option(
        "",
        DatabaseUrl(),
        'such as "postgresql://voipcluster@db.example.com/voipcluster"; "" = none, each node keeps what is its own',
    )
    password_file: str = option(
        "",
        FilePath(),
        'file of mode 0600 whose first line is the password; "" = as libpq finds it (.pgpass, peer)',
    )


def driver_trouble() -> str:
    """Why the shared database cannot be used by this Python; empty when it can."""
    if find_spec("psycopg") is not None:
        return ""
    return f"needs psycopg, which is not installed: {sys.executable} -m pip install 'voipcluster[postgresql]'"


@frozen
class RecordsOptions:
    """Call records (C{docs/records.md})."""

    days: int = option(
        30,
        Whole(0, 36_500),
        "days for which a node keeps the records of its calls; 0 = not at all",
        live=True,
    )
    queue: int = option(
        1_000_000,
        Whole(1000, 1_000_000_000),
        "rows that may wait on the disk for the shared database, or for the webhook, while it is gone",
        live=True,
    )
    webhook: str = option(
        "",
        HttpUrl(),
        'URL that each record is sent to by POST, again until it is accepted; "" = none',
        live=True,
    )
    webhook_secret_file: str = option(
        "",
        FilePath(),
        'file of mode 0600 with the key of the signature in X-Voipcluster-Signature; "" = not signed',
        live=True,
    )
