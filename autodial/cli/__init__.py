"""The command ``autodial``."""
