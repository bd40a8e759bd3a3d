"""A service manager that keeps descriptors, as systemd does, at a real socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

ENOUGH = 300  # descriptors in one message


class PlayedManager:
    """
    Reads what processes say at C{path}; it is the test that says when.

    @ivar kept: descriptors by name, in the order in which they came; C{said}: all messages.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self.kept: dict[str, list[int]] = {}
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.path[1:] if self.path.startswith("@") else self.path)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> bool:
        """Take one message; whether there was one."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, ENOUGH)
        except BlockingIOError:
            return False
        text = data.decode()
        self.said.append(text)
        fields = dict(line.split("=", 1) for line in text.splitlines())
        if "FDSTORE" in fields:
            self.kept.setdefault(fields["FDNAME"], []).extend(descriptors)
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        if "FDSTOREREMOVE" in fields:
            self.forget(fields["FDNAME"])
        return True

    def forget(self, name: str) -> None:
        for descriptor in self.kept.pop(name, []):
            os.close(descriptor)

    def environment(self) -> dict[str, str]:
        """Of the next process, but for C{LISTEN_PID}; its descriptors begin with 3."""
        names = [name for name, kept in self.kept.items() for _ in kept]
        if not names:
            return {"NOTIFY_SOCKET": self.path}
        return {
            "NOTIFY_SOCKET": self.path,
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(names),
        }

    @property
    def descriptors(self) -> list[int]:
        return [descriptor for kept in self.kept.values() for descriptor in kept]

    def close(self) -> None:
        for name in list(self.kept):
            self.forget(name)
        self._socket.close()
