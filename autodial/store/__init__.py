"""
The state that survives a restart: tasks, attempts, reservations and messages to the portal.

``schema`` has the tables; ``database`` opens them and runs functions on a thread of its own; the
other modules are those functions: plain, synchronous, each one transaction, ``now`` an argument.
"""
