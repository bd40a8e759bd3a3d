"""What a browser sends, and what is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto.utilities import LocalProtocolError

from tests.properties.page import check_page
from tests.properties.websocket import check_frames, check_opening, messages_of
from tests.unit.net.websocket_client import WebSocketClient
from tests.unit.strategies import damaged

MESSAGE = "OPTIONS sip:a.example SIP/2.0\r\nl: 0\r\n\r\n"
HANDSHAKE = (
    b"GET /sip HTTP/1.1\r\nHost: 192.0.2.1:8080\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp, sip\r\n"
    b"Origin: https://example.com\r\n\r\n"
)
TEXTS = st.sampled_from([MESSAGE, "\r\n\r\n", "\r\n", "hello", "", "x" * 1500])
FRAMES = st.one_of(
    st.builds(lambda text, last: ("text", text, last), TEXTS, st.booleans()),
    st.builds(lambda text: ("binary", text.encode(), True), TEXTS),
    st.binary(max_size=10).map(lambda payload: ("ping", payload)),
    st.sampled_from([1000, 1001, 1006, 4000]).map(lambda code: ("close", code)),
)


PATHS = st.sampled_from(
    [b"/", b"/api/status", b"/api/calls?call_id=%ff\xaf", b"/api/explain/x", b"/metrics", b"/%00", b"*"]
)
PAGES = st.builds(
    lambda method, path, version, rest: (
        method + b" " + path + b" HTTP/" + version + b"\r\nHost: 127.0.0.1\r\n" + rest + b"\r\n"
    ),
    st.sampled_from([b"GET", b"HEAD", b"POST", b"get", b"CONNECT"]),
    PATHS,
    st.sampled_from([b"1.1", b"1.0", b"2.0", b"x"]),
    st.sampled_from(
        [
            b"",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Accept-Encoding: gzip;q=x, \xff\r\n",
        ]
    ),
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    client, data = WebSocketClient(), b""
    for name, *arguments in draw(st.lists(FRAMES, max_size=6)):
        try:
            data += getattr(client, name)(*arguments)
        except (LocalProtocolError, TypeError):
            continue  # not in this state
    return data


class GeneratedWebSocketTests(SynchronousTestCase):
    @given(st.integers(0, 60), streams() | damaged(streams()))
    def test_frames(self, step: int, data: bytes) -> None:
        """However the octets arrive, the messages are the same, and nothing is raised (RFC 6455 section 5)."""
        check_frames(bytes([step]) + data)

    @given(st.integers(0, 60), st.just(HANDSHAKE) | damaged(st.just(HANDSHAKE)), streams())
    def test_openings(self, step: int, handshake: bytes, data: bytes) -> None:
        """A handshake is answered in order or refused, and nothing is raised (RFC 6455 section 4.2)."""
        check_opening(bytes([step]) + handshake + data)

    @given(st.integers(0, 60), PAGES | damaged(PAGES))
    def test_pages(self, step: int, data: bytes) -> None:
        """The pages that the same port may have are answered in order or refused as well, and only read."""
        check_page(bytes([step]) + data)

    def test_what_is_compared(self) -> None:
        """One octet at a time gives the message that one read gives; the same behind a handshake."""
        client = WebSocketClient()
        data = client.text(MESSAGE[:9], False) + client.text(MESSAGE[9:])
        for step in (1, 7, 1000):
            self.assertEqual(messages_of(data, step), ([MESSAGE.encode()], False))
            self.assertEqual(messages_of(data + b"\x81\x01x", step), ([MESSAGE.encode()], True))
