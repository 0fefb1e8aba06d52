"""Deaths of one cause together: what it was, how often, since when, and who knows of it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class FailureGroup(models.Model):
    """The deaths that share a fingerprint (D-07).

    The database makes a group with the first death of a cause (migrations/sql/failures.sql);
    kind, error and message are those of that death. `deaths` counts them all, those that were
    cleaned up too, and `open` the letters that wait for an answer; both lack what `FailureDelta`
    still holds, so read them with `jobs.selectors.failure_groups`. `acknowledged_deaths` is how
    many there were when somebody said that he knows: what came since is new.
    """

    fingerprint = models.CharField(max_length=64, primary_key=True)
    kind = models.CharField(max_length=100)
    error_class = models.CharField(max_length=200)
    message = models.TextField(blank=True, default="")
    deaths = models.BigIntegerField(default=0)
    open = models.BigIntegerField(default=0)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True, default="")
    acknowledged_deaths = models.BigIntegerField(null=True, blank=True)
    note = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-last_seen_at", "fingerprint")
        verbose_name = "failure group"
        permissions = [("acknowledge_failuregroup", "Can acknowledge and annotate a failure group")]
        constraints = [
            models.CheckConstraint(
                condition=Q(open__gte=0) & Q(open__lte=F("deaths")),
                name="failure_group_open_within_deaths",
            ),
            models.CheckConstraint(
                condition=Q(
                    acknowledged_at__isnull=True,
                    acknowledged_by="",
                    acknowledged_deaths__isnull=True,
                )
                | (
                    Q(acknowledged_at__isnull=False, acknowledged_deaths__isnull=False)
                    & ~Q(acknowledged_by="")
                ),
                name="failure_group_acknowledged_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.error_class}"


class FailureHour(models.Model):
    """Deaths of a group within one hour (UTC): what its trend is drawn from."""

    TRIGGER_WRITTEN = True

    fingerprint = models.CharField(max_length=64)
    hour = models.DateTimeField()
    deaths = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["fingerprint", "hour"], name="failure_hour_once"),
        ]
        indexes = [models.Index(fields=["hour"], name="failure_hour_idx")]

    def __str__(self) -> str:
        return f"{self.fingerprint} {self.hour.isoformat()} {self.deaths}"


class FailureDelta(models.Model):
    """What a statement did to the counts of a group, until it is folded in (ADR 0018).

    Deaths only add rows here, so any number of one cause at once wait for nobody. `hour` and the
    two moments are those of deaths; an answered or deleted letter has none.
    """

    TRIGGER_WRITTEN = True

    fingerprint = models.CharField(max_length=64)
    deaths = models.BigIntegerField()
    open = models.BigIntegerField()
    hour = models.DateTimeField(null=True, blank=True)
    first_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["fingerprint"], name="failure_delta_fingerprint_idx")]

    def __str__(self) -> str:
        return f"{self.fingerprint} {self.deaths:+d} {self.open:+d}"
