"""
A real node that is held to a share of a CPU: whom it refuses below its capacity, and what it takes behind a flood.

The capacity is searched in the same run, and followed by what a twin does at the same time (bench/twin.py).
"""

from __future__ import annotations

import sys
import time
from signal import SIGUSR1

from bench.common import HERE, running
from bench.overloaded import COUNTED, SETTLE, Bed, Plan, bed, guarded, let_end
from bench.proxies import CALLER
from bench.twin import open_capacity, twin

RECOVERED, FALSE = 0.99, 0  # goals: of what is offered, from the first second on; refusals at 0.90
TRIES = 3  # of the search for the capacity
AFTER = 15  # seconds that are looked at behind the first one after the flood


def steady(plan: Plan) -> bool:
    """
    False refusals: 0.90 of the capacity, where calls come by chance.

    sipp begins its calls one after the other at equal distance; here each waits for up to four seconds first, by chance, so
    that what comes in any short time is all but Poisson's.
    """
    with bed(guarded, plan.share) as there, twin("voipcluster", plan.share) as beside:
        capacity = open_capacity(there, beside, "voipcluster", TRIES)
        scenario = there.folder / "steady.xml"
        text = (HERE / "sipp" / "uac_overload.xml").read_text()
        pause = '<pause distribution="uniform" min="0" max="4000"/>\n  <send retrans="500">'
        scenario.write_text(text.replace('<send retrans="500">', pause, 1))
        part = 0.9 * capacity.part
        result = there.measure(lambda: part * beside.lately(), SETTLE, plan.seconds, scenario)
        load = result.offered / beside.done(result.begun, result.ended) / capacity.part
    refused = round(result.refused * plan.seconds)
    print(f"  {result}")
    print(
        f"{load:.2f} times by chance: {refused} of {result.offered * plan.seconds:.0f} refused (goal {FALSE})"
    )
    return refused <= FALSE


def recovery(plan: Plan) -> bool:
    """
    Five times the capacity for a minute; then those callers are gone, and others offer 0.8 of it.

    Those who call in the first second do not count; of the others each call does, to its end.
    """
    seconds = plan.seconds
    with bed(guarded, plan.share) as there, twin("voipcluster", plan.share) as beside:
        part = open_capacity(there, beside, "voipcluster", TRIES).part

        def much() -> float:
            return 5.0 * part * beside.lately()

        def enough() -> float:
            return 0.8 * part * beside.lately()

        begun = time.time()
        with running(there.call("flood", much(), seconds)) as flood:
            there.wait(seconds, much)
            times = _offered(there, "flood") / seconds / beside.done(begun, time.time()) / part
            flood.kill()
        with running(there.call("first", enough(), 1.0, port=CALLER + 1)) as first:
            time.sleep(1.0)
            first.send_signal(SIGUSR1)  # no new calls
            begun = time.time()
            with running(there.call("after", enough(), AFTER)) as after:
                there.wait(AFTER, enough)
                ended = time.time()
                let_end(after)
        last = there.rows("after")[-1]
        offered, done, refused, copies = (int(last[column]) for column in COUNTED)
        load = offered / beside.done(begun, ended) / (ended - begun) / part
    taken = done / max(1, offered)
    print(
        f"behind {seconds} s of {times:.1f} times, at {load:.2f}: {taken:.4f} of {offered} calls from the first second on "
        f"(goal {RECOVERED}); {refused} refused, {copies} copies"
    )
    return taken >= RECOVERED


def _offered(there: Bed, name: str) -> int:
    """Calls that were begun so far."""
    return int(there.rows(name)[-1]["OutgoingCall(C)"])


if __name__ == "__main__":
    sys.exit("python -m bench.overload steady")
