"""What a REGISTER does and how it is answered (RFC 3261 section 10.3, RFC 3327, RFC 3608, RFC 5626 section 6)."""

from __future__ import annotations

import time
from pathlib import Path

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Flow
from voipcluster.sip.location import Binding, Location
from voipcluster.sip.message import Request, parse
from voipcluster.sip.outgoing import build_request, reply
from voipcluster.sip.registrar import address_of_record, date_text, register
from voipcluster.sip.registration import Kind, RegisterResult, Settings, Source
from voipcluster.sip.uri import SipUri

DATA = Path(__file__).parents[2] / "data"
AOR = "alice@example.com"
UDP_FLOW = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.7", 5060))
SOURCE = Source("a", "token", UDP_FLOW, "udp:192.0.2.7:5060")
OB = '+sip.instance="<urn:uuid:1>";reg-id=1'


def ours(uri: SipUri) -> str | None:
    return uri.aor() if uri.host == "example.com" else None


def request(
    *contacts: str, expires: str | None = None, call_id: str = "c", cseq: int = 1, uri: str = "sip:example.com",
    to: str = "<sip:alice@example.com>", **more: str,
) -> Request:  # fmt: skip
    headers = [
        ("Via", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx"), ("From", "<sip:alice@example.com>;tag=1"), ("To", to),
        ("Call-ID", call_id), ("CSeq", f"{cseq} REGISTER"), *(("Contact", c) for c in contacts),
    ]  # fmt: skip
    if expires is not None:
        headers.append(("Expires", expires))
    headers += [(name.replace("_", "-"), value) for name, value in more.items()]
    message = parse(build_request("REGISTER", uri, headers).to_bytes())
    assert isinstance(message, Request)
    return message


class Registrar:
    """A table and a clock around the pure function."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.table, self.now, self.settings = Location(), 1000.0, settings or Settings()

    def send(self, message: Request, source: Source = SOURCE, **how: object) -> RegisterResult:
        result = register(
            message, self.table.bindings(AOR, self.now), source, self.settings, now=self.now, date=date_text(self.now),
            aor_of=ours, **how,
        )  # fmt: skip
        if result.status != 200:
            assert result.changes == ()
        for change in result.changes:
            if change.kind is Kind.REMOVED:
                assert self.table.remove(change.binding) is not None
            else:
                old = self.table.put(change.binding)
                assert (old is None) == (change.kind is Kind.ADDED)
        reply(message, result.status, result.reason, "tag", result.headers)
        return result

    @property
    def contacts(self) -> list[str]:
        return [b.contact for b in self.table.bindings(AOR, self.now)]

    def only(self) -> Binding:
        (binding,) = self.table.bindings(AOR, self.now)
        return binding


def header(result: RegisterResult, key: str) -> list[str]:
    return [value for name, value in result.headers if name == key]


class StepTests(SynchronousTestCase):
    def test_add_refresh_list_and_remove(self) -> None:
        """The life of one registration (RFC 3665 section 2)."""
        registrar = Registrar()
        first = registrar.send(request("<sip:a@h1>"))
        self.assertEqual((first.status, header(first, "contact")), (200, ["<sip:a@h1>;expires=3600"]))
        self.assertEqual(header(first, "date"), ["Thu, 01 Jan 1970 00:16:40 GMT"])
        registrar.now += 100
        second = registrar.send(request("<sip:a@h2>;expires=600;q=0.5", cseq=2))
        self.assertEqual(
            header(second, "contact"), ["<sip:a@h1>;expires=3500", "<sip:a@h2>;expires=600;q=0.5"]
        )
        listed = registrar.send(request(cseq=3))
        self.assertEqual((header(listed, "contact"), listed.changes), (header(second, "contact"), ()))
        third = registrar.send(request("<sip:a@h1>;expires=0", cseq=4))
        self.assertEqual(header(third, "contact"), ["<sip:a@h2>;expires=600;q=0.5"])
        registrar.send(request("<sip:a@h2>", expires="0", cseq=5))
        self.assertEqual(registrar.contacts, [])

    def test_foreign_domain(self) -> None:
        """A Request-URI that is not ours is refused, a To that is not ours does not exist (steps 1 and 5)."""
        registrar = Registrar()
        self.assertEqual(registrar.send(request("<sip:a@h>", uri="sip:example.org")).status, 403)
        self.assertEqual(registrar.send(request("<sip:a@h>", to="<sip:alice@example.org>")).status, 404)

    def test_unknown_extension(self) -> None:
        """420 names what is not supported (step 2)."""
        result = Registrar().send(request("<sip:a@h>", Require="path, nothing, sec-agree, Outbound, gruu"))
        self.assertEqual((result.status, header(result, "unsupported")), (420, ["nothing, sec-agree"]))

    def test_only_the_user_itself(self) -> None:
        """Somebody else's address of record is 403, the own one is not (step 4)."""
        registrar = Registrar()
        self.assertEqual(registrar.send(request("<sip:a@h>"), user="bob@example.com").status, 403)
        self.assertEqual(registrar.contacts, [])
        self.assertEqual(registrar.send(request("<sip:a@h>"), user=AOR).status, 200)

    def test_unknown_user(self) -> None:
        """404 (step 5)."""
        result = Registrar().send(request("<sip:a@h>"), is_known=lambda aor: aor != AOR)
        self.assertEqual(result.status, 404)

    def test_address_of_record(self) -> None:
        """Parameters go, escapes are decoded, NUL ends nothing (step 5, RFC 4475 section 3.1.1.4)."""
        to = '"A" <sips:%61lice@EXAMPLE.com:5061;x=y>;z'
        self.assertEqual(address_of_record(request(to=to)), AOR)
        null = parse((DATA / "rfc4475" / "escnull.dat").read_bytes())
        assert isinstance(null, Request)
        self.assertEqual(address_of_record(null), "null-%00-null@example.com")
        for to in ("<sip:example.com>", "<isbn:2983792873>", "", "<sip:a@h", "alice"):
            self.assertEqual(Registrar().send(request("<sip:a@h>", to=to)).status, 400, to)

    def test_request_uri_of_another_scheme(self) -> None:
        """416, as for any request (section 8.2.2.1)."""
        self.assertEqual(Registrar().send(request(uri="tel:+49")).status, 416)

    def test_star(self) -> None:
        """Alone and with Expires 0 it removes all; otherwise 400 and nothing changes (step 6)."""
        registrar = Registrar()
        registrar.send(request("<sip:a@h1>", "<sip:a@h2>"))
        for contacts, expires in (
            (["*"], None),
            (["*"], "1"),
            (["*"], "x"),
            (["*", "<sip:a@h>"], "0"),
            (["*", "*"], "0"),
        ):
            self.assertEqual(registrar.send(request(*contacts, expires=expires, cseq=2)).status, 400)
        self.assertEqual(len(registrar.contacts), 2)
        result = registrar.send(request("*", expires="0", cseq=2))
        self.assertEqual((result.status, header(result, "contact"), registrar.contacts), (200, [], []))
        self.assertEqual(len(result.changes), 2)

    def test_star_honours_the_order(self) -> None:
        """One binding of the same Call-ID that is newer stops all of it (step 6)."""
        registrar = Registrar()
        registrar.send(request("<sip:a@h1>", cseq=5))
        registrar.send(request("<sip:a@h2>", call_id="d", cseq=1))
        self.assertEqual(registrar.send(request("*", expires="0", cseq=5)).status, 400)
        self.assertEqual(len(registrar.contacts), 2)
        self.assertEqual(registrar.send(request("*", expires="0", call_id="e", cseq=1)).status, 200)

    def test_expiry(self) -> None:
        """The parameter, else the header, else our default; never above our maximum (step 7)."""
        for contact, expires, granted in (
            ("<sip:a@h>;expires=100", "200", 100), ("<sip:a@h>", "200", 200), ("<sip:a@h>", None, 1800),
            ("<sip:a@h>;expires=99999", None, 7200), ("<sip:a@h>;expires=x", "200", 3600), ("<sip:a@h>", "-1", 3600),
            ("<sip:a@h>;expires=" + "9" * 5000, None, 3600), ("<sip:a@h>;expires=1000000000000", None, 3600),
            ("<sip:a@h>;expires", None, 3600), ("sip:a@h;expires=300", None, 300),
        ):  # fmt: skip
            registrar = Registrar(Settings(max_expires=7200, default_expires=1800))
            if len(contact) > 2000:
                self.assertEqual(registrar.send(request(contact, expires=expires)).status, 400)
                continue
            registrar.send(request(contact, expires=expires))
            self.assertEqual(registrar.only().expires_at - registrar.now, granted, contact)

    def test_too_brief(self) -> None:
        """423 tells the least; an hour is never too brief (step 7)."""
        registrar = Registrar(Settings(min_expires=7200, max_expires=7200))
        result = registrar.send(request("<sip:a@h>;expires=3599"))
        self.assertEqual((result.status, header(result, "min-expires")), (423, ["7200"]))
        self.assertEqual(registrar.send(request("<sip:a@h>;expires=3600")).status, 200)
        self.assertEqual(registrar.send(request("<sip:a@h>;expires=0", cseq=2)).status, 200)
        self.assertEqual(Registrar().send(request("<sip:a@h>;expires=59")).status, 423)
        self.assertEqual(Registrar().send(request("<sip:a@h>;expires=60")).status, 200)

    def test_order_within_a_call_id(self) -> None:
        """A replay or what was overtaken changes nothing; another Call-ID does (step 7)."""
        registrar = Registrar()
        registrar.send(request("<sip:a@h>", cseq=5))
        for cseq in (5, 4):
            for contact in ("<sip:a@h>;expires=60", "<sip:a@h>;expires=0"):
                self.assertEqual(registrar.send(request(contact, cseq=cseq)).status, 400)
        self.assertEqual(registrar.only().expires_at, registrar.now + 3600)
        registrar.send(request("<sip:a@h>;expires=60", call_id="d", cseq=1))
        self.assertEqual((registrar.only().call_id, registrar.only().expires_at), ("d", registrar.now + 60))
        registrar.send(request("<sip:other@h>", call_id="d", cseq=1))  # no binding of it yet: a new one
        self.assertEqual(len(registrar.contacts), 2)

    def test_all_or_nothing(self) -> None:
        """One bad contact among good ones: none is stored."""
        registrar = Registrar()
        for bad in (
            "<sip:b@[::g]>",
            "<sip:b@h>;expires=1",
            "<sip:b@h",
            "<>",
            "sip:b@h?Route=%3Csip:x%3E",
            "<sip:b@h>;q=2",
        ):
            self.assertIn(registrar.send(request("<sip:a@h>", bad)).status, (400, 423), bad)
            self.assertEqual(registrar.contacts, [], bad)

    def test_a_contact_named_twice(self) -> None:
        """The last one of a request counts, and it is one change."""
        registrar = Registrar()
        result = registrar.send(request("<sip:a@h>;q=0.1", "<sip:%61@h>;q=0.2"))
        self.assertEqual((registrar.only().q, len(result.changes)), (0.2, 1))
        result = registrar.send(request("<sip:b@h>", "<sip:b@h>;expires=0", cseq=2))
        self.assertEqual((result.changes, len(registrar.contacts)), ((), 1))

    def test_q(self) -> None:
        """Three decimals and a little more; anything else is refused (section 25.1, qvalue)."""
        for text, q in (("0", 0.0), ("0.7", 0.7), ("1.000", 1.0), (".5", 0.5), ("1", 1.0), ("0.", 0.0)):
            registrar = Registrar()
            registrar.send(request(f"<sip:a@h>;q={text}"))
            self.assertEqual(registrar.only().q, q)
        for text in ("1.1", "-1", "x", "nan", "1e-1", '""', "0.00000001"):
            self.assertEqual(Registrar().send(request(f"<sip:a@h>;q={text}")).status, 400, text)

    def test_too_many_contacts(self) -> None:
        """403 above the limit, also over several requests; refreshing and removing goes on."""
        registrar = Registrar(Settings(bindings_per_aor=2))
        self.assertEqual(registrar.send(request("<sip:1@h>", "<sip:2@h>", "<sip:3@h>")).status, 403)
        self.assertEqual(registrar.send(request("<sip:1@h>", "<sip:2@h>")).status, 200)
        self.assertEqual(registrar.send(request("<sip:3@h>", cseq=2)).status, 403)
        self.assertEqual(registrar.send(request("<sip:1@h>", cseq=3)).status, 200)
        self.assertEqual(registrar.send(request("<sip:3@h>", "<sip:2@h>;expires=0", cseq=4)).status, 200)
        registrar.settings = Settings(bindings_per_aor=1)
        self.assertEqual(registrar.send(request("<sip:1@h>", cseq=5)).status, 200)

    def test_a_request_full_of_contacts(self) -> None:
        """It is refused before they are compared with each other, which took a user's node seconds."""
        contacts = [f"<sip:{number}@h>" for number in range(3000)]
        begin = time.thread_time()
        self.assertEqual(Registrar().send(request(", ".join(contacts))).status, 403)
        self.assertEqual(
            Registrar().send(request(*(f"{one};expires=0" for one in contacts[:200]))).status, 403
        )
        self.assertLess(time.thread_time() - begin, 0.5)

    def test_all_are_taken_back_and_as_many_given(self) -> None:
        """In one request, at the limit."""
        registrar = Registrar(Settings(bindings_per_aor=3))
        self.assertEqual(registrar.send(request(*(f"<sip:{n}@h>" for n in range(3)))).status, 200)
        moved = [*(f"<sip:{n}@h>;expires=0" for n in range(3)), *(f"<sip:{n}@h>" for n in range(3, 6))]
        self.assertEqual(registrar.send(request(*moved, cseq=2)).status, 200)

    def test_record_route_is_ignored(self) -> None:
        """It is neither kept nor answered (section 10.3)."""
        result = Registrar().send(request("<sip:a@h>", Record_Route="<sip:evil;lr>"))
        self.assertEqual(header(result, "record-route"), [])

    def test_where_it_came_from_is_kept(self) -> None:
        """The binding names the flow and its owner."""
        registrar = Registrar()
        registrar.send(request("<sip:a@h>", User_Agent="Phone 1"))
        kept = registrar.only()
        self.assertEqual(
            (kept.node, kept.flow_token, kept.flow, kept.source), ("a", "token", UDP_FLOW, SOURCE.remote)
        )
        self.assertEqual((kept.user_agent, kept.call_id, kept.cseq), ("Phone 1", "c", 1))


class ExtensionTests(SynchronousTestCase):
    def test_path(self) -> None:
        """Kept in order and copied into the 200 (RFC 3327 section 5.3)."""
        registrar = Registrar()
        result = registrar.send(request("<sip:a@h>", Path="<sip:p1;lr>, <sip:p2;lr>", Supported="path"))
        self.assertEqual(header(result, "path"), ["<sip:p1;lr>", "<sip:p2;lr>"])
        self.assertEqual(registrar.only().path, ("<sip:p1;lr>", "<sip:p2;lr>"))

    def test_path_that_the_client_does_not_know(self) -> None:
        """Accepted, or refused with 420, as we like (RFC 3327 section 5.3)."""
        message = request("<sip:a@h>", Path="<sip:p1;lr>")
        self.assertEqual(Registrar().send(message).status, 200)
        result = Registrar(Settings(require_path_support=True)).send(message)
        self.assertEqual((result.status, header(result, "unsupported")), (420, ["path"]))

    def test_broken_path(self) -> None:
        """A Path that could not be followed is refused, not kept."""
        for path in ("<tel:+49>", "sip:p1 x", "<sip:p", ", ".join(["<sip:p;lr>"] * 17)):
            self.assertEqual(Registrar().send(request("<sip:a@h>", Path=path)).status, 400, path)

    def test_service_route(self) -> None:
        """In the 200 only (RFC 3608 section 5)."""
        result = Registrar().send(request("<sip:a@h>"), service_route=["<sip:10.0.0.2;lr>"])
        self.assertEqual(header(result, "service-route"), ["<sip:10.0.0.2;lr>"])
        refused = Registrar().send(request("<sip:a@h>;q=2"), service_route=["<sip:10.0.0.2;lr>"])
        self.assertEqual(refused.headers, ())

    def test_reg_id(self) -> None:
        """With an instance it is the key, and the contact may change (RFC 5626 section 6)."""
        registrar = Registrar()
        registrar.send(request(f"<sip:a@h:1>;{OB}", Supported="outbound"))
        result = registrar.send(request(f"<sip:a@h:2>;{OB}", call_id="d", Supported="outbound"))
        self.assertEqual([c.kind for c in result.changes], [Kind.REFRESHED])
        self.assertEqual(header(result, "contact"), [f"<sip:a@h:2>;expires=3600;{OB}"])

    def test_reg_id_without_instance_is_ignored(self) -> None:
        """Then the contact is the key (RFC 5626 section 6)."""
        registrar = Registrar(Settings(outbound=True))
        result = registrar.send(request("<sip:a@h>;reg-id=1", Supported="outbound"))
        self.assertEqual((registrar.only().reg_id, header(result, "require")), (0, []))

    def test_one_contact_with_a_reg_id(self) -> None:
        """More than one that stays is 400; removing others meanwhile is allowed (RFC 5626 section 6)."""
        registrar = Registrar()
        self.assertEqual(registrar.send(request(f"<sip:a@h>;{OB}", "<sip:b@h>")).status, 400)
        self.assertEqual(registrar.send(request(f"<sip:a@h>;{OB}", "<sip:b@h>;expires=0")).status, 200)
        for number in ("0", "x", "-1", "4294967296", "9" * 100):
            self.assertEqual(
                Registrar().send(request(f'<sip:a@h>;+sip.instance="<u:1>";reg-id={number}')).status, 400
            )

    def test_outbound_is_promised_when_it_is_on(self) -> None:
        """Require: outbound in the 200; 439 when the first hop does not know of it (RFC 5626 section 6)."""
        on, off = Settings(), Settings(outbound=False)
        message = request(f"<sip:a@h>;{OB}", Supported="path, outbound")
        self.assertEqual(header(Registrar(on).send(message), "require"), ["outbound"])
        behind = evolve(SOURCE, first_hop=False)
        self.assertEqual(Registrar(on).send(message, behind).status, 439)
        for path, status in (("<sip:edge;lr;ob>", 200), ("<sip:edge;lr>", 439)):
            message = request(f"<sip:a@h>;{OB}", Supported="path, outbound", Path=path)
            self.assertEqual(Registrar(on).send(message, behind).status, status)
        self.assertEqual(Registrar(off).send(request(Require="outbound")).status, 420)
        self.assertEqual(Registrar(on).send(request(Require="outbound")).status, 200)
        result = Registrar(off).send(message, behind)
        self.assertEqual((result.status, header(result, "require")), (200, []))

    def test_not_asked_for(self) -> None:
        """No promise without Supported: outbound, without a reg-id, and none for taking a flow away (RFC 5626 section 6)."""
        registrar = Registrar()
        for message in (
            request(f"<sip:a@h>;{OB}"), request('<sip:a@h2>;+sip.instance="<urn:uuid:1>"', cseq=2, Supported="outbound"),
            request(f"<sip:a@h>;{OB};expires=0", cseq=3, Supported="outbound"), request(cseq=4, Supported="outbound"),
        ):  # fmt: skip
            result = registrar.send(message)
            self.assertEqual((result.status, header(result, "require")), (200, []))

    def test_flow_timer(self) -> None:
        """Told to who gets outbound over a connection of ours, and to nobody else (RFC 5626 section 4.4)."""
        settings = Settings(flow_timer=120)
        message = request(f"<sip:a@h>;{OB}", Supported="outbound", Path="<sip:edge;lr;ob>")
        stream = evolve(SOURCE, transport="TCP")
        result = Registrar(settings).send(message, stream)
        self.assertEqual((header(result, "flow-timer"), result.flow_timer), (["120"], 120))
        for told, source, asked in (
            (settings, SOURCE, message), (Settings(), stream, message), (settings, evolve(stream, first_hop=False), message),
            (settings, stream, request("<sip:a@h>", Supported="outbound")), (settings, evolve(stream, transport="WSS"), message),
            (settings, evolve(stream, flow=None), message),
        ):  # fmt: skip
            result = Registrar(told).send(asked, source)
            self.assertEqual((result.status, header(result, "flow-timer"), result.flow_timer), (200, [], 0))

    def test_gruus(self) -> None:
        """For each contact with an instance, when the client knows of them; those it sends itself are not kept (RFC 5627)."""
        registrar = Registrar()
        given = {"gruus": lambda b: f";pub-gruu={b.instance}"}
        message = request(
            f'<sip:a@h>;{OB};pub-gruu="x";temp-gruu="y"', "<sip:b@h>;expires=0", Supported="gruu"
        )
        result = registrar.send(message, **given)
        self.assertEqual(header(result, "contact"), [f"<sip:a@h>;expires=3600;{OB};pub-gruu=<urn:uuid:1>"])
        registrar.send(request("<sip:c@h>", cseq=2))
        result = registrar.send(request(cseq=3, Supported="gruu"), **given)
        self.assertEqual(
            header(result, "contact"),
            [f"<sip:a@h>;expires=3600;{OB};pub-gruu=<urn:uuid:1>", "<sip:c@h>;expires=3600"],
        )
        self.assertNotIn("gruu", str(registrar.send(request(cseq=4), **given).headers))
        registrar.settings = Settings(gruu=False)
        self.assertNotIn("gruu", str(registrar.send(request(cseq=5, Supported="gruu"), **given).headers))
        self.assertEqual(registrar.send(request(Require="gruu")).status, 420)

    def test_a_gruu_is_no_contact(self) -> None:
        """It would lead to itself (RFC 5627 section 5.1); one of somebody else's domain is a contact like any other."""
        registrar = Registrar()
        for contact in ("<sip:alice@example.com;gr=urn:uuid:1>", "<sip:tgruu.x@example.com;gr>"):
            self.assertEqual(registrar.send(request(contact)).status, 403, contact)
        for contact in (
            "<sip:alice@example.org;gr>",
            "<sip:a@example.com;grape=1>",
            "<tel:+49;gr>",
            "<sip:a@h>;gr=1",
        ):
            self.assertEqual(registrar.send(request(contact, call_id=contact)).status, 200, contact)


class HostileTests(SynchronousTestCase):
    def test_text_that_cannot_be_kept(self) -> None:
        """Control characters, broken UTF-8 and endless text are refused: the table and the link hold text only."""
        for message in (
            request("<sip:a@h;x=\x01>"), request('<sip:a@h>;x="\x00"'), request("<sip:a@h>", call_id="a\x07b"),
            request("<sip:a@h;x=" + "y" * 1100 + ">"), request("<sip:a@h>", call_id="c" * 300),
            request('<sip:a@h>;x="' + "y" * 600 + '"'), request('<sip:a@h>;+sip.instance="' + "y" * 300 + '"'),
            request("<sip:a@h>", Path="<sip:p;x=" + "y" * 1100 + ">"), request("<sip:a@h>", call_id=""),
            request("<sip:a@h>", to="<sip:" + "a" * 1100 + "@example.com>"), request("<mailto:a\x7fb>"),
            request("<sip:a@h;x=\udcff>"), request("<sip:a@h>", Require="\x01"),
        ):  # fmt: skip
            result = Registrar().send(message)
            self.assertEqual((result.status, result.changes), (400, ()))
        registrar = Registrar()
        registrar.send(request("<sip:a@h>", User_Agent="Evil\x00\udcff" + "x" * 300))
        self.assertEqual(registrar.only().user_agent, "Evil" + "x" * 124)

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.text('<>"sip:a@h;q=expirs0.1*, \t\\\x00\u00e9', max_size=30), max_size=3),
        st.text("<sip:alice@example.com>;\"'", max_size=30),
        st.one_of(st.none(), st.text("0123456789x", max_size=12)),
    )
    def test_any_request_gets_an_answer(self, contacts: list[str], to: str, expires: str | None) -> None:
        """Never an exception, never a 6xx (section 10.3), and a refusal changes nothing."""
        result = Registrar().send(request(*contacts, to=to, expires=expires))
        self.assertIn(result.status, (200, 400, 403, 404, 423))

    def test_torture_messages(self) -> None:
        """RFC 4475 sections 3.1.1.4, 3.1.2.4, 3.1.2.13, 3.3.2, 3.3.4, 3.3.12 to 3.3.14."""
        for name, status, contacts in (
            ("escnull", 200, ["sip:%00@host5.example.com", "sip:%00%00@host5.example.com"]),
            ("scalar02", 400, []),
            ("regbadct", 400, []),
            ("unksm2", 400, []),
            ("cparam01", 200, ["sip:+19725552222@gw1.example.net"]),
            ("cparam02", 200, ["sip:+19725552222@gw1.example.net;unknownparam"]),
            ("regescrt", 200, ["sip:user@example.com?Route=%3Csip:sip.example.com%3E"]),
        ):
            message = parse((DATA / "rfc4475" / f"{name}.dat").read_bytes())
            assert isinstance(message, Request)
            result = register(message, [], SOURCE, Settings(), now=0.0, date="now")
            self.assertEqual(
                (result.status, [c.binding.contact for c in result.changes]), (status, contacts), name
            )


class DateTests(SynchronousTestCase):
    def test_example_of_the_rfc(self) -> None:
        """Section 20.17."""
        self.assertEqual(date_text(1289690940.9), "Sat, 13 Nov 2010 23:29:00 GMT")


class ShortenedTests(SynchronousTestCase):
    """Registrations of a storm are spread: section 10.3 step 7 leaves the time to the registrar."""

    def granted(self, expires: str | None, **settings: float) -> int:
        registrar = Registrar(Settings(**settings))
        registrar.send(request("<sip:a@h1>", expires=expires))
        return round(registrar.only().expires_at - registrar.now)

    def test_a_share_less(self) -> None:
        self.assertEqual(self.granted("1000", shorten=0.2), 800)
        self.assertEqual(self.granted("9999", shorten=0.5), 1800)
        self.assertEqual(self.granted(None, shorten=0.25), 2700)
        self.assertEqual(self.granted("1000"), 1000)

    def test_never_below_the_least(self) -> None:
        self.assertEqual(self.granted("70", shorten=0.5), 60)
        self.assertEqual(self.granted("60", shorten=0.9), 60)

    def test_a_removal_stays_one(self) -> None:
        registrar = Registrar(Settings(shorten=0.5))
        registrar.send(request("<sip:a@h1>", expires="600"))
        registrar.send(request("<sip:a@h1>", expires="0", cseq=2))
        self.assertEqual(registrar.contacts, [])
