"""What Alembic runs for each upgrade: the scripts, in the transaction and over the connection of who asked for it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
