"""Credits: a chained, append-only, double-entry ledger per organization.

An account holds four books, all whole credits: `balance` (posted), of which `reserved` is pending
and the rest available, and the two counter-books `issued` (what the platform gave) and `charged`
(what it took back for work). Every entry moves credits between books, and its sides cancel:
`balance_delta = issued_delta - charged_delta`, so `balance = issued - charged` for ever. See
docs/adr/0005-ledger.md.
"""
