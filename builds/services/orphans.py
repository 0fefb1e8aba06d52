"""End builds that nothing will end any more (B-02, B-06).

An active build has a job that ends it, in the transaction that ends the job. This is for what lies
outside of that: a job that was deleted or ended by hand, or whose `on_dead` could not be run.
"""

from __future__ import annotations

import logging
import uuid
from typing import Final

from django.db import DatabaseError, transaction

from builds.errors import InvalidStateTransition
from builds.selectors.builds import list_orphans
from builds.services.moves import fail_build

logger = logging.getLogger("builds.orphans")

GRACE_S: Final = 60.0
MESSAGE: Final = "The work behind the build has ended without it. It was not charged."


def fail_orphans(*, limit: int = 100) -> int:
    """Fail active builds whose job has ended, or is gone, for GRACE_S; return how many.

    Each in a transaction of its own, so that one that cannot be ended keeps up no other. Their
    credits go back and their slots are free.
    """
    return sum(_fail(build_id) for build_id in list_orphans(older_than_s=GRACE_S, limit=limit))


def _fail(build_id: uuid.UUID) -> bool:
    try:
        with transaction.atomic():
            fail_build(build_id=build_id, code="BUILD_ORPHANED", message=MESSAGE)
    except InvalidStateTransition:
        return False  # it has ended meanwhile
    except DatabaseError:
        logger.exception("build.orphan_not_ended build_id=%s", build_id)
        return False
    logger.error("build.orphan_failed build_id=%s", build_id)
    return True
