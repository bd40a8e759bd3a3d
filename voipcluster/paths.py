"""Names in the state directory, and how a socket of a long path is reached."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

DEFAULT_STATE_DIR = "voipcluster-state"
ADMIN_SOCKET = "admin.sock"
_LONGEST = 100  # octets; struct sockaddr_un holds 108 with the final zero (unix(7)), and 104 elsewhere


class ShortPath:
    """
    A path of a UNIX socket that fits into its address, whatever directory it is in.

    @ivar text: the path itself or, when that is too long, the same file by way of an open directory (Linux, proc(5));
        good until C{close()}.
    """

    def __init__(self, path: Path) -> None:
        """
        @raise OSError: the directory does not exist or cannot be opened.
        """
        self._directory: int | None = None
        self.text = str(path)
        if len(os.fsencode(self.text)) > _LONGEST:
            self._directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.text = f"/proc/self/fd/{self._directory}/{path.name}"

    def close(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            os.close(directory)

    def __enter__(self) -> str:
        return self.text

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
