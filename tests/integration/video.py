"""Video that can be compared bit for bit: generated VP8, its description, and what its receiver reports on the way back."""

from __future__ import annotations

from random import Random

SSRC = b"vide"
# RFC 4585 sections 6.2.1 and 6.3.1, RFC 5104 section 4.3.1, draft-alvestrand-rmcat-remb-03, draft-holmer-rmcat-transport-wide-cc
FEEDBACK = {
    "NACK": b"\x81\xcd\x00\x03" + b"recv" + SSRC + b"\x00\x07\x80\x01",
    "PLI": b"\x81\xce\x00\x02" + b"recv" + SSRC,
    "FIR": b"\x84\xce\x00\x04" + b"recv" + bytes(4) + SSRC + b"\x01\x00\x00\x00",
    "REMB": b"\x8f\xce\x00\x05" + b"recv" + bytes(4) + b"REMB" + b"\x01\x08\x00\x00" + SSRC,
    "transport-cc": b"\x8f\xcd\x00\x05"
    + b"recv"
    + SSRC
    + b"\x00\x01\x00\x02"
    + b"\x00\x00\x01\x00"
    + b"\x20\x02\x04\x04",
}


def vp8(frames: int, seed: int) -> list[list[bytes]]:
    """So many frames (RFC 7741), each of up to eight packets of up to 1200 octets; the last has the marker."""
    random = Random(seed)
    stream: list[list[bytes]] = []
    sequence = 65500  # so that it begins anew at 0
    for frame in range(frames):
        count = random.randrange(1, 9)
        stream.append([])
        for n in range(count):
            descriptor = (
                b"\x90\x80" if n == 0 else b"\x80\x80"
            )  # X, S at the start of the frame; I: a picture ID
            head = bytes((0x80, 96 | (0x80 if n == count - 1 else 0))) + sequence.to_bytes(2, "big")
            sequence = (sequence + 1) & 0xFFFF
            payload = descriptor + bytes((frame & 0x7F,)) + random.randbytes(random.randrange(10, 1180))
            stream[-1].append(head + (3000 * frame).to_bytes(4, "big") + SSRC + payload)
    return stream


def video_sdp(port: int, rtcp: int, *, mux: bool) -> bytes:
    """Two formats, bandwidths of the session and of the line, and every kind of feedback."""
    lines = [
        *("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "b=AS:2000", "t=0 0"),
        *(f"m=video {port} RTP/AVPF 96 97", "b=TIAS:1500000", f"a=rtcp:{rtcp}"),
        *("a=rtpmap:96 VP8/90000", "a=rtpmap:97 H264/90000", "a=fmtp:97 profile-level-id=42e01f"),
        *("a=rtcp-fb:* nack pli", "a=rtcp-fb:* ccm fir", "a=rtcp-fb:* goog-remb", "a=rtcp-fb:* transport-cc"),
        *(["a=rtcp-mux"] if mux else []),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()
