"""Attacks on the tables of builds and credits, and what happens without each of their guards.

`make attack` (`python -m tests.attack`) does three things on a real PostgreSQL:

1. It tries every (state, state) pair of builds by every way of writing, and every statement of
   `*.sql` here and of `tests/integration/credits/attacks`, as owner, as application and in the
   replica role. Each must be refused by the guard that is named beside it.
2. It takes every constraint, unique index and trigger of `builds_*` and `credits_*` away, as the
   catalog lists them, and demands that an attack which was refused then gets through.
3. It takes every lock away and demands that two transactions which met in order then do not.
"""
