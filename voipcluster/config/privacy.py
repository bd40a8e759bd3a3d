"""Which files keep a secret: those of their owner alone, and those that systemd hands to its service."""

from __future__ import annotations

import os
import stat
from typing import IO

CREDENTIALS = "/run/credentials"
"""Where systemd keeps those of all services, a directory a unit; only root writes there (systemd.exec(5), "Credentials")."""


def open_to_others(path: str, file: IO[bytes]) -> bool:
    """
    Whether somebody else than the owner may read or write a file. Of one below C{/run/credentials} or C{$CREDENTIALS_DIRECTORY}
    the group's bits say nothing: there they are the mask of the access control list that lets the service's own user read
    (acl(5)), and systemd lets nobody else into the directory.

    @param path: what C{file} was opened by; where it really is counts, past symbolic links.
    """
    others = 0o007 if _is_credential(path) else 0o077
    return bool(stat.S_IMODE(os.fstat(file.fileno()).st_mode) & others)


def _is_credential(path: str) -> bool:
    real = os.path.realpath(path)
    for directory in (CREDENTIALS, os.environ.get("CREDENTIALS_DIRECTORY", "")):
        # a relative one, or the root, is none that systemd has set
        top = os.path.realpath(directory) if os.path.isabs(directory) else os.sep
        if top != os.sep and os.path.commonpath((top, real)) == top:
            return True
    return False
