"""
Whose response it is: by the branch of our Via and the method of CSeq (RFC 3261 sections 17.1.3 and 18.1.2).

L{TransactionService} finds that of nearly every response by itself, once a Via line that begins like it was checked here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from voipcluster.address import DEFAULT_PORT
from voipcluster.errors import ParseError, TransportError
from voipcluster.sip.message import QUOTE, Response
from voipcluster.sip.transaction.matching import client_key

if TYPE_CHECKING:
    from voipcluster.services.transaction.runners import ClientTransaction
    from voipcluster.services.transaction.transactions import TransactionService

# Via as we write it: what is before the branch, and the branch
OUR_VIA: Final = re.compile(rb"([^;]*+;)branch=([!-+\-.0-:=?-~]+)")
_KEPT = 16  # spellings: transports by addresses, and few who write them anew


class OwnVias:
    """@ivar begins: the begin of each Via line of ours that came back, and was checked."""

    def __init__(self, owner: TransactionService) -> None:
        self._owner = owner
        self.begins: set[bytes] = set()

    def client_of(self, response: Response) -> ClientTransaction | None:
        """The transaction of a response whose Via or CSeq is not as usual, or is to be checked."""
        try:
            client = self._owner.clients.get(client_key(response))
            if client is None:
                return None
            if QUOTE in response.lines[response.layout.via]:
                response.values("via")  # what cannot be taken apart is dropped before anything has changed
            self._check(response, client)
            if response.status >= 300:
                _ = response.cseq  # so is a number that none of ours can be (RFC 4475 section 3.1.2.5)
        except ParseError:
            return None
        return client

    def _check(self, response: Response, client: ClientTransaction) -> None:
        """
        Check that the topmost Via is the one we have sent (18.1.2); how ours begin is learned, so each is parsed once.

        @raise ParseError: it names somebody else.
        """
        via = response.top_via
        try:
            ours = self._owner.transport.sent_by(client.flow)
        except TransportError as error:
            raise ParseError(f"a response for an address that is closed: {error}") from None
        if (via.host, via.port or DEFAULT_PORT.get(via.transport, 5060)) != ours:
            raise ParseError("the topmost Via is not ours")
        begin, semicolon, _ = response.lines[response.layout.via].partition(b";")
        if len(self.begins) < _KEPT:
            self.begins.add(begin + semicolon)
