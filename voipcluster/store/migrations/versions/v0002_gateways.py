"""The gateways that were not declared in a file."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "dispatcher",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("setid", sa.Integer, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("flags", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attrs", sa.Text, nullable=False),
        sa.Column("description", sa.String(256), nullable=False),
        sa.Column("password", sa.String(256), nullable=False),
        sa.Column("last_modified", sa.Float, nullable=False),
    )
