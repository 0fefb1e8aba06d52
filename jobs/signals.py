"""What the engine tells, or asks, the apps above it; inside the transaction that makes it true.

A receiver that raises rolls the move back, so that nothing happens unrecorded (D-06).
"""

from __future__ import annotations

from django.dispatch import Signal

buried = Signal()
"""A job has become a dead letter. Arguments: `failed_job`."""

requeued = Signal()
"""An operator sent a dead letter back to work. Arguments: `failed_job`, `actor`.

With another payload than it died with where the letter has an `edited_payload`.
"""

discarded = Signal()
"""An operator gave a dead letter up. Arguments: `failed_job`, `actor`, `reason`."""

letters_cleaned = Signal()
"""Old dead letters of one group were deleted.

Arguments: `actor`, `reason`, `fingerprint`, `letters` (how many), `cutoff` (they died before it).
"""

group_acknowledged = Signal()
"""An operator knows of a failure group. Arguments: `group`, `actor`, and `by`, as for the others:
who had acknowledged it before.
"""

group_withdrawn = Signal()
"""An operator took an acknowledgement back. Arguments: `group`, `actor`, `by`."""

group_noted = Signal()
"""An operator wrote the note of a failure group. Arguments: `group`, `actor`, `by`."""

cancelled = Signal()
"""A job was cancelled, or a running one confirmed it.

Arguments: `job_id`, `kind`, `organization_id`, `actor` (empty when a worker confirms).
"""

cancel_requested = Signal()
"""A running job was asked to stop; `cancelled` follows if it does.

Arguments: `job_id`, `kind`, `organization_id`, `actor`.
"""

in_flight_max_asked = Signal()
"""How many jobs may an organization have in flight? Arguments: `organization_id`.

A receiver returns a number, or None to leave it to JOBS_IN_FLIGHT_MAX. Asked in the transaction of
an admission, under its lock.
"""

queue_paused = Signal()
"""An operator paused a queue. Arguments: `pause`, `actor`."""

queue_resumed = Signal()
"""An operator ended a pause before its time. Arguments: `pause`, `actor`."""

schedule_paused = Signal()
"""An operator paused a schedule. Arguments: `name`, `actor`, `reason`."""

schedule_resumed = Signal()
"""An operator resumed a schedule. Arguments: `name`, `actor`."""

schedule_run_now = Signal()
"""An operator asked for a run of a schedule. Arguments: `name`, `actor`, `job_id`."""

redrive_moved = Signal()
"""A redrive has come to another state. Arguments: `redrive`, `verb`, `actor`.

`verb` is one of proposed, started, approved, aborted, stopped, finished; the last two are the
worker's, whose `actor` is empty.
"""

cleanup_started = Signal()
"""An operator started a cleanup of dead letters. Arguments: `days`, `actor`, `reason`, `job_id`."""

letters_exported = Signal()
"""An operator took dead letters out of the console. Arguments: `wanted`, `form`, `actor`."""
