"""The configuration: the file, its sections, and what they mean to the rules."""
