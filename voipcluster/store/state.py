"""
The state directory of one node: key material, who the members are, how often the node has started.

Layout: C{ca.pem}, C{ca.key} (primary only), C{node.pem}, C{node.key}, C{cluster.key}, C{cluster.json}, C{tokens.json} (primary
only), C{voipcluster.db}, C{calls.journal}, C{minutes.today}, C{web.password}, C{admin.sock}, C{lock}. The directory has mode 0700
and each file 0600; files are replaced whole, but for the database, the journal and the minutes, so that a crash leaves the old or
the new one.
Certificates and keys are opaque bytes here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voipcluster.errors import UsageError

FORMAT = 1
PRIMARY, SECONDARY = "primary", "secondary"


class NodeState:
    """
    An open and locked state directory.

    @ivar cluster: the id of the cluster; empty while the node is in none.
    @ivar roster: C{{"roster": text, "signature": base64}} as the primary has signed it; empty before.
    @ivar epoch: the number of this life of the node; 0 before L{next_epoch}.
    """

    cluster = name = role = ""
    epoch = 0

    def __init__(self, directory: Path, lock: int) -> None:
        """For L{open_state}."""
        self.directory, self._lock = directory, lock
        self.roster: dict[str, str] = {}

    def path(self, name: str) -> Path:
        return self.directory / name

    @property
    def database(self) -> Path:
        return self.path("voipcluster.db")

    @property
    def admin_socket(self) -> Path:
        return self.path("admin.sock")

    @property
    def is_member(self) -> bool:
        return bool(self.cluster)

    @property
    def is_primary(self) -> bool:
        return self.role == PRIMARY

    def read(self, name: str) -> bytes:
        """@raise UsageError: the file is not there or not readable."""
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise UsageError(f"{self.path(name)}: {error.strerror}") from None

    def write(self, name: str, content: bytes) -> None:
        """
        Put a file in place of the old one, durably.

        @raise UsageError: the disk does not take it.
        """
        path, new = self.path(name), self.path(f".{name}.new")
        try:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.rename(new, path)
            self._sync_directory()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None

    def _sync_directory(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def enter(
        self, cluster: str, name: str, role: str, roster: dict[str, str], files: dict[str, bytes]
    ) -> None:
        """
        Make this the directory of a member. C{cluster.json} is written last: without it the directory counts as empty.

        @param files: key material by file name.
        """
        for file_name, content in files.items():
            self.write(file_name, content)
        self.cluster, self.name, self.role, self.roster = cluster, name, role, roster
        self.save()

    def save(self) -> None:
        value = {
            "format": FORMAT, "cluster": self.cluster, "name": self.name, "role": self.role, "epoch": self.epoch,
            "members": _members(self.roster), **self.roster,
        }  # fmt: skip
        self.write("cluster.json", json.dumps(value, indent=1).encode() + b"\n")

    def save_roster(self, roster: dict[str, str]) -> None:
        self.roster = roster
        self.save()

    def next_epoch(self, now: float) -> int:
        """
        Begin a new life: a number above all earlier ones, also when an old copy of the directory was restored.

        @param now: unix seconds.
        """
        self.epoch = max(self.epoch + 1, int(now))
        self.save()
        return self.epoch

    def close(self) -> None:
        """Give up the lock; a second call is harmless."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _load(self) -> None:
        path = self.path("cluster.json")
        if not path.exists():
            return
        try:
            value = json.loads(self.read("cluster.json"))
            if value["format"] != FORMAT:
                raise UsageError(
                    f"{path}: format {value['format']!r} is of another version of voipcluster, which reads {FORMAT}"
                )
            texts = {key: value[key] for key in ("cluster", "name", "role", "roster", "signature")}
            if any(type(text) is not str for text in texts.values()) or type(value["epoch"]) is not int:
                raise ValueError("types")
        except (KeyError, TypeError, ValueError, RecursionError):
            raise UsageError(
                f"{path}: damaged; restore the file, or empty the directory and join anew"
            ) from None
        self.cluster, self.name, self.role = texts["cluster"], texts["name"], texts["role"]
        self.epoch = value["epoch"]
        self.roster = {"roster": texts["roster"], "signature": texts["signature"]}
        if self.role not in (PRIMARY, SECONDARY):
            raise UsageError(f"{path}: role {self.role!r} is not known")

    def check_role(self, role: str, name: str) -> None:
        """@raise UsageError: this directory is one of another node."""
        if role != self.role:
            raise UsageError(
                f"{self.directory} is the state directory of a {self.role} (node {self.name}); it cannot start as {role}"
            )
        if name and name != self.name:
            raise UsageError(
                f"{self.directory} is the state directory of node {self.name}; it cannot start as {name}"
            )


def _members(roster: dict[str, str]) -> Any:
    """For those who read the file; we read the signed text."""
    return json.loads(roster["roster"])["members"] if roster else []


def open_state(directory: Path, getpid: Callable[[], int] = os.getpid) -> NodeState:
    """
    Open a state directory, make it when it is not there, and lock it for this process.

    @raise UsageError: another process has it, it is not ours or it is damaged.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if found.st_uid != os.geteuid():
            raise UsageError(f"{directory} belongs to another user")
        if stat.S_IMODE(found.st_mode) != 0o700:
            directory.chmod(0o700)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"state directory {directory}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise UsageError(f"state directory {directory} is in use by another process (pid {owner})") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % getpid(), 0)
    state = NodeState(directory, lock)
    try:
        state._load()
    except BaseException:
        state.close()
        raise
    return state
