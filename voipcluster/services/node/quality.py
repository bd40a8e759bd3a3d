"""How a call sounds, as rows for C{voipctl}, the web page and who embeds the node."""

from __future__ import annotations

from math import isfinite

from voipcluster.media.offer_answer import Side
from voipcluster.media.quality import Hearing, Opinion, opinion
from voipcluster.media.rtcp import VoipMetrics
from voipcluster.media.trace import Point
from voipcluster.services.media.listening import opinion_of
from voipcluster.services.media.snapshots import LegSnapshot, MediaSnapshot, StreamSnapshot
from voipcluster.web.view import Row

UNKNOWN = 127  # what VoIP metrics say of a figure that is not known (RFC 3611 section 4.7)


def stream_rows(media: MediaSnapshot) -> list[Row]:
    """One row for each media line, see L{voipcluster.web.view.INodeView.calls}."""
    return [_stream_row(stream) for stream in media.streams]


def _stream_row(stream: StreamSnapshot) -> Row:
    quality, trouble = stream.quality, stream.trouble
    whole = None if quality is None else quality.round_trip()
    return {
        "kind": stream.kind,
        "protocol": stream.protocol,
        "codec": None if stream.codec is None else stream.codec.name,
        "rate": None if stream.codec is None else stream.codec.rate,
        "held": stream.held,
        "protected": stream.protected,
        "trouble": None if trouble is None else trouble.kind,
        "missing": None if trouble is None else trouble.missing,
        "round_trip": _seconds(whole),
        "unreadable": 0 if quality is None else quality.unreadable,
        "directions": [_direction_row(stream, sender) for sender in Side],
    }


def _direction_row(stream: StreamSnapshot, sender: Side) -> Row:
    listener = sender.other
    leg = stream.caller if sender is Side.CALLER else stream.callee
    hearing = None if stream.quality is None else stream.quality.hearings[listener]
    row: Row = {"from": sender.value, "to": listener.value, **_counted(leg)}
    return row | _told(hearing) | _judged(opinion_of(stream, listener)) | {"course": _course(stream, hearing)}


def _counted(leg: LegSnapshot | None) -> Row:
    if leg is None:
        return {"packets": 0, "octets": 0, "strangers": 0}
    return {"packets": leg.packets, "octets": leg.octets, "strangers": leg.strangers}


def _told(hearing: Hearing | None) -> Row:
    """What the listener reported: nothing yet is L{None}."""
    if hearing is None or not hearing.reports:
        hearing = Hearing()
    loss, jitter = hearing.loss, hearing.jitter
    return {
        "reports": hearing.reports,
        "lost": hearing.lost if hearing.reports else None,
        "loss": None if loss is None else round(loss, 5),
        "jitter": _seconds(jitter.mean),
        "jitter_max": _seconds(jitter.largest) if jitter.count else None,
        "round_trip": _seconds(hearing.round_trip.mean),
        "measured": _measured(hearing.metrics),
    }


def _measured(metrics: VoipMetrics | None) -> Row | None:
    """What the phone says about itself: R, MOS for listening and conversation, ms of its jitter buffer, shares of packets."""
    if metrics is None:
        return None
    return {
        "r": None if metrics.r_factor == UNKNOWN else metrics.r_factor,
        "mos_lq": None if metrics.mos_lq == UNKNOWN else metrics.mos_lq / 10,
        "mos_cq": None if metrics.mos_cq == UNKNOWN else metrics.mos_cq / 10,
        "jitter_buffer": metrics.jitter_buffer,
        "loss": round(metrics.lost / 256, 4),
        "discarded": round(metrics.discarded / 256, 4),
    }


def _judged(heard: Opinion | None) -> Row:
    if heard is None:
        return {"r": None, "mos": None, "delay": None}
    return {"r": round(heard.r, 1), "mos": round(heard.mos, 2), "delay": round(heard.delay, 1)}


def _course(stream: StreamSnapshot, hearing: Hearing | None) -> list[Row]:
    if hearing is None:
        return []
    codec = stream.codec.name if stream.codec is not None and stream.kind == "audio" else None
    return [_point(hearing, point, codec) for point in hearing.trace]


def _point(hearing: Hearing, point: Point, codec: str | None) -> Row:
    heard = (
        None if codec is None else opinion(codec, point.lost, point.jitter, point.round_trip, hearing.metrics)
    )
    return {
        "at": round(hearing.trace.began + point.at, 1),
        "loss": round(point.lost, 4),
        "jitter": _seconds(point.jitter),
        "round_trip": _seconds(point.round_trip),
        "mos": None if heard is None else round(heard.mos, 2),
    }


def _seconds(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else round(value, 6)


def in_words(media: MediaSnapshot) -> str:
    """One line for the log; empty when there is nothing to tell."""
    return "; ".join(text for stream in media.streams if (text := _stream_in_words(stream)))


def _stream_in_words(stream: StreamSnapshot) -> str:
    told = [_listener_in_words(stream, side) for side in Side]
    if stream.trouble is not None:
        told.append(f"{stream.trouble.kind}: nothing from {stream.trouble.missing or 'either side'}")
    told = [text for text in told if text]
    codec = "" if stream.codec is None else f" {stream.codec.name}"
    return f"{stream.kind}{codec}: {', '.join(told)}" if told else ""


def _listener_in_words(stream: StreamSnapshot, listener: Side) -> str:
    hearing = None if stream.quality is None else stream.quality.hearings[listener]
    if hearing is None or hearing.loss is None:
        return ""
    heard, trip = opinion_of(stream, listener), hearing.round_trip.mean
    text = f"{listener.value} hears" + ("" if heard is None else f" MOS {heard.mos:.2f},")
    text += f" loss {hearing.loss:.1%}"
    if hearing.jitter.mean is not None:
        text += f", jitter {1000 * hearing.jitter.mean:.1f} ms"
    return text if trip is None else f"{text}, round trip {1000 * trip:.1f} ms"
