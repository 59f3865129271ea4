"""
What must survive a restart: tasks, attempts, reservations, and what the portal has yet to be told.

``schema`` is the tables; ``database`` opens them and runs functions on threads of their own; the
other modules are those functions: plain, synchronous, each one transaction, ``now`` an argument.
"""
