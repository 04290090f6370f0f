"""Run by Alembic: the caller brings the connection and the transaction."""

from alembic import context

from pxefast.site.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
