"""The tables of the first release; those that an earlier state has made already are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _accounts_and_registrations()
    _calls()
    _views()
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("consumer", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_outbox_consumer", "outbox", ["consumer"], if_not_exists=True)
    op.execute("DROP TABLE IF EXISTS version")  # of states before the first release


def _accounts_and_registrations() -> None:
    op.create_table(
        "subscriber",
        sa.Column("username", sa.String(256), primary_key=True),
        sa.Column("domain", sa.String(256), primary_key=True),
        sa.Column("ha1", sa.String(32), nullable=False),
        sa.Column("ha1_sha256", sa.String(64), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("last_modified", sa.Float, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "location",
        sa.Column("aor", sa.String(1024), primary_key=True),
        sa.Column("ruid", sa.String(1024), primary_key=True),
        sa.Column("username", sa.String(256), nullable=False),
        sa.Column("domain", sa.String(256), nullable=False),
        sa.Column("contact", sa.String(1024), nullable=False),
        sa.Column("received", sa.String(128), nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("q", sa.Float, nullable=False),
        sa.Column("callid", sa.String(256), nullable=False),
        sa.Column("cseq", sa.Integer, nullable=False),
        sa.Column("last_modified", sa.Float, nullable=False),
        sa.Column("user_agent", sa.String(256), nullable=False),
        sa.Column("params", sa.String, nullable=False),
        sa.Column("instance", sa.String(256), nullable=False),
        sa.Column("reg_id", sa.Integer, nullable=False),
        sa.Column("flow", sa.String(1024), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_location_expires", "location", ["expires"], if_not_exists=True)


def _calls() -> None:
    op.create_table(
        "acc_cdrs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("uid", sa.String(128), nullable=False, unique=True),
        sa.Column("callid", sa.String(512), nullable=False),
        sa.Column("from_tag", sa.String(128), nullable=False),
        sa.Column("to_tag", sa.String(128), nullable=False),
        sa.Column("start_time", sa.Float, nullable=False),
        sa.Column("answer_time", sa.Float),
        sa.Column("end_time", sa.Float, nullable=False),
        sa.Column("duration", sa.Float, nullable=False),
        sa.Column("setup", sa.Float, nullable=False),
        sa.Column("caller", sa.String(1024), nullable=False),
        sa.Column("callee", sa.String(1024), nullable=False),
        sa.Column("src_user", sa.String(512), nullable=False),
        sa.Column("src_ip", sa.String(64), nullable=False),
        sa.Column("transport", sa.String(8), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("ingress", sa.String(64), nullable=False),
        sa.Column("visited", sa.Text, nullable=False),
        sa.Column("gateway_in", sa.String(64), nullable=False),
        sa.Column("gateway_out", sa.String(64), nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("sip_code", sa.String(3), nullable=False),
        sa.Column("sip_reason", sa.String(128), nullable=False),
        sa.Column("cause", sa.String(128), nullable=False),
        sa.Column("missed", sa.Boolean, nullable=False),
        sa.Column("mos_caller", sa.Float),
        sa.Column("mos_callee", sa.Float),
        sa.Column("quality", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_acc_cdrs_end_time", "acc_cdrs", ["end_time"], if_not_exists=True)


def _views() -> None:
    outcome = "from_tag, to_tag, callid, sip_code, sip_reason, caller, callee, src_user, src_ip, node, gateway_out AS gateway"
    op.execute(
        f"CREATE VIEW acc AS SELECT 'INVITE' AS method, {outcome}, COALESCE(answer_time, end_time) AS time FROM acc_cdrs "
        f"UNION ALL SELECT 'BYE', {outcome}, end_time FROM acc_cdrs WHERE answer_time IS NOT NULL"
    )
    op.execute(
        f"CREATE VIEW missed_calls AS SELECT 'INVITE' AS method, {outcome}, end_time AS time FROM acc_cdrs WHERE missed"
    )
