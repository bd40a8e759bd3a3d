"""Which requirement a test shows, and what became of it: the marks of tests and their record."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, TypeVar

RESULTS = "VOIPCLUSTER_TEST_RESULTS"  # environment: the file that results are appended to
_MARKS = "conformance_marks"

Test = TypeVar("Test", bound=Callable[..., Any])


def _mark(kind: str, *names: str) -> Callable[[Test], Test]:
    def marked(test: Test) -> Test:
        setattr(test, _MARKS, [*getattr(test, _MARKS, ()), *((kind, name) for name in names)])
        return test

    return marked


def requirement(*numbers: int) -> Callable[[Test], Test]:
    """The test shows these requirements of the checklist."""
    return _mark("requirement", *map(str, numbers))


def flow(*names: str) -> Callable[[Test], Test]:
    """The test plays these call flows, such as C{"RFC3665-3.8"}."""
    return _mark("flow", *names)


def attack(*names: str) -> Callable[[Test], Test]:
    """The test is the check of these attacks, such as C{"S9"}."""
    return _mark("attack", *names)


def torture(rfc: str, name: str) -> Callable[[Test], Test]:
    """The test sends this message of C{"rfc4475"} or C{"rfc5118"}."""
    return _mark(rfc, name)


class Recorded:
    """
    Mixed into a trial C{TestCase}: writes down, for each mark of a test, whether the test passed, with its set-up and end.

    One line of JSON a test, to the file that the environment names; without one nothing is written.
    """

    def run(self, result: Any) -> Any:
        test: Any = self
        marks = getattr(getattr(test, test._testMethodName), _MARKS, ())
        before = _bad(result)
        outcome = super().run(result)
        file = os.environ.get(RESULTS)
        if marks and file:
            line = json.dumps({"test": test.id(), "marks": marks, "passed": _bad(result) == before})
            with open(file, "a", encoding="utf-8") as results:
                results.write(f"{line}\n")  # one write: trials run beside each other
        return outcome


def _bad(result: Any) -> int:
    """How many tests have not passed until now; a skipped one shows nothing either."""
    kinds = ("failures", "errors", "skips", "expectedFailures", "unexpectedSuccesses")
    return sum(len(getattr(result, kind, ())) for kind in kinds)
