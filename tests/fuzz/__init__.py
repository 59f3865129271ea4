"""Fuzzing: every door that reads bytes of strangers. See tests/README.md."""
