"""Which of many final responses goes upstream (RFC 3261 section 16.7 steps 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence

from voipcluster.sip.layout import layout_of
from voipcluster.sip.message import Response, header_line

# among 4xx, those that tell the caller what to change come first (16.7 step 6)
_HELPFUL = {401: 0, 407: 0, 415: 1, 420: 1, 484: 1}
_CHALLENGES = ("www-authenticate", "proxy-authenticate")


def _rank(response: Response) -> tuple[int, int]:
    status = response.status
    if status >= 600:
        return (0, 0)
    if status == 503:
        return (6, 0)  # says only that this next hop cannot serve; anything else says more
    return (status // 100, _HELPFUL.get(status, 2) if status // 100 == 4 else 0)


def best_response(responses: Sequence[Response]) -> Response | None:
    """
    The final response to forward, or L{None} when there is none (the proxy then answers 408 itself).

    All challenges of all 401 and 407 are collected in it, in their order (section 16.7 step 7, RFC 8760 section 2.5).
    """
    if not responses:
        return None
    best = min(responses, key=_rank)
    if best.status not in (401, 407):
        return best
    others = [r for r in responses if r is not best and r.status in (401, 407)]
    if not others:
        return best
    keys, lines = [*best.keys], best.lines.copy()
    for other in others:
        for key in _CHALLENGES:
            for value in other.get_all(key):
                keys.append(key)
                lines.append(header_line(key, value))
    return Response(best.status, best.reason, best.start, layout_of(tuple(keys)), lines, best.body)
