"""The running dialler: operators, due tasks, calls in flight."""
