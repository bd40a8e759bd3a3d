"""A program that writes one digest of a password empties the others, whichever it writes."""

from alembic import op

from voipcluster.store.triggers import make_triggers

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    make_triggers(op.get_bind())
