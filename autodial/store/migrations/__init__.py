"""Alembic migrations of the store; an upgrade keeps the ledger."""
