"""Each attempt of a call: who was tried, and what came of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    columns = (
        sa.Column("target", sa.String(1024), nullable=False, server_default=""),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("ended_by", sa.String(8), nullable=False, server_default=""),
    )
    for column in columns:
        op.add_column("acc_cdrs", column)
    op.create_table(
        "acc_tried",
        sa.Column("uid", sa.String(128), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("target", sa.String(1024), nullable=False),
        sa.Column("gateway", sa.String(64), nullable=False),
        sa.Column("start_time", sa.Float, nullable=False),
        sa.Column("end_time", sa.Float, nullable=False),
        sa.Column("sip_code", sa.String(3), nullable=False),
        sa.Column("cause", sa.String(128), nullable=False),
        sa.Column("ended_by", sa.String(8), nullable=False),
    )
    op.create_index("ix_acc_tried_end_time", "acc_tried", ["end_time"])
    attempt = "callid, from_tag, caller, callee, src_user, node, ingress, visited"
    op.execute(
        f"CREATE VIEW acc_attempts AS SELECT uid, 1 AS attempt, target, gateway_out AS gateway, {attempt}, start_time, end_time, "
        "sip_code, cause, ended_by FROM acc_cdrs WHERE attempts = 1 "
        f"UNION ALL SELECT t.uid, t.attempt, t.target, t.gateway, {attempt}, t.start_time, t.end_time, t.sip_code, "
        "t.cause, t.ended_by FROM acc_tried AS t JOIN acc_cdrs AS c ON c.uid = t.uid"
    )
