"""Causes between SIP and ISUP (RFC 3398), Reason (RFC 3326), and what lets the next gateway be asked."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.causes import (
    NO_CIRCUIT,
    Reason,
    cause_of_status,
    fails_over,
    name_of_cause,
    q850_cause,
    reason_of,
    reasons,
    status_of_cause,
)
from voipcluster.sip.message import Response, parse


def response(*reason_lines: str) -> Response:
    lines = ["SIP/2.0 500 Server Internal Error", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"]
    lines += ["From: <sip:a@b>;tag=1", "To: <sip:c@d>;tag=2", "Call-ID: 1", "CSeq: 1 INVITE"]
    lines += [f"Reason: {value}" for value in reason_lines]
    made = parse("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())
    assert isinstance(made, Response)
    return made


class MappingTests(SynchronousTestCase):
    def test_to_sip(self) -> None:
        """The table of RFC 3398 section 7.2.4.1."""
        for status, causes in {
            404: (1, 2, 3, 26),
            486: (17,),
            408: (18,),
            480: (19, 20, 31),
            403: (21, 55, 57, 87),
            410: (22, 23),
            502: (27,),
            484: (28,),
            501: (29, 79),
            503: (34, 38, 41, 42, 47, 58, 88),
            488: (65, 70),
            504: (102,),
            500: (111, 127, 5, 99),
        }.items():
            for cause in causes:
                self.assertEqual(status_of_cause(cause), status, cause)

    def test_to_isup(self) -> None:
        """The table of RFC 3398 section 8.2.6.1."""
        for cause, statuses in {
            41: (400, 481, 500, 503),
            21: (401, 402, 403, 407, 603),
            1: (404, 485, 604),
            63: (405,),
            79: (406, 415, 501),
            102: (408, 504),
            22: (410,),
            127: (413, 414, 416, 420, 421, 423, 505, 513),
            18: (480,),
            25: (482, 483),
            28: (484,),
            17: (486, 600),
            38: (502,),
        }.items():
            for status in statuses:
                self.assertEqual(cause_of_status(status), cause, status)

    def test_no_cause(self) -> None:
        """A call that was answered, or that its caller gave up, has none; an unknown status is as the x00 of its class."""
        self.assertEqual([cause_of_status(status) for status in (180, 200, 487)], [0, 0, 0])
        self.assertEqual([cause_of_status(status) for status in (499, 599, 699)], [41, 41, 17])
        self.assertEqual(cause_of_status(302), 0)

    def test_there_and_back(self) -> None:
        """What a caller hears of a cause is not another failure once it has been through a gateway again."""
        for status in (404, 410, 484, 486, 501, 503, 504):
            back = status_of_cause(cause_of_status(status))
            self.assertEqual(back, status)


class ReasonTests(SynchronousTestCase):
    def test_read(self) -> None:
        """Several values on one line, quotes, and other protocols."""
        found = reasons(['SIP ;cause=200 ;text="Call completed elsewhere", q.850;cause=16;text="a, b"'])
        self.assertEqual(found, [Reason("SIP", 200, "Call completed elsewhere"), Reason("Q.850", 16, "a, b")])

    def test_unreadable(self) -> None:
        """What is no Reason is as if it was not there, and hides no other."""
        self.assertEqual(
            reasons(['Q.850;cause="34', "Q.850;;", "Q.850;cause=x", "Q.850"]).count(Reason("Q.850", 34)), 0
        )
        self.assertEqual(q850_cause(response("SIP;cause=486", 'bad;"', "Q.850;cause=34")), 34)
        self.assertEqual(q850_cause(response("Q.850;cause=99999")), 0)
        self.assertEqual(q850_cause(response()), 0)

    def test_written(self) -> None:
        """What we write is read again as the same."""
        self.assertEqual(reason_of(NO_CIRCUIT), 'Q.850;cause=34;text="no circuit available"')
        self.assertEqual(reasons([reason_of(21, 'say "no"')]), [Reason("Q.850", 21, 'say "no"')])
        self.assertEqual(reason_of(99), "Q.850;cause=99")
        self.assertEqual(name_of_cause(99), "cause 99")


class FailOverTests(SynchronousTestCase):
    def test_by_status(self) -> None:
        """503, every other 5xx, and 408; what is said of the number or the user is final (RFC 3666 section 2.6)."""
        for status in (408, 500, 501, 502, 503, 504, 513, 580):
            self.assertTrue(fails_over(status), status)
        for status in (200, 302, 400, 401, 403, 404, 407, 410, 480, 484, 486, 487, 488, 600, 603, 604):
            self.assertFalse(fails_over(status), status)

    def test_cause_of_the_network(self) -> None:
        """A cause says what the status is too coarse for: another gateway may have circuits."""
        for cause in (3, 34, 38, 41, 42, 44, 47):
            self.assertTrue(fails_over(480, cause), cause)
            self.assertTrue(fails_over(404, cause), cause)
        self.assertFalse(fails_over(487, 34))  # the caller gave up
        self.assertFalse(
            fails_over(603, 34)
        )  # nobody else is asked behind a 6xx (RFC 3261 section 16.7 step 5)
        self.assertFalse(fails_over(200, 34))

    def test_cause_of_the_call(self) -> None:
        """Busy is busy whatever status it came with."""
        for cause in (1, 17, 18, 19, 21, 22, 27, 28, 57, 88):
            self.assertFalse(fails_over(500, cause), cause)
            self.assertFalse(fails_over(503, cause), cause)

    def test_cause_that_says_nothing(self) -> None:
        """ "Normal", and what is unknown, leave it to the status."""
        for cause in (0, 16, 31, 99, 111, 127):
            self.assertTrue(fails_over(503, cause), cause)
            self.assertFalse(fails_over(486, cause), cause)

    def test_what_the_operator_adds(self) -> None:
        """Some carriers answer 403 when an account has no more channels."""
        self.assertTrue(fails_over(403, also={403}))
        self.assertFalse(fails_over(404, also={403}))
        self.assertFalse(fails_over(603, also={603}))
