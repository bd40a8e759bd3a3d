"""The cluster link, octet by octet and field by field."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.spread import banana
from twisted.trial.unittest import SynchronousTestCase

from tests.properties import link
from tests.unit.balance.test_codec import MESSAGES
from tests.unit.strategies import damaged
from voipcluster.balance.codec import encode, kind_of

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        2**31,
        2**53,
        10**400,
        float("nan"),
        float("inf"),
        1e308,
        "",
        "x" * 2000,
        "\ud800",
        "\0",
        [],
        {},
        [[]],
        [None] * 2000,
    ]
)


def encoded(value: object) -> bytes:
    return banana.encode(value)


def call(kind: str, payload: bytes) -> bytes:
    return encoded(
        [
            b"message",
            1,
            b"root",
            b"message",
            1,
            [b"tuple", [b"unicode", kind.encode()], payload],
            [b"dictionary"],
        ]
    )


ENVELOPES = st.sampled_from(MESSAGES).map(
    lambda message: json.dumps({"node": "b", "epoch": 1, "seq": 2, "body": encode(message)}).encode()
)
CALLS = ENVELOPES.map(lambda envelope: call("report", envelope))
ANSWERS = st.lists(
    st.tuples(st.integers(0, 3), st.binary(max_size=5)).map(lambda of: encoded([b"answer", *of])), max_size=3
).map(b"".join)
SEXPS = st.recursive(
    st.sampled_from(
        [b"message", b"version", b"root", b"tuple", b"unicode", b"instance", b"None", 1, -1, 0.5, 2**40]
    ),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)


@st.composite
def odd_fields(draw: st.DrawFn) -> bytes:
    """A message of the link in which some fields hold what they must not."""
    message = draw(st.sampled_from(MESSAGES))
    wire = encode(message)
    for name in draw(st.lists(st.sampled_from(sorted(wire)), max_size=2)):
        wire[name] = draw(ODD)
    return bytes([link.KINDS.index(kind_of(message))]) + json.dumps(wire).encode()


class GeneratedLinkTests(SynchronousTestCase):
    @given(st.integers(0, 40), st.lists(CALLS | SEXPS.map(encoded), max_size=3).map(b"".join))
    def test_guard(self, step: int, stream: bytes) -> None:
        """Cut anywhere, the same whole expressions come out, and banana finds one in each."""
        link.check_guard(bytes([step]) + stream)

    @given(CALLS | damaged(CALLS) | SEXPS.map(encoded))
    def test_broker(self, stream: bytes) -> None:
        """A certified peer that sends anything raises and logs nothing."""
        link.check_broker(stream)

    def test_a_call_is_served(self) -> None:
        """The broker that gets anything is one that speaks: a proper call reaches the receiver."""
        envelope = {"node": "b", "epoch": 1, "seq": 2, "body": encode(MESSAGES[0])}
        self.assertEqual(link.served_of(call("report", json.dumps(envelope).encode())), ["report"])

    @given(ANSWERS | damaged(ANSWERS) | SEXPS.map(encoded))
    def test_answers(self, stream: bytes) -> None:
        """Nor does one that answers anything; each call ends once."""
        link.check_answers(stream)

    def test_an_answer_arrives(self) -> None:
        """Calls that get anything as an answer are ones that proper answers reach, in any order."""
        stream = encoded([b"answer", 2, b"two"]) + encoded([b"answer", 1, b"one"])
        self.assertEqual(link.answers_to(stream), [b"two", b"one"])
        self.assertEqual(link.answers_to(encoded([b"answer", 3, b"none"])), [])

    @given(ENVELOPES | damaged(ENVELOPES))
    def test_envelopes(self, payload: bytes) -> None:
        """An envelope is opened or refused; the same one twice is dropped."""
        link.check_envelope(payload)

    @given(odd_fields() | damaged(odd_fields()))
    def test_codec(self, data: bytes) -> None:
        """What is taken has every field within its range, and is sent again as the same."""
        link.check_codec(data)

    @given(
        damaged(
            st.just(
                b'{"format":1,"cluster":"c","generation":1,"members":[{"name":"a","role":"primary","address":"x","port":1,"key":"0"}]}'
            )
        )
    )
    def test_roster(self, text: bytes) -> None:
        """Even what the CA signed is a roster or refused."""
        link.check_roster(text)

    @given(
        damaged(st.just(b'{"version":1,"secret":"AAAA","name":"b"}\n'))
        | st.binary(max_size=60)
        | st.just(b"x" * 9000)
    )
    def test_joining(self, line: bytes) -> None:
        """What comes before anybody is known is answered by one short line, or not at all."""
        link.check_join(line)
