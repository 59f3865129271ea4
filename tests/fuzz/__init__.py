"""Fuzzing of every function that reads bytes of strangers. See tests/README.md."""
