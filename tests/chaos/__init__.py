"""
Faults at random, while calls go on, and an audit by three independent records: the journal of the
far end, the memory of the portal, the ledger.
"""
