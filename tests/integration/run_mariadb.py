"""A MariaDB server of the test's own, with one database and one user who has a password."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql
from twisted.internet.threads import deferToThread

from demo.programs import Program, ProgramFailed

SERVER = "nobody"  # it does not run as root
NAME = "kamailio"  # of the database and of its user
TABLES = Path("/usr/share/kamailio/mysql")  # scripts by which Kamailio's own tool makes its tables


def missing() -> str:
    """The line that installs what is not there; empty when all of it is."""
    lacking = [
        package
        for package, there in (
            ("mariadb-server-core", _binary("mariadbd")),
            ("kamailio-mysql-modules", TABLES.is_dir()),
        )
        if not there
    ]
    return f"sudo apt-get install -y {' '.join(lacking)}" if lacking else ""


def _binary(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class MariaDb:
    """
    @ivar url: without its password, which is C{password}.
    """

    def __init__(self, reactor: Any, host: str) -> None:
        if missing():
            raise ProgramFailed(f"MariaDB with the tables of Kamailio is missing; type: {missing()}")
        self._reactor, self.host = reactor, host
        self._home = Path(
            tempfile.mkdtemp(prefix="mariadb-")
        )  # the folders of a test are closed to other users
        self._as_server: list[str] = []
        if os.geteuid() == 0:
            entry = pwd.getpwnam(SERVER)
            os.chown(self._home, entry.pw_uid, entry.pw_gid)
            self._as_server = [
                "setpriv",
                f"--reuid={entry.pw_uid}",
                f"--regid={entry.pw_gid}",
                "--clear-groups",
            ]
        self.password = secrets.token_hex(12)
        self.url = f"mysql://{NAME}@{host}/{NAME}"
        self.program: Program | None = None

    async def make(self) -> None:
        """Make the server's files, start it, and make Kamailio's tables."""
        install = _binary("mariadb-install-db")
        assert install is not None, "it is in the package of the server"
        made = Program.start(
            self._reactor, "mariadb-install-db",
            [
                *self._as_server, install, "--no-defaults", f"--datadir={self._home}/data", "--skip-test-db",
                "--auth-root-authentication-method=normal", "--skip-name-resolve", *_SMALL,
            ], folder=self._home,
        )  # fmt: skip
        if await made.ended(120):
            raise ProgramFailed(f"mariadb-install-db: {made.output[-2000:]}")
        server = _binary("mariadbd")
        assert server is not None, "missing() has seen it"
        words = [
            "--no-defaults", f"--datadir={self._home}/data", f"--bind-address={self.host}", "--port=3306",
            f"--socket={self._home}/socket", f"--pid-file={self._home}/pid", "--skip-name-resolve", *_SMALL,
        ]  # fmt: skip
        self.program = Program.start(
            self._reactor, "mariadbd", [*self._as_server, server, *words], folder=self._home
        )
        await self.program.saw("ready for connections", 60)
        await self.sql(
            f"CREATE DATABASE {NAME}", f"CREATE USER '{NAME}' IDENTIFIED BY '{self.password}'",
            f"GRANT SELECT ON {NAME}.* TO '{NAME}'", database="",
        )  # fmt: skip
        for name in ("standard", "auth_db", "dispatcher"):
            script = (TABLES / f"{name}-create.sql").read_text()
            await self.sql(*(one for one in script.split(";\n") if one.strip()))

    async def sql(self, *statements: str, database: str = NAME) -> list[Any]:
        """Run statements as root; the rows of the last one."""
        return await deferToThread(self._sql, statements, database)

    def _sql(self, statements: Sequence[str], database: str) -> list[Any]:
        connection = pymysql.connect(
            unix_socket=f"{self._home}/socket", user="root", database=database or None, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    async def end(self) -> None:
        program, self.program = self.program, None
        if program is not None and program.status is None:
            program.send_signal("KILL")  # nothing of it is needed any more
            await program.ended(30)
        shutil.rmtree(self._home, ignore_errors=True)


_SMALL = (
    "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0",
    "--innodb-fast-shutdown=2", "--performance-schema=OFF", "--skip-log-bin",
)  # fmt: skip
