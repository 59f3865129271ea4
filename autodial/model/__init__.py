"""Values and tables: what the dialler talks about. Nothing of ours is imported here."""
