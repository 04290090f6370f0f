"""The whole site: a hierarchy, rules and variables, the states of the ledger, the audit chain."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    raise NotImplementedError
