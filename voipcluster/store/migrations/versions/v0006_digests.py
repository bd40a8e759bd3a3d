"""
A program that writes one digest of a password empties the others, whichever of those it writes that nodes read; and a password
counts by C{INSERT ... ON CONFLICT DO UPDATE}, too.
"""

from alembic import op

from voipcluster.store.triggers import make_triggers

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    make_triggers(op.get_bind())
