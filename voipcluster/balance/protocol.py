"""
The version of the cluster link, and whether two nodes have one in common.

Fields and kinds of messages come without a new version: what a node does not know it ignores, what it is not told has a default,
and which kinds a peer knows it says in its greeting. A new version is for what an older node would misunderstand. A release then
speaks the version before as well, until all nodes are of that release.
"""

from __future__ import annotations

from attrs import frozen

from voipcluster.errors import PeerError

OLDEST, NEWEST = 1, 1  # that this release speaks
MOST = 2**31 - 1
_NAMED = 32  # characters of a release's name


@frozen
class Spoken:
    """
    What a node speaks.

    @ivar release: of voipcluster, as its operator knows it; C{oldest} and C{newest}: versions of the link.
    """

    release: str
    oldest: int = OLDEST
    newest: int = NEWEST

    def __str__(self) -> str:
        versions = f"version {self.newest}"
        if self.oldest != self.newest:
            versions = f"versions {self.oldest} to {self.newest}"
        return f"voipcluster {self.release or 'of an unknown release'} speaks {versions} of the cluster link"

    def told(self) -> dict[str, object]:
        """As it goes into a greeting."""
        return {"version": self.release, "protocol": [self.oldest, self.newest]}

    def check(self, theirs: Spoken) -> None:
        """@raise PeerError: there is no version that both speak; in words for the operators of both."""
        if max(self.oldest, theirs.oldest) > min(self.newest, theirs.newest):
            raise PeerError(
                f"{theirs}, and {self}: they cannot work together; upgrade over a release that speaks both"
            )


def spoken(body: dict[str, object]) -> Spoken:
    """
    What a greeting says of its node. One that says nothing is of the first version.

    @raise PeerError: it says what cannot be.
    """
    release, protocol = body.get("version", ""), body.get("protocol", [1, 1])
    if (
        not isinstance(release, str)
        or len(release) > _NAMED
        or not (release.isprintable() and release.isascii())
    ):
        raise PeerError("version: not a short text")
    match protocol:
        case [int(oldest), int(newest)] if (
            type(oldest) is int and type(newest) is int and 1 <= oldest <= newest <= MOST
        ):
            return Spoken(release, oldest, newest)
    raise PeerError("protocol: the oldest and the newest version of the link are wanted")
