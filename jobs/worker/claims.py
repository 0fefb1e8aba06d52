"""What a worker has claimed, also where it never heard so."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db import DatabaseError, InterfaceError

from jobs.services.claim import Claimed, Lease, claim_many
from jobs.services.rescue import hand_back_unknown
from jobs.worker.database import discard, is_lost

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How soon a look for lost claims is worth another: the server may still have one in hand."""


class _Unanswered(threading.local):
    """A thread's claims without an answer: which jobs, and until when it looks for them."""

    def __init__(self) -> None:
        self.until: dict[uuid.UUID, float] = {}
        self.looked_at = float("-inf")


class Claims:
    """Claims jobs for one worker.

    A claim that commits and whose answer is lost leaves a running job that nobody runs. It would
    wait for the end of its lease and count as a crash; here it is handed back as soon as the
    database answers, and costs nothing. Each thread looks after its own claims, so that none takes
    another's that is just being answered for lost. Units: `lease_s` in seconds.
    """

    def __init__(self, worker: str, lease_s: float) -> None:
        self._worker = worker
        self._lease_s = lease_s
        self._held: set[Lease] = set()
        self._lost = _Unanswered()

    def take(
        self,
        job_ids: Sequence[uuid.UUID],
        *,
        suspects: bool = False,
        started_at: datetime | None = None,
    ) -> list[Claimed]:
        """Claim those of the jobs that can be; `end` each when its run has (see `claim_many`).

        Raises: django.db.DatabaseError, InterfaceError; what may have been claimed all the same is
        handed back by the thread's next call, or by `recall`.
        """
        self.recall()
        try:
            claimed = claim_many(
                job_ids=job_ids,
                worker=self._worker,
                lease_s=self._lease_s,
                suspects=suspects,
                started_at=started_at,
            )
        except (DatabaseError, InterfaceError) as error:
            if is_lost(error):
                until = time.monotonic() + self._lease_s
                self._lost.until.update(dict.fromkeys(job_ids, until))
                self._lost.looked_at = float("-inf")
            raise
        self._held.update(Lease(each.job_id, each.token) for each in claimed)
        return claimed

    def end(self, claimed: Claimed) -> None:
        """Forget a claim whose run has ended."""
        self._held.discard(Lease(claimed.job_id, claimed.token))

    def recall(self) -> None:
        """Hand back what this thread has claimed without hearing so.

        Does nothing unless an answer was lost within the time of a lease, and never raises: while
        the database is away the next call tries again.
        """
        now, lost = time.monotonic(), self._lost
        if not lost.until or now - lost.looked_at < LOOK_S:
            return
        try:
            count = hand_back_unknown(
                owner=self._worker, job_ids=list(lost.until), known=self._held
            )
        except (DatabaseError, InterfaceError) as error:
            logger.warning("claims without an answer are looked for again: %s", error)
            discard()
            return
        if count:
            logger.warning("%d jobs are handed back: their claims got no answer", count)
        # After the lease the sweeper has it; until then a claim may still come through.
        lost.looked_at = now
        lost.until = {job_id: until for job_id, until in lost.until.items() if until > now}
