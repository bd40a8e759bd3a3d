"""Generated SIP messages, header values, URIs and session descriptions: valid ones in all spellings of the grammar."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

TOKEN_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~"
USER_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABC0123456789-_.!~*'()&=+$,;?/"
METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "INFO")
TRANSPORTS = ("UDP", "TCP", "TLS", "WS", "WSS", "SCTP", "udp")
COMPACT = {
    "Via": "v",
    "From": "f",
    "To": "t",
    "Call-ID": "i",
    "Contact": "m",
    "Content-Length": "l",
    "Subject": "s",
}

plain_tokens = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
tokens = plain_tokens | st.text(TOKEN_CHARACTERS, min_size=1, max_size=8)
ports = st.integers(1, 65535)
ipv4 = st.sampled_from(["192.0.2.1", "192.0.2.77", "198.51.100.255", "127.0.0.1"])
ipv6 = st.sampled_from(["2001:db8::1", "2001:DB8::A", "::ffff:192.0.2.1", "::1"])
names = st.sampled_from(["example.com", "EXAMPLE.net", "a.b-c.example.org", "host", "x_y.example.com"])
hosts = ipv4 | names | ipv6.map(lambda address: f"[{address}]")
white = st.sampled_from(["", "", "", " ", "\t", "  ", "\r\n ", " \r\n\t"])
inner_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
quoted = inner_text.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
escapes = st.sampled_from(["%41", "%00", "%c3%bc", "%2F", "%40"])
users = st.lists(st.text(USER_CHARACTERS, min_size=1, max_size=6) | escapes, min_size=1, max_size=3).map(
    "".join
)


@st.composite
def uris(draw: st.DrawFn) -> str:
    """SIP and SIPS URIs (RFC 3261 section 19.1.1)."""
    text = draw(st.sampled_from(["sip:", "sip:", "sip:", "sips:", "SIP:"]))
    if draw(st.booleans()):
        text += draw(users)
        if draw(st.integers(0, 4)) == 0:
            text += ":" + draw(plain_tokens)
        text += "@"
    text += draw(hosts)
    if draw(st.booleans()):
        text += f":{draw(ports)}"
    for name in draw(
        st.lists(
            st.sampled_from(["lr", "ob", "transport=tcp", "maddr=192.0.2.9", "x=", "ttl=5", "user=phone"]),
            max_size=3,
        )
    ):
        text += f";{name}"
    if draw(st.integers(0, 5)) == 0:
        text += "?subject=a%20b&x=y"
    return text


@st.composite
def params(draw: st.DrawFn, most: int = 3) -> str:
    """Header parameters with white space where it is allowed (section 25.1)."""
    text = ""
    for _ in range(draw(st.integers(0, most))):
        text += f"{draw(white)};{draw(white)}{draw(tokens)}"
        if draw(st.booleans()):
            text += f"{draw(white)}={draw(white)}{draw(tokens | quoted)}"
    return text


@st.composite
def name_addrs(draw: st.DrawFn, tag: bool = False) -> str:
    """From, To and Contact values; C{tag}: perhaps with one."""
    bracketed = draw(st.integers(0, 3)) > 0
    uri = draw(uris())
    if not bracketed and any(c in uri for c in ",;?"):
        bracketed = True
    display = draw(st.just("") | plain_tokens | quoted) if bracketed else ""
    text = f"{display}{' ' if display else ''}<{uri}>" if bracketed else uri
    text += draw(params(2))
    if tag and draw(st.booleans()):
        text += draw(st.sampled_from([";tag=", ";tag=", " ; tag = ", ";TAG="])) + draw(tokens)
    return text + draw(params(1))


@st.composite
def plain_vias(draw: st.DrawFn) -> str:
    """As nearly everybody writes it, and next to it."""
    port = draw(st.sampled_from(["", ":5060", ":1", ":65535", ":65536", ":0", ":99999", ":05060"]))
    host = draw(
        st.sampled_from(["192.0.2.1", "example.com", "1.2.3", "...", "host-1", "[2001:db8::1]", "Host"])
    )
    text = f"SIP/2.0/{draw(st.sampled_from(TRANSPORTS))} {host}{port}"
    ends = [
        ";branch=z9hG4bKa",
        ";rport",
        ";rport=5",
        ";rport=",
        ";received=192.0.2.9",
        ";x=",
        ";x",
        ";",
        ";branch=",
        ";BRANCH=b",
        ";ttl=1",
    ]
    return text + "".join(draw(st.lists(st.sampled_from(ends), max_size=4)))


@st.composite
def vias(draw: st.DrawFn) -> str:
    """Via values (section 20.42), one in some a list."""
    slash = draw(st.sampled_from(["/", "/", " / ", "/ "]))
    text = f"SIP{slash}2.0{slash}{draw(st.sampled_from(TRANSPORTS))} {draw(hosts)}"
    if draw(st.booleans()):
        text += f"{draw(st.sampled_from([':', ' : ']))}{draw(ports)}"
    if draw(st.booleans()):
        text += draw(st.sampled_from([";branch=", "; branch=", ";branch = "])) + "z9hG4bK" + draw(tokens)
    text += draw(st.sampled_from(["", "", ";rport", ";rport=5", ";received=[2001:db8::9]"]))
    return text + draw(params(1))


@st.composite
def header_lines(draw: st.DrawFn, name: str, value: st.SearchStrategy[str]) -> str:
    """One header, its name in one of its spellings."""
    spelled = draw(st.sampled_from([name, name, name, COMPACT.get(name, name), name.upper(), name.lower()]))
    colon = draw(st.sampled_from([": ", ": ", ": ", ":", " : ", "\t:\t", ":\r\n "]))
    return f"{spelled}{colon}{draw(value)}{draw(st.sampled_from(['', '', ' ']))}"


def numbers(method: str) -> st.SearchStrategy[str]:
    """CSeq values."""
    gap = st.sampled_from([" ", " ", " ", "\t", "  ", "\r\n "])
    number = st.integers(0, 2**31 - 1).map(str) | st.sampled_from(["0001", "1", "2147483648"])
    return st.builds(lambda number, gap: f"{number}{gap}{method}", number, gap)


@st.composite
def _headers(draw: st.DrawFn, method: str) -> list[str]:
    value = plain_vias() | vias()
    lines = [draw(header_lines("Via", value)) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.integers(0, 4)) == 0:
        lines[0] += ", " + draw(value)
    others: Sequence[st.SearchStrategy[str]] = (
        header_lines("From", name_addrs(tag=True)),
        header_lines("To", name_addrs(tag=True)),
        header_lines("Call-ID", st.builds(lambda a, b: f"{a}@{b}", tokens, names)),
        header_lines("CSeq", numbers(method)),
    )
    more: Sequence[st.SearchStrategy[str]] = (
        header_lines("Max-Forwards", st.sampled_from(["70", "0", "255", "1", "070"])),
        header_lines("Contact", st.lists(name_addrs(), min_size=1, max_size=3).map(", ".join) | st.just("*")),
        header_lines("Route", st.lists(uris().map("<{}>".format), min_size=1, max_size=2).map(" , ".join)),
        header_lines(
            "Route",
            st.sampled_from(
                [
                    "<sip:192.0.2.1:5060;lr;call=AbC_-1>",
                    "<sip:192.0.2.1;lr>",
                    "<sip:192.0.2.1:5060;lr;call=a b>",
                ]
            ),
        ),
        header_lines("Subject", inner_text),
        header_lines("X-Odd", inner_text),
        header_lines("Timestamp", st.just("54")),
        header_lines("Expires", st.sampled_from(["0", "3600", "x"])),
    )
    lines += [draw(one) for one in draw(st.permutations(others))]
    lines += [draw(one) for one in draw(st.lists(st.sampled_from(more), max_size=4))]
    return lines


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(METHODS) | tokens)
    start = f"{method} {draw(uris())} {draw(st.sampled_from(['SIP/2.0', 'SIP/2.0', 'sip/2.0']))}"
    return _finished(draw, start, draw(_headers(method)))


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    start = f"{draw(st.sampled_from(['SIP/2.0', 'SIP/2.0', 'Sip/2.0']))} {draw(st.integers(100, 699))} {draw(inner_text)}"
    return _finished(draw, start, draw(_headers(draw(st.sampled_from(METHODS)))))


def _finished(draw: st.DrawFn, start: str, lines: list[str]) -> bytes:
    body = draw(st.just(b"") | st.binary(max_size=30))
    length = draw(st.sampled_from(["Content-Length: ", "Content-Length: ", "l:", "CONTENT-LENGTH : ", ""]))
    if length:
        lines.insert(draw(st.integers(0, len(lines))), f"{length}{len(body)}")
    return "\r\n".join([start, *lines, "", ""]).encode() + body


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Octets of something valid changed, left out or put in."""
    octets = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(octets) - 1)))
        put = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"\r\n", b"\n", b'"', b"<", b">", b";", b":", b",", b"\xc2\x85", b"\x00"])
        )
        octets[place : place + draw(st.integers(0, 8))] = put
    return bytes(octets)


@st.composite
def descriptions(draw: st.DrawFn) -> bytes:
    """Session descriptions (RFC 8866) of up to three media lines."""
    end = draw(st.sampled_from(["\r\n", "\r\n", "\n"]))
    address = st.sampled_from(
        [
            "IN IP4 192.0.2.7",
            "IN IP6 2001:db8::7",
            "IN IP4 0.0.0.0",
            "IN IP4 224.2.1.1/127",
            "IN IP4 host.example.com",
        ]
    )
    directions = st.sampled_from(["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"])
    lines = ["v=0", "o=- 1 1 IN IP4 192.0.2.7", "s=-", f"c={draw(address)}", "t=0 0"]
    if draw(st.booleans()):
        lines.append(draw(directions))
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["audio", "video", "image", "message"]))
        protocol = draw(st.sampled_from(["RTP/AVP", "UDP/TLS/RTP/SAVPF", "udptl", "TCP/MSRP"]))
        port = draw(st.sampled_from(["49170", "0", "9", "65535", "49170/2"]))
        lines.append(f"m={kind} {port} {protocol} 0 101")
        attributes = (
            st.just("i=title"), address.map("c={}".format), directions, st.just("a=rtcp:4000"),
            st.just("a=rtcp:5 IN IP4 192.0.2.99"),
            st.just("a=rtcp-mux"), st.just("a=candidate:1 1 UDP 1 192.0.2.9 9 typ host"), st.just("a=ice-ufrag:x"),
            st.just("a=rtpmap:0 PCMU/8000"),
        )  # fmt: skip
        lines += draw(st.lists(st.one_of(attributes), max_size=4))
    return end.join([*lines, ""] if draw(st.booleans()) else lines).encode()
