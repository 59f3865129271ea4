"""
Random faults during calls, and an audit by three independent records: the journal of the
far end, the memory of the portal, the ledger.
"""
