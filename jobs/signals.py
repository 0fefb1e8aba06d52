"""What the engine tells, or asks, the apps above it; inside the transaction that makes it true.

A receiver that raises rolls the move back, so that nothing happens unrecorded (D-06).
"""

from __future__ import annotations

from django.dispatch import Signal

buried = Signal()
"""A job has become a dead letter. Arguments: `failed_job`."""

requeued = Signal()
"""An operator sent a dead letter back to work. Arguments: `failed_job`, `actor`."""

discarded = Signal()
"""An operator gave a dead letter up. Arguments: `failed_job`, `actor`, `reason`."""

cancelled = Signal()
"""A job was cancelled, or a running one confirmed it.

Arguments: `job_id`, `kind`, `organization_id`, `actor` (empty when a worker confirms).
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
