"""Alembic migrations of the store; a user upgrades without losing the ledger."""
