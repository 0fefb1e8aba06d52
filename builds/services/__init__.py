"""Writes of the builds domain; each owns its transaction or joins the caller's.

Lock order: project, account, build, reservation, job. Whoever moves a build first takes the
project's row `FOR NO KEY UPDATE`, so the state read after it stays true until the transaction
ends; the account is locked by the credit operation, the job last of all.
"""
