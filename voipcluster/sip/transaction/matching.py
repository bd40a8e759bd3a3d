"""Which transaction a message belongs to (RFC 3261 sections 17.1.3 and 17.2.3)."""

from __future__ import annotations

from voipcluster.sip.message import BRANCH, COOKIE, Request, Response, plain_cseq

ServerKey = tuple[str, ...]
ClientKey = tuple[str, str]


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """
    The key of the server transaction that a request makes or matches; an ACK has that of its INVITE.

    @param method: the method to match instead, for a CANCEL that asks for its INVITE (9.2).
    @raise ParseError: no usable top Via or CSeq.
    """
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    via = request.top_via
    params = via.params
    branch = (params[0][1] or "") if params and params[0][0] == "branch" else via.branch
    if branch[:7] == COOKIE and len(branch) > 7:
        return (branch, via.host, str(via.port or ""), method)
    # an element of RFC 2543: all that identifies the request, but the tag of To, which an ACK has and its INVITE has not
    number = request.cseq[0]
    return ("2543", str(via), request.uri, request.from_tag or "", request.call_id, str(number), method)


def client_key(response: Response) -> ClientKey:
    """
    The key of the client transaction whose response this is: branch of our Via, and method (17.1.3).

    Our own Via is on top, in our own spelling, so nothing is parsed; what has none gives a key that nobody has.
    """
    layout, lines = response.layout, response.lines
    # top_branch and cseq_method, at the price of one call for nearly every response
    match = BRANCH.search(lines[layout.via]) if layout.via >= 0 else None
    cseq = plain_cseq(lines[layout.cseq]) if layout.cseq >= 0 else None
    return (
        "" if match is None else match[1].decode(),
        response.cseq_method if cseq is None else cseq[1],
    )
