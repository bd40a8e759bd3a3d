"""C{voipctl}: look at a cluster and operate it, from a shell."""

from voipcluster.voipctl.cli import main

__all__ = ["main"]
