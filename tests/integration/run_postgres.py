"""A PostgreSQL server of the test's own, with one database and one user who has a password."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from demo.programs import Program, ProgramFailed

SERVER = "postgres"  # the user whom Debian's package makes; the server does not run as root
NAME = "voipcluster"  # of the database and of its user


def binary(name: str) -> str:
    """A program of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise ProgramFailed(f"no {name}; type: sudo apt-get install -y postgresql")
    return str(found[-1])


class Postgres:
    """
    @ivar url: for C{database.url}; C{password_file}: of mode 0600.
    @ivar socket_folder: for C{host} of a URL, where everybody is believed who he is.
    """

    def __init__(self, reactor: Any, host: str, folder: Path) -> None:
        self._reactor, self.host = reactor, host
        # the folders of a test are closed to other users
        self._home = Path(tempfile.mkdtemp(prefix="pg-"))
        self.socket_folder = self._home
        self._data = self._home / "data"
        self._as_server = (
            ["setpriv", f"--reuid={SERVER}", f"--regid={SERVER}", "--clear-groups"]
            if os.geteuid() == 0
            else []
        )
        if self._as_server:
            entry = pwd.getpwnam(SERVER)
            os.chown(self._home, entry.pw_uid, entry.pw_gid)
        self.password = secrets.token_hex(12)
        self.password_file = folder / "database-password"
        self.password_file.write_text(self.password + "\n")
        self.password_file.chmod(0o600)
        self.url = f"postgresql://{NAME}@{host}:5432/{NAME}"
        self.program: Program | None = None

    async def make(self) -> None:
        """Make the cluster's files, and start it."""
        await self._run(
            binary("initdb"), "-D", str(self._data), "-A", "trust", "-N", "--no-locale", "-E", "UTF8"
        )
        rules = f"local all all trust\nhost {NAME} {NAME} all scram-sha-256\n"
        await self._run("sh", "-c", f"cat > {self._data}/pg_hba.conf", stdin=rules)
        await self.start()
        await self.sql(f"CREATE USER {NAME} PASSWORD '{self.password}'", "postgres")
        await self.sql(f"CREATE DATABASE {NAME} OWNER {NAME}", "postgres")

    async def start(self) -> None:
        words = [
            "-D",
            str(self._data),
            "-h",
            self.host,
            "-p",
            "5432",
            "-k",
            str(self._home),
            "-c",
            "fsync=off",
        ]
        self.program = Program.start(
            self._reactor, "postgres", [*self._as_server, binary("postgres"), *words]
        )
        await self.program.saw("ready to accept connections", 60)

    async def stop(self) -> None:
        """At once, as in a crash; what was committed is there again after the next start."""
        program, self.program = self.program, None
        if program is not None and program.status is None:
            with suppress(ProcessLookupError):
                os.kill(program.pid, signal.SIGQUIT)
            await program.ended(30)

    def freeze(self) -> None:
        """It is there and says nothing more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self.program is not None, "it runs"
        family = [self.program.pid]
        for pid in family:  # its processes have sessions of their own
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                family += map(int, task.read_text().split())
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def end(self) -> None:
        await self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    async def sql(self, statement: str, database: str = NAME) -> list[list[str]]:
        """The rows of a statement, as texts."""
        output = await self._run(*self._psql(database), "-c", statement)
        return [line.split("|") for line in output.splitlines()]

    async def script(self, statements: str) -> None:
        """Statements as psql reads them."""
        await self._run(*self._psql(NAME), stdin=statements)

    def _psql(self, database: str) -> list[str]:
        return ["psql", "-XAtq", "-h", str(self._home), "-v", "ON_ERROR_STOP=1", "-d", database]

    async def _run(self, *command: str, stdin: str = "") -> str:
        folder = self._home
        program = Program.start(
            self._reactor, command[0], [*self._as_server, *command], folder=folder, stdin=stdin
        )
        if await program.ended(60):
            raise ProgramFailed(f"{' '.join(command[:3])}: {program.output}")
        return program.standard_output


def options(server: Postgres) -> Sequence[str]:
    """For the command line of a node."""
    return ("--set", f"database.url={server.url}", "--set", f"database.password_file={server.password_file}")
