"""Requests that come back to where their targets were looked up before (RFC 5393 section 4.2)."""

from __future__ import annotations

import hashlib

from voipcluster.errors import PeerError
from voipcluster.remember import LONGEST
from voipcluster.services.sip.core import SipCore
from voipcluster.sip.message import COMMA, Request
from voipcluster.sip.values import parse_via

_SIGN = ".l"
_KEPT = 8192  # marks that are remembered


class Loops:
    """
    Puts a mark into the branch of each copy whose targets were looked up, and finds it in the Via of what comes in.

    Without it two bindings that lead back to the cluster double a request at each of its 70 hops. The mark names the address
    of record, so that other parameters do not make another URI of it; all nodes make the same one.
    """

    def __init__(self, core: SipCore) -> None:
        self._core = core
        self._key = core.secret(b"loops")
        self._made: dict[str, str] = {}

    def mark(self, request: Request, uri: str) -> str:
        """
        What to append to the branch of the copies of a request.

        @raise PeerError: 482, the same target set was looked up for this request before.
        """
        meaning = self._core.names.meaning(uri)
        name = meaning.aor or uri
        if meaning.uri.params and meaning.uri.has_param("gr"):
            name = uri  # a GRUU is a place of its own: whom a call to the user reached may send it on to one of his phones
        mark = self._made.get(name) or self._make(name)
        layout = request.layout
        if layout.vias > 1 or (layout.vias and COMMA in request.lines[layout.via]):
            for value in request.values("via"):
                if mark in value and parse_via(value).branch.endswith(mark):
                    raise PeerError("the request was here before", 482)
        return mark

    def _make(self, name: str) -> str:
        text = name.encode("utf-8", "surrogateescape")
        mark = _SIGN + hashlib.blake2s(text, key=self._key, digest_size=6).hexdigest()
        if len(name) <= LONGEST:
            if len(self._made) >= _KEPT:
                self._made.clear()
            self._made[name] = mark
        return mark
