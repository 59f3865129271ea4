"""The Asterisk side: AGI scripts, manager interface, reconciler."""
