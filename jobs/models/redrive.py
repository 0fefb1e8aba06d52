"""One answer to many dead letters: who gave it, why, to which, how fast, and how far it is."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from jobs.ids import new_id
from jobs.states import RedriveAction, RedriveState


class Redrive(models.Model):
    """A filter of dead letters, frozen, and the answer to everything it matches (D-03, D-07).

    The letters are those that the filter `wanted` matched up to the bound, which is the newest of
    them when it was asked for: what dies later is no part of it. They are answered in the order of
    (died_at, id); `at_*` is the last one that was looked at, and moves in the transaction that
    answers the letters before it, so that a worker killed anywhere leaves neither a letter
    answered twice nor one uncounted. `size` is how many there were, `done` and `refused` how many
    were answered and how many could not be, `refusals` why; the rest somebody else has answered.
    `due_at` and `free_at` are its pace (services/redrives/pace.py).

    What was asked for never changes, counters and cursor only grow, and an ended redrive stays as
    it is: triggers hold that (migrations/sql/redrives.sql).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    state = models.CharField(
        max_length=20, choices=[(state.value, state.value) for state in RedriveState]
    )

    action = models.CharField(
        max_length=20, choices=[(action.value, action.value) for action in RedriveAction]
    )
    wanted = models.JSONField()
    queue = models.CharField(max_length=100, blank=True)
    bound_died_at = models.DateTimeField()
    bound_id = models.BigIntegerField()
    size = models.IntegerField()
    rate_per_s = models.FloatField()
    ramp_s = models.FloatField()
    canary_size = models.IntegerField()
    canary_wait_s = models.FloatField()
    returns_max = models.IntegerField()
    reason = models.CharField(max_length=500)
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(db_default=Now())
    is_approval_needed = models.BooleanField()
    approved_by = models.CharField(max_length=150, blank=True, default="", db_default="")

    job_id = models.UUIDField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    free_at = models.DateTimeField(null=True, blank=True)
    at_died_at = models.DateTimeField(null=True, blank=True)
    at_id = models.BigIntegerField(null=True, blank=True)
    done = models.IntegerField(default=0, db_default=0)
    refused = models.IntegerField(default=0, db_default=0)
    refusals = models.JSONField(default=dict)
    returned = models.IntegerField(default=0, db_default=0)
    canary_jobs = ArrayField(models.UUIDField(), default=list)
    canary_sent_at = models.DateTimeField(null=True, blank=True)
    canary_passed_at = models.DateTimeField(null=True, blank=True)

    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    note = models.CharField(max_length=500, blank=True, default="", db_default="")

    class Meta:
        ordering = ("-id",)
        permissions = [
            ("start_redrive", "Can answer everything a filter matches"),
            ("approve_redrive", "Can approve what another has asked for"),
            ("abort_redrive", "Can abort a redrive"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["queue"], name="redrive_one_running_per_queue", condition=Q(state="running")
            ),
            models.CheckConstraint(
                condition=Q(action__in=[action.value for action in RedriveAction]),
                name="redrive_action_known",
            ),
            models.CheckConstraint(
                condition=~Q(reason="") & ~Q(requested_by=""),
                name="redrive_has_actor_and_reason",
            ),
            models.CheckConstraint(
                condition=Q(size__gt=0, rate_per_s__gt=0, ramp_s__gte=0, canary_size__gte=0)
                & Q(canary_wait_s__gt=0, returns_max__gte=0, done__gte=0, refused__gte=0)
                & Q(returned__gte=0),
                name="redrive_numbers_sane",
            ),
            models.CheckConstraint(
                condition=Q(is_approval_needed=False)
                | Q(state__in=["proposed", "aborted"])
                | ~Q(approved_by=""),
                name="redrive_approved_where_needed",
            ),
            models.CheckConstraint(
                condition=Q(approved_by="") | ~Q(approved_by=F("requested_by")),
                name="redrive_approved_by_another",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["proposed", "running"], ended_at__isnull=True, ended_by="")
                | (~Q(state__in=["proposed", "running"]) & Q(ended_at__isnull=False)),
                name="redrive_ended_at_when_over",
            ),
            models.CheckConstraint(
                condition=Q(state="proposed", started_at__isnull=True, job_id__isnull=True)
                | Q(state="aborted", started_at__isnull=True, job_id__isnull=True)
                | (
                    ~Q(state="proposed")
                    & Q(started_at__isnull=False, job_id__isnull=False)
                    & Q(due_at__isnull=False, free_at__isnull=False)
                ),
                name="redrive_has_a_job_once_started",
            ),
            models.CheckConstraint(
                condition=Q(at_died_at__isnull=True, at_id__isnull=True, done=0, refused=0)
                | Q(at_died_at__isnull=False, at_id__isnull=False),
                name="redrive_counts_what_it_passed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.size} by {self.requested_by}"
