"""
A real node that is held to a share of a CPU: whom it refuses below its capacity, and what it takes behind a flood.

The capacity is searched in the same run, and followed by what a twin does at the same time (bench/twin.py).
"""

from __future__ import annotations

import sys
import time

from bench.common import HERE, running
from bench.overloaded import SETTLE, Plan, bed, guarded
from bench.twin import open_capacity, twin

RECOVERED, FALSE = 0.99, 0  # goals: of what is offered, from the first second on; refusals at 0.90
AFTER = 20  # seconds that are looked at behind the flood


def steady(plan: Plan) -> bool:
    """
    False refusals: 0.90 of the capacity, where calls come by chance.

    sipp begins its calls one after the other at equal distance; here each waits for up to four seconds first, by chance, so
    that what comes in any short time is all but Poisson's.
    """
    with bed(guarded, plan.share) as there, twin("voipcluster", plan.share) as beside:
        capacity = open_capacity(there, beside, "voipcluster")
        scenario = there.folder / "steady.xml"
        text = (HERE / "sipp" / "uac_overload.xml").read_text()
        pause = '<pause distribution="uniform" min="0" max="4000"/>\n  <send retrans="500">'
        scenario.write_text(text.replace('<send retrans="500">', pause, 1))
        result = there.measure(0.9 * capacity * beside.lately(), SETTLE, plan.seconds, scenario)
        load = result.offered / beside.done(result.begun, result.ended) / capacity
    refused = round(result.refused * plan.seconds)
    print(f"  {result}")
    print(
        f"{load:.2f} times by chance: {refused} of {result.offered * plan.seconds:.0f} refused (goal {FALSE})"
    )
    return refused <= FALSE


def recovery(plan: Plan) -> bool:
    """Five times the capacity for a minute; then those callers are gone, and others offer 0.8 of it."""
    seconds = plan.seconds
    with bed(guarded, plan.share) as there, twin("voipcluster", plan.share) as beside:
        capacity = open_capacity(there, beside, "voipcluster")
        flood = there.call("flood", 5 * capacity * beside.lately(), seconds)
        time.sleep(seconds)
        rate = 0.8 * capacity * beside.lately()
        flood.kill()
        flood.wait()
        with running(there.call("after", rate, AFTER + 10)):
            begun = time.time()
            time.sleep(AFTER)
            load = rate / beside.done(begun, time.time()) / capacity
        rows = there.rows("after")

    def count(second: int, column: str) -> int:
        return int(rows[second - 1].get(column) or 0)

    # a call takes a moment: what was begun from the first second on up to the eleventh ought to be done in the twelfth
    offered = count(11, "OutgoingCall(C)") - count(1, "OutgoingCall(C)")
    lost = max(0, count(11, "OutgoingCall(C)") - count(13, "done(C)")) + count(13, "refused(C)")
    before = max(0, count(1, "OutgoingCall(C)") - count(3, "done(C)"))
    taken = 1.0 - max(0, lost - before) / max(1, offered)
    print(
        f"behind {seconds} s of 5 times, at {load:.2f}: {taken:.4f} of {offered} calls from the first second on "
        f"(goal {RECOVERED})"
    )
    return taken >= RECOVERED


if __name__ == "__main__":
    sys.exit("python -m bench.overload steady")
