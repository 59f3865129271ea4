"""Towards Asterisk: the AGI scripts, the manager interface, the reconciler."""
