"""
What a user wants done with calls to him and by him: forwarding, find-me, screening, limits (RFC 5359 sections 2.7 to 2.14).

A preference is a name and a text, as C{voipctl user set} takes it and the database keeps it; L{read} makes values of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import frozen

from voipcluster.errors import ParseError, UsageError
from voipcluster.sip.screening import Rule, read_rules
from voipcluster.sip.uri import SipUri, parse_uri, scheme_of

OWN, VOICEMAIL = "me", "voicemail"  # places that have a name
NO_ANSWER_AFTER = 20.0  # seconds that a phone rings when the user said nothing else
LONGEST_RING = 180.0  # s; Timer C ends what rings for longer (RFC 3261 section 16.6 step 11)
MOST_PLACES = 10
LONGEST = 1024  # characters of one preference

_NUMBER = re.compile(r"\+?[0-9*#][0-9*#().\-]{0,31}")
_USER = re.compile(r"[A-Za-z0-9!$&*+\-./=?_~%]{1,128}")
_SEPARATORS = str.maketrans("", "", "().-")
_ACTIONS_IN = ("allow", "deny", "decline", VOICEMAIL)
_ACTIONS_OUT = ("allow", "deny")


@frozen
class Place:
    """
    Where a call may go instead.

    @ivar uri: a Request-URI; empty for the user's own phones.
    @ivar seconds: how long it may ring; 0: until the caller or Timer C has had enough.
    """

    uri: str
    seconds: float = 0.0


@frozen
class Preferences:
    """
    All of one user; without any the phones ring, and everybody may be called.

    @ivar always: where all his calls go; C{busy}, C{no_answer}, C{unregistered}: where they go when his phones are busy, do not
        answer within C{no_answer_after} seconds, or cannot be reached; L{None}: nowhere.
    @ivar find_me: what is tried one after the other in place of the phones.
    @ivar incoming: who gets through (C{allow}), is refused with 403 (C{deny}) or 603 (C{decline}), or gets the voicemail.
    @ivar outgoing: whom he may call (C{allow}), or not (C{deny}); the first rule that fits counts, and without one all may.
    @ivar silent: whether callers are not told that their call is forwarded (181).
    @ivar calls: to gateways at once, C{rate}: in a minute, C{minutes}: in a day; L{None}: as for everybody, 0: any number.
    @ivar destinations: the prefixes that he may call through gateways; L{None}: as for everybody.
    """

    always: Place | None = None
    busy: Place | None = None
    no_answer: Place | None = None
    no_answer_after: float = NO_ANSWER_AFTER
    unregistered: Place | None = None
    voicemail: Place | None = None
    find_me: tuple[Place, ...] = ()
    incoming: tuple[Rule, ...] = ()
    outgoing: tuple[Rule, ...] = ()
    silent: bool = False
    calls: int | None = None
    rate: int | None = None
    minutes: int | None = None
    destinations: tuple[str, ...] | None = None

    @property
    def diverts(self) -> bool:
        """Whether any call to the user may go elsewhere than to his phones."""
        return bool(
            self.always or self.busy or self.no_answer or self.unregistered or self.find_me or self.incoming
        )


def read(username: str, domain: str, texts: Mapping[str, str]) -> Preferences:
    """
    The preferences of a user.

    @param texts: by name; see L{NAMES}.
    @raise UsageError: a name that is none, or a text that does not say what its name stands for.
    """
    aor = f"{username}@{domain}"
    values: dict[str, object] = {}
    for name, text in texts.items():
        if name not in NAMES:
            raise UsageError(f"{name}: no such preference; there are {', '.join(NAMES)}")
        key, kind = NAMES[name]
        if not 0 < len(text) <= LONGEST or not text.isprintable():
            raise UsageError(f"{name}: 1 to {LONGEST} printable characters")
        try:
            values[key] = kind(text, aor)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from None
    mailbox = values.get("voicemail")
    for name, (key, _) in NAMES.items():
        if key in values and mailbox is None and _needs_mailbox(values[key]):
            raise UsageError(f"{name}: it names the voicemail, and there is no preference voicemail")
    for key, value in values.items():
        if isinstance(value, Place) and value.uri == VOICEMAIL:
            values[key] = mailbox
        elif key == "find_me":
            assert isinstance(value, tuple), "this is what its kind gives"
            values[key] = tuple(_at(place, mailbox) for place in value)
    return Preferences(**values)  # type: ignore[arg-type]  # each kind gives what its attribute is


def _at(place: Place, mailbox: object) -> Place:
    if place.uri != VOICEMAIL:
        return place
    assert isinstance(mailbox, Place), "checked before"
    return Place(mailbox.uri, place.seconds)


def _needs_mailbox(value: object) -> bool:
    if isinstance(value, tuple):
        return any(_needs_mailbox(one) for one in value)
    if isinstance(value, Rule):
        return value.action == VOICEMAIL
    return isinstance(value, Place) and value.uri == VOICEMAIL


def uri_of(text: str, aor: str) -> str:
    """
    The Request-URI that a place of a user means: a SIP, SIPS or tel URI, C{name@domain}, a number, or a user of his domain.

    @return: empty for his own phones, L{VOICEMAIL} for the voicemail.
    @raise ValueError: it is none of them.
    """
    domain = aor.rpartition("@")[2]
    if text == OWN:
        return ""
    if text == VOICEMAIL:
        return VOICEMAIL
    scheme = scheme_of(text) if ":" in text else ""
    if scheme == "tel":
        text = text[4:].partition(";")[0]
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is no telephone number")
    if _NUMBER.fullmatch(text):
        return str(
            SipUri(
                "sip", domain, text.translate(_SEPARATORS).replace("#", "%23"), params=(("user", "phone"),)
            )
        )
    if not scheme:
        text = f"sip:{text}" if "@" in text else f"sip:{text}@{domain}" if _USER.fullmatch(text) else text
    try:
        uri = parse_uri(text).request_uri()
    except ParseError:
        raise ValueError(f"{text[:80]!r} is no SIP URI, number or user") from None
    return "" if uri.aor() == aor and not uri.params else str(uri)


def _place(text: str, aor: str) -> Place:
    uri = uri_of(text, aor)
    if not uri:
        raise ValueError("calls would go to the user himself again")
    return Place(uri)


def _mailbox(text: str, aor: str) -> Place:
    place = _place(text, aor)
    if place.uri == VOICEMAIL:
        raise ValueError("where the voicemail is: a SIP URI, number or user")
    return place


def _seconds(text: str, aor: str = "") -> float:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= LONGEST_RING:
        raise ValueError(f"whole seconds from 1 to {LONGEST_RING:.0f}, not {text[:40]!r}")
    return float(text)


def _places(text: str, aor: str) -> tuple[Place, ...]:
    parts = [part.split() for part in text.split(",")]
    if len(parts) > MOST_PLACES:
        raise ValueError(f"at most {MOST_PLACES} places")
    if any(len(part) != 2 for part in parts):
        raise ValueError("a list such as 'me 15, sip:office@example.com 10': each place with its seconds")
    return tuple(Place(uri_of(where, aor), _seconds(seconds)) for where, seconds in parts)


def _flag(text: str, aor: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("yes or no")
    return text == "yes"


def _amount(text: str, aor: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise ValueError(f"a whole number from 0 (any number) to 999999, not {text[:40]!r}")
    return int(text)


def _prefixes(text: str, aor: str) -> tuple[str, ...]:
    prefixes = tuple(part.strip() for part in text.split(","))
    for prefix in prefixes:
        if not re.fullmatch(r"\+?[0-9]{0,20}", prefix) or not prefix:
            raise ValueError(f"prefixes of numbers such as '+49, +43', not {prefix[:40]!r}")
    return prefixes


def _screens_in(text: str, aor: str) -> tuple[Rule, ...]:
    return read_rules(text, _ACTIONS_IN)


def _screens_out(text: str, aor: str) -> tuple[Rule, ...]:
    return read_rules(text, _ACTIONS_OUT)


NAMES: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "forward.always": ("always", _place),
    "forward.busy": ("busy", _place),
    "forward.no-answer": ("no_answer", _place),
    "forward.no-answer-after": ("no_answer_after", _seconds),
    "forward.unregistered": ("unregistered", _place),
    "forward.silent": ("silent", _flag),
    "find-me": ("find_me", _places),
    "voicemail": ("voicemail", _mailbox),
    "screen.incoming": ("incoming", _screens_in),
    "screen.outgoing": ("outgoing", _screens_out),
    "limit.calls": ("calls", _amount),
    "limit.calls-per-minute": ("rate", _amount),
    "limit.minutes-per-day": ("minutes", _amount),
    "limit.destinations": ("destinations", _prefixes),
}
"""What there is, by name: the attribute of L{Preferences}, and what reads its text."""
