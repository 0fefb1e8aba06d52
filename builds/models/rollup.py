"""What the analytics are read from: rows of days, made from builds and ledger, anew at will."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from jobs.models.tenant import TenantManager


class RolledDay(models.Model):
    """One day (UTC) that was rolled up; whoever holds its row is the only one to roll it.

    `active_builds` of it could still move when it was rolled: it is rolled again. Once they have
    ended nothing of the day can change, for builds are kept and final ones are frozen.
    """

    TENANT_READS: ClassVar[bool] = True

    day = models.DateField(primary_key=True)
    rolled_at = models.DateTimeField()
    active_builds = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.day)


class BuildDay(models.Model):
    """The builds that an organization submitted on a day, by builder.

    `duration_buckets` and `duration_counts` are the histogram of the deployed ones' building time
    (builds.histogram), the buckets ascending. Units: whole credits, seconds.
    """

    organization = models.ForeignKey(
        "flagship.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    day = models.DateField()
    builder = models.CharField(max_length=50)
    queued = models.PositiveIntegerField()
    building = models.PositiveIntegerField()
    deployed = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()
    cancelled = models.PositiveIntegerField()
    charged_credits = models.PositiveBigIntegerField()
    duration_s = models.FloatField()
    duration_buckets = ArrayField(models.SmallIntegerField())
    duration_counts = ArrayField(models.IntegerField())

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "builder"], name="build_day_unique"
            ),
            models.CheckConstraint(
                condition=Q(duration_s__gte=0), name="build_day_duration_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(duration_buckets__len=F("duration_counts__len")),
                name="build_day_histogram_complete",
            ),
        ]
        indexes = [models.Index(fields=["day"], name="build_day_day_idx")]

    def __str__(self) -> str:
        return f"{self.day} {self.builder}"


class CreditDay(models.Model):
    """What an organization's ledger entries of one kind moved on a day. Units: whole credits."""

    organization = models.ForeignKey(
        "flagship.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    day = models.DateField()
    operation = models.CharField(max_length=20)
    entries = models.PositiveIntegerField()
    credits = models.PositiveBigIntegerField()

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "operation"], name="credit_day_unique"
            )
        ]
        indexes = [models.Index(fields=["day"], name="credit_day_day_idx")]

    def __str__(self) -> str:
        return f"{self.day} {self.operation}"


class UserDay(models.Model):
    """What one user of an organization was charged for on a day. Units: whole credits.

    The user is the one named in the reservation, else whoever submitted the build.
    """

    organization = models.ForeignKey(
        "flagship.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    day = models.DateField()
    user = models.CharField(max_length=200)
    charges = models.PositiveIntegerField()
    credits = models.PositiveBigIntegerField()

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "day", "user"], name="user_day_unique")
        ]
        indexes = [models.Index(fields=["day"], name="user_day_day_idx")]

    def __str__(self) -> str:
        return f"{self.day} {self.user}"


class SegmentDay(models.Model):
    """What all organizations of a segment moved on a day, by operation. Units: whole credits."""

    TENANT_READS: ClassVar[bool] = True

    day = models.DateField()
    segment = models.CharField(max_length=20)
    operation = models.CharField(max_length=20)
    organizations = models.PositiveIntegerField()
    entries = models.PositiveIntegerField()
    credits = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["day", "segment", "operation"], name="segment_day_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.segment} {self.operation}"
