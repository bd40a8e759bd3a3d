"""What users want done with their calls."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "usr_preferences",
        sa.Column("username", sa.String(256), primary_key=True),
        sa.Column("domain", sa.String(256), primary_key=True),
        sa.Column("attribute", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(1024), nullable=False),
        sa.Column("last_modified", sa.Float, nullable=False),
        if_not_exists=True,
    )
