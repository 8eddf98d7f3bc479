"""Run by Alembic. The connection, and the transaction on it, are given by `stores.upgrade`."""

from alembic import context

from doorward.migrations.plain_rows import seal_plain_rows
from doorward.migrations.rooms import import_tables
from doorward.stores.schema import METADATA

import_tables()
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite changes a table by copying it
    transactional_ddl=True,  # also on SQLite: the driver does not meddle with transactions here
)
with context.begin_transaction():
    context.run_migrations()
    if set(context.get_context().get_current_heads()) == set(context.script.get_heads()):
        seal_plain_rows(context.config.attributes["connection"])
