"""How a call sounded, for a collector: a report of each direction, with the names that Homer knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from voipcluster.address import UDP
from voipcluster.media.offer_answer import Side
from voipcluster.services.media.listening import opinion_of
from voipcluster.services.media.snapshots import LegSnapshot, StreamSnapshot
from voipcluster.services.node.records import CallRecord
from voipcluster.sip.hep import QUALITY, Passed


def reports(record: CallRecord, node: str) -> Iterator[Passed]:
    """
    One for each direction of each media line of a call that is over.

    @param node: who has relayed it.
    """
    if record.media is None:
        return
    for stream in record.media.streams:
        for sender in Side:
            leg = stream.caller if sender is Side.CALLER else stream.callee
            if leg is not None:
                yield _report(record, stream, sender, leg, node)


def _report(record: CallRecord, stream: StreamSnapshot, sender: Side, leg: LegSnapshot, node: str) -> Passed:
    call_id = record.call.key.call_id
    source, destination = leg.remote or leg.signalled or leg.local, leg.local
    said: dict[str, Any] = {
        "CORRELATION_ID": call_id,
        "RTP_SIP_CALL_ID": call_id,
        "TYPE": "HANGUP",
        "REPORT_TS": round(record.ended, 3),
        "REPORT_NAME": f"{node}:{stream.kind}:{sender.value}",
        "SOURCE": node,
        "PARTY": 0 if sender is Side.CALLER else 1,
        "DIR": 0 if sender is Side.CALLER else 1,
        "SRC_IP": source[0],
        "SRC_PORT": source[1],
        "DST_IP": destination[0],
        "DST_PORT": destination[1],
        "CODEC_NAME": None if stream.codec is None else stream.codec.name,
        "CLOCK": None if stream.codec is None else stream.codec.rate,
        "TOTAL_PK": leg.packets,
        "TL_BYTE": leg.octets,
        **_heard(stream, sender.other),
        "REASON": record.reason,
    }
    payload = json.dumps({name: value for name, value in said.items() if value is not None}).encode("ascii")
    return Passed(source, destination, UDP, record.ended, QUALITY, payload, call_id)


def _heard(stream: StreamSnapshot, listener: Side) -> dict[str, Any]:
    """What the listener reported, and what he thinks of it; times in ms."""
    quality = stream.quality
    hearing = None if quality is None else quality.hearings[listener]
    if hearing is None or not hearing.reports:
        return {}
    opinion = opinion_of(stream, listener)
    mos = None if opinion is None else round(opinion.mos, 2)
    r = None if opinion is None else round(opinion.r, 1)
    return {
        "EXPECTED_PK": hearing.expected,
        "PACKET_LOSS": hearing.lost,
        "JITTER": _ms(hearing.jitter.latest),
        "MEAN_JITTER": _ms(hearing.jitter.mean),
        "MAX_JITTER": _ms(hearing.jitter.largest),
        "ROUND_TRIP": _ms(hearing.round_trip.mean),
        "MOS": mos,
        "MEAN_MOS": mos,
        "RFACTOR": r,
        "MEAN_RFACTOR": r,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)
