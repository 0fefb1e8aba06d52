"""Nonces: each signed request is taken once (E-06, P21)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from flagship.errors.signatures import NonceReplayed
from flagship.models.signature import Incident, Use
from flagship.services.signature_incidents import note_incident
from flagship.signatures import NONCE_LIFE_S, Outcome
from jobs.clients.wall import inside

LOCK_TIMEOUT_MS = 1000
TALLIES_KEPT_DAYS = 35


def hash_nonce(*, key_id: str, nonce: str) -> bytes:
    """Return under what a nonce is stored; nonces of two keys never meet."""
    return hashlib.sha256(f"{key_id}:{nonce}".encode()).digest()


def no_nonce() -> bytes:
    """Return a hash for a request that has none and is only counted."""
    return secrets.token_bytes(32)


def take_use(*, use: Use) -> None:
    """Use up a nonce in the transaction of the caller's organization.

    A twin whose transaction is still open is waited for: if it is rolled back, this one goes on.

    Raises: NonceReplayed; django.db.OperationalError where the twin takes longer than a second.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT flagship_take_use(%s, %s, %s, %s, %s)", [LOCK_TIMEOUT_MS, *use_columns(use)]
        )
        row = cursor.fetchone()
    if row != (True,):
        refuse_replay(use=use)


def take_use_at_once(*, use: Use) -> None:
    """Use up the nonce of a read, in a transaction of its own; note it if it was seen before.

    Raises: as `take_use`.
    """
    with noting_replays(use=use), inside(use.organization_id):
        take_use(use=use)


@contextmanager
def noting_replays(*, use: Use | None) -> Iterator[None]:
    """Note a replay that the block refuses, once its transaction is over."""
    try:
        yield
    except NonceReplayed:
        if use is not None:
            note_replay(use=use)
        raise


def use_columns(use: Use) -> list[Any]:
    """Return hash, client, proof and life in seconds, as the statements take them."""
    return [use.use_hash, use.api_key_id, use.proof.value, NONCE_LIFE_S]


def refuse_replay(*, use: Use) -> None:
    """Refuse a nonce that was seen; where signatures are only observed, note it and go on.

    Raises: NonceReplayed.
    """
    if use.is_strict:
        raise NonceReplayed
    note_replay(use=use)


def note_replay(*, use: Use) -> None:
    """Note that a request was sent again; a refused one's transaction has to be over."""
    note_incident(
        incident=Incident(
            Outcome.REPLAY, use.api_key_id, use.organization_id, use.key_id, reason="nonce"
        )
    )


def fold_uses(*, limit: int = 5000) -> int:
    """Count up to `limit` uses whose 660 s are over into tallies, and delete them; return how many.

    One statement: a use is counted exactly once, whatever is killed.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH gone AS (
                DELETE FROM flagship_signatureuse WHERE use_hash = ANY(ARRAY(
                    SELECT use_hash FROM flagship_signatureuse
                    WHERE expires_at <= clock_timestamp()
                    ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
                )) RETURNING api_key_id, proof, used_at
            ), counted AS (
                INSERT INTO flagship_signaturetally AS tally (api_key_id, hour, outcome, count)
                SELECT api_key_id, date_trunc('hour', used_at, 'UTC'), proof, count(*)
                FROM gone WHERE proof <> 'mismatch'
                GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
                ON CONFLICT (api_key_id, hour, outcome)
                DO UPDATE SET count = tally.count + excluded.count
            )
            SELECT count(*) FROM gone
            """,
            [limit],
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def prune_tallies() -> int:
    """Delete tallies older than 35 days; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM flagship_signaturetally
            WHERE hour < clock_timestamp() - make_interval(days => %s)
            """,
            [TALLIES_KEPT_DAYS],
        )
        return int(cursor.rowcount)
