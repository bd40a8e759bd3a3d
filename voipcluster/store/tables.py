"""
All tables. Their names and those of the columns that others have too are those of the field; times are unix seconds.

A change here needs a script in C{migrations/versions}, which unit tests hold against it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()

subscriber = Table(
    "subscriber",
    metadata,
    Column("username", String(256), primary_key=True),
    Column("domain", String(256), primary_key=True),
    Column("ha1", String(32), nullable=False),  # MD5
    Column("ha1_sha256", String(64), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("last_modified", Float, nullable=False),
    # written by others only, and never kept: the shared database makes digests of it
    Column("password", String(128), nullable=False, server_default=""),
    Column("ha1b", String(32), nullable=False, server_default=""),  # of others; no node reads it
    Column("version", BigInteger, nullable=False, server_default="0"),  # the last writer has the greatest
    Column("changed", BigInteger, nullable=False, server_default="0"),  # PostgreSQL: by which transaction
)

usr_preferences = Table(
    "usr_preferences",
    metadata,
    Column("username", String(256), primary_key=True),
    Column("domain", String(256), primary_key=True),
    Column("attribute", String(64), primary_key=True),
    Column("value", String(1024), nullable=False),
    Column("last_modified", Float, nullable=False),
)

location = Table(
    "location",
    metadata,
    Column("aor", String(1024), primary_key=True),  # username@domain, as all of us write it
    Column("ruid", String(1024), primary_key=True),  # the contact, or instance and reg-id
    Column("username", String(256), nullable=False),
    Column("domain", String(256), nullable=False),
    Column("contact", String(1024), nullable=False),
    Column("received", String(128), nullable=False),
    Column("path", String, nullable=False),  # one value per line
    Column("expires", Float, nullable=False, index=True),
    Column("q", Float, nullable=False),
    Column("callid", String(256), nullable=False),
    Column("cseq", Integer, nullable=False),
    Column("last_modified", Float, nullable=False),
    Column("user_agent", String(256), nullable=False),
    Column("params", String, nullable=False),
    Column("instance", String(256), nullable=False),
    Column("reg_id", Integer, nullable=False),
    Column("flow", String(1024), nullable=False),
    Column("node", String(64), nullable=False),
)

dispatcher = Table(
    "dispatcher",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("setid", Integer, nullable=False),  # always 1
    Column(
        "destination", Text, nullable=False
    ),  # SIP URIs with blanks between them, for people and other programs
    Column("flags", Integer, nullable=False),  # 4: disabled, 8: probed
    Column("priority", Integer, nullable=False),  # always 0: routes have one
    Column("attrs", Text, nullable=False),  # JSON: all options of [[gateway]] but the password
    Column("description", String(256), nullable=False),
    Column("password", String(256), nullable=False),  # sealed in the shared database
    Column("last_modified", Float, nullable=False),
    Column("version", BigInteger, nullable=False, server_default="0"),
    Column("changed", BigInteger, nullable=False, server_default="0"),
)

address = Table(  # in the shared database only: elsewhere sources of a gateway are among its options
    "address",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("grp", Integer, nullable=False, server_default="1"),  # means nothing here
    Column("ip_addr", String(50), nullable=False),
    Column("mask", Integer, nullable=True),  # bits; NULL: one address
    Column("port", Integer, nullable=False, server_default="0"),
    Column("tag", String(64), nullable=False, index=True),  # the name of the gateway
)

removed_rows = Table(
    "removed_rows",  # so that an older write does not bring back what is gone
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("key", String(600), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False, server_default="0"),
    Column("removed_at", Float, nullable=False),
)

# -- call records

acc_cdrs = Table(
    "acc_cdrs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uid", String(128), nullable=False, unique=True),
    Column("callid", String(512), nullable=False),
    Column("from_tag", String(128), nullable=False),
    Column("to_tag", String(128), nullable=False),
    Column("start_time", Float, nullable=False),  # of the INVITE
    Column("answer_time", Float, nullable=True),
    Column("end_time", Float, nullable=False, index=True),
    Column("duration", Float, nullable=False),  # s since the answer; 0 when nobody answered
    Column("setup", Float, nullable=False),  # s from the INVITE to the answer, or to the end
    Column("caller", String(1024), nullable=False),
    Column("callee", String(1024), nullable=False),
    Column("src_user", String(512), nullable=False),
    Column("src_ip", String(64), nullable=False),
    Column("transport", String(8), nullable=False),
    Column("node", String(64), nullable=False),
    Column("ingress", String(64), nullable=False),
    Column("visited", Text, nullable=False),  # node names, with blanks between them
    Column("gateway_in", String(64), nullable=False),
    Column("gateway_out", String(64), nullable=False),
    Column("number", String(64), nullable=False),
    Column("sip_code", String(3), nullable=False),
    Column("sip_reason", String(128), nullable=False),
    Column("cause", String(128), nullable=False),
    Column("missed", Boolean, nullable=False),  # a user of ours was called, and nobody answered
    Column("mos_caller", Float, nullable=True),  # what each side thought of what it heard, 1 to 4.5
    Column("mos_callee", Float, nullable=True),
    Column(
        "quality", Text, nullable=False
    ),  # JSON: the streams of the call, as voipctl --json calls CALL-ID has them
    Column("target", String(1024), nullable=False, server_default=""),  # of the first attempt
    Column("attempts", Integer, nullable=False, server_default="0"),  # 0: it was refused before one
    Column("ended_by", String(8), nullable=False, server_default=""),  # caller, callee, node
)

acc_tried = Table(
    "acc_tried",  # of calls that were tried more than once
    metadata,
    Column("uid", String(128), primary_key=True),  # of the call
    Column("attempt", Integer, primary_key=True),
    Column("target", String(1024), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("start_time", Float, nullable=False),
    Column("end_time", Float, nullable=False, index=True),
    Column("sip_code", String(3), nullable=False),
    Column("cause", String(128), nullable=False),
    Column("ended_by", String(8), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("consumer", String(16), nullable=False, index=True),
    Column("body", Text, nullable=False),  # a row of acc_cdrs as JSON
)

_OUTCOME = "from_tag, to_tag, callid, sip_code, sip_reason, caller, callee, src_user, src_ip, node, gateway_out AS gateway"
_ATTEMPT = "callid, from_tag, caller, callee, src_user, node, ingress, visited"
VIEWS = {
    # what others keep as tables of their own is a way of looking at the calls here, and costs nothing to write
    "acc": (
        f"SELECT 'INVITE' AS method, {_OUTCOME}, COALESCE(answer_time, end_time) AS time FROM acc_cdrs "
        f"UNION ALL SELECT 'BYE', {_OUTCOME}, end_time FROM acc_cdrs WHERE answer_time IS NOT NULL"
    ),
    "missed_calls": f"SELECT 'INVITE' AS method, {_OUTCOME}, end_time AS time FROM acc_cdrs WHERE missed",
    # a call with one attempt is its own, so that it costs no second row
    "acc_attempts": (
        f"SELECT uid, 1 AS attempt, target, gateway_out AS gateway, {_ATTEMPT}, start_time, end_time, sip_code, cause, "
        "ended_by FROM acc_cdrs WHERE attempts = 1 "
        f"UNION ALL SELECT t.uid, t.attempt, t.target, t.gateway, {_ATTEMPT}, t.start_time, t.end_time, t.sip_code, "
        "t.cause, t.ended_by FROM acc_tried AS t JOIN acc_cdrs AS c ON c.uid = t.uid"
    ),
}
