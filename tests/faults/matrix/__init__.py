"""The kill matrix: every boundary of an attempt times every fault, on real processes.

A dry run of an operation numbers its boundaries: before and after each exchange with PostgreSQL,
with Redis and with a stranger. Then the operation is run once for each boundary and fault, in a
process of its own, by the commands that production runs. A batch of such cases is healed as
production heals: leases run out, a scheduler sweeps, a worker works. Then effects are counted.
`python -m tests.faults.matrix --help` tells how to run one case again.
"""
