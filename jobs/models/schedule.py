"""Work that is due again and again, and what became of each period."""

from __future__ import annotations

from enum import StrEnum

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.rhythm import CatchUp, Rhythm


class PeriodOutcome(StrEnum):
    """What became of a planned time."""

    ENQUEUED = "enqueued"
    """Its job was inserted within the schedule's grace."""
    CAUGHT_UP = "caught_up"
    """Its job was inserted later than that."""
    MISSED = "missed"
    """It has no job; the note says why."""
    BY_HAND = "by_hand"
    """No period of the rhythm: an operator asked for a run."""


class Schedule(models.Model):
    """When the next job of a kind is to be inserted (W-12).

    `next_run_at` moves in the transaction that inserts the job, whose dedupe key names the planned
    time, so any number of schedulers run a period once. All but `enabled` and the times is what
    the code declares; `payload` is empty where it is made for each planned time.
    """

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=100)
    payload = models.JSONField(default=dict)
    every_s = models.FloatField(null=True, blank=True)
    cron = models.CharField(max_length=100, blank=True, default="")
    timezone = models.CharField(max_length=64, default="UTC")
    catch_up = models.CharField(
        max_length=10,
        choices=[(policy.value, policy.value) for policy in CatchUp],
        default=CatchUp.ONE.value,
        db_default=CatchUp.ONE.value,
    )
    grace_s = models.FloatField(default=30.0, db_default=30.0)
    enabled = models.BooleanField(default=True)
    next_run_at = models.DateTimeField()
    last_planned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        permissions = [
            ("run_schedule", "Can run a schedule now"),
            ("pause_schedule", "Can pause and resume a schedule"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(every_s__isnull=False, every_s__gt=0, cron="")
                | (Q(every_s__isnull=True) & ~Q(cron="")),
                name="schedule_every_s_or_cron",
            ),
            models.CheckConstraint(
                condition=Q(catch_up__in=[policy.value for policy in CatchUp]),
                name="schedule_catch_up_known",
            ),
            models.CheckConstraint(
                condition=Q(grace_s__gte=0), name="schedule_grace_s_not_negative"
            ),
        ]
        indexes = [
            models.Index(fields=["next_run_at"], name="schedule_due_idx", condition=Q(enabled=True))
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def rhythm(self) -> Rhythm:
        """When it is due. Raises: ValueError for a rhythm this code cannot read."""
        return Rhythm(self.every_s, self.cron, self.timezone)


class ScheduleRun(models.Model):
    """One planned time of a schedule and its outcome; written once, in the deciding transaction.

    Held by name, not by key: the history of a schedule outlives its row, as that of a job does.
    """

    schedule = models.CharField(max_length=100)
    planned_at = models.DateTimeField()
    outcome = models.CharField(
        max_length=10, choices=[(outcome.value, outcome.value) for outcome in PeriodOutcome]
    )
    job_id = models.UUIDField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True, default="", db_default="")
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-planned_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "planned_at"], name="schedule_run_once_per_period"
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=[outcome.value for outcome in PeriodOutcome]),
                name="schedule_run_outcome_known",
            ),
            models.CheckConstraint(
                condition=Q(outcome="missed", job_id__isnull=True)
                | (~Q(outcome="missed") & Q(job_id__isnull=False)),
                name="schedule_run_job_unless_missed",
            ),
        ]
        indexes = [models.Index(fields=["planned_at"], name="schedule_run_planned_idx")]

    def __str__(self) -> str:
        return f"{self.schedule} {self.planned_at.isoformat()} {self.outcome}"
