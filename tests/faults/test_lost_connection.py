"""What a transaction of the engine says when its connection goes."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction

from jobs.clients.postgres import one_transaction, run_together
from jobs.worker.database import is_lost
from tests.faults.matrix.hooks import shut


@pytest.mark.usefixtures("live_db")
def test_one_transaction__whose_connection_breaks__tells_that_it_is_lost() -> None:
    # P08: a job must not pay for it with a retry.
    with pytest.raises(OperationalError) as raised, one_transaction():
        run_together(b"BEGIN", b"SELECT 1")
        shut(connection.connection)
        run_together(b"SELECT 1")

    assert is_lost(raised.value)
    connection.close()
    assert run_together(b"SELECT 1") == [[b"1"]]


@pytest.mark.usefixtures("live_db")
def test_one_transaction__whose_connection_its_block_closed__leaves_one_that_works() -> None:
    # P08: a handler may do that; the slot has other jobs to run, and nothing has been committed.
    told: list[str] = []
    with one_transaction():
        run_together(b"BEGIN", b"SELECT 1")
        transaction.on_commit(lambda: told.append("before"))
        connection.close()
        transaction.on_commit(lambda: told.append("after"))

    assert told == []
    assert run_together(b"SELECT 1") == [[b"1"]]
