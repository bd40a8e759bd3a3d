"""What users may want, and what they are told when they want something else."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.sip.preferences import NAMES, Place, Preferences, read
from voipcluster.sip.screening import Rule


def of(**texts: str) -> Preferences:
    return read(
        "bob", "example.com", {key.replace("__", "-").replace("_", "."): text for key, text in texts.items()}
    )


class PreferenceTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """Who wants nothing has his phones ring."""
        self.assertEqual(of(), Preferences())
        self.assertFalse(of().diverts)

    def test_places(self) -> None:
        """A place is a URI, an address, a number, or a user of the same domain."""
        for text, uri in (
            (
                "sip:carol@elsewhere.example:5070;transport=tcp",
                "sip:carol@elsewhere.example:5070;transport=tcp",
            ),
            ("sips:carol@elsewhere.example", "sips:carol@elsewhere.example"),
            ("carol@elsewhere.example", "sip:carol@elsewhere.example"),
            ("carol", "sip:carol@example.com"),
            ("+49-30-1234", "sip:+49301234@example.com;user=phone"),
            ("030 1234".replace(" ", ""), "sip:0301234@example.com;user=phone"),
            ("tel:+49-30-1234;phone-context=x", "sip:+49301234@example.com;user=phone"),
            ("*99", "sip:*99@example.com;user=phone"),
            ("sip:carol@example.com;method=BYE?Subject=x", "sip:carol@example.com"),
        ):
            self.assertEqual(of(forward_always=text).always, Place(uri), text)

    def test_all_of_them(self) -> None:
        """Each name goes to its attribute, and the voicemail is where it is said to be."""
        found = of(
            forward_busy="voicemail", forward_no__answer="+4930", forward_no__answer__after="8",
            forward_unregistered="carol", forward_silent="yes", voicemail="sip:box@vm.example",
            find__me="me 15, office@example.com 10, voicemail 5",
            screen_incoming="decline:*@evil.example, voicemail:anonymous", screen_outgoing="allow:+49*,deny:+*",
            limit_calls="2", limit_calls__per__minute="10", limit_minutes__per__day="0", limit_destinations="+49, +43",
        )  # fmt: skip
        box = Place("sip:box@vm.example")
        self.assertEqual(
            found,
            Preferences(
                busy=box, no_answer=Place("sip:+4930@example.com;user=phone"), no_answer_after=8.0,
                unregistered=Place("sip:carol@example.com"), voicemail=box, silent=True,
                find_me=(Place("", 15.0), Place("sip:office@example.com", 10.0), Place("sip:box@vm.example", 5.0)),
                incoming=(Rule("decline", "*@evil.example"), Rule("voicemail", "anonymous")),
                outgoing=(Rule("allow", "+49*"), Rule("deny", "+*")),
                calls=2, rate=10, minutes=0, destinations=("+49", "+43"),
            ),
        )  # fmt: skip
        self.assertTrue(found.diverts)

    def test_mistakes(self) -> None:
        """One line that begins with the name, and says what is allowed or what is wrong."""
        for name, text, said in (
            ("forward.allways", "carol", "forward.allways: no such preference; there are forward.always, "),
            ("forward.always", "two words", "forward.always: 'two words' is no SIP URI, number or user"),
            ("forward.always", "mailto:bob@example.com", "is no SIP URI, number or user"),
            ("forward.always", "tel:bob", "'bob' is no telephone number"),
            ("forward.always", "me", "calls would go to the user himself again"),
            ("forward.busy", "sip:bob@example.com", "calls would go to the user himself again"),
            (
                "forward.busy",
                "voicemail",
                "forward.busy: it names the voicemail, and there is no preference voicemail",
            ),
            ("voicemail", "voicemail", "voicemail: where the voicemail is"),
            ("screen.incoming", "voicemail:*", "screen.incoming: it names the voicemail"),
            ("find-me", "voicemail 5", "find-me: it names the voicemail"),
            ("find-me", "office", "each place with its seconds"),
            ("find-me", "office 0", "whole seconds from 1 to 180, not '0'"),
            ("find-me", ",".join(["me 5"] * 11), "at most 10 places"),
            ("forward.no-answer-after", "181", "whole seconds from 1 to 180, not '181'"),
            ("forward.no-answer-after", "²", "whole seconds from 1 to 180"),
            ("forward.silent", "maybe", "forward.silent: yes or no"),
            ("screen.outgoing", "decline:x", "an action is allow, deny"),
            ("limit.calls", "-1", "a whole number from 0 (any number) to 999999, not '-1'"),
            ("limit.destinations", "+49, x", "prefixes of numbers such as '+49, +43', not 'x'"),
            ("forward.always", "", "1 to 1024 printable characters"),
            ("forward.always", "a\nb", "1 to 1024 printable characters"),
        ):
            with self.assertRaises(UsageError) as caught:
                read("bob", "example.com", {name: text})
            self.assertIn(said, str(caught.exception))
            self.assertTrue(str(caught.exception).startswith(f"{name}: "))
            self.assertNotIn("\n", str(caught.exception))

    def test_every_name_is_an_attribute(self) -> None:
        """No preference can be set that nobody has."""
        attributes = set(Preferences.__attrs_attrs__ and [a.name for a in Preferences.__attrs_attrs__])
        self.assertEqual({key for key, _ in NAMES.values()}, attributes)
