"""Shapes of the questions and answers of analytics; no rule lives here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from builds.api import examples
from builds.segments import SEGMENTS
from builds.selectors.analytics import PERCENTILES, BuildSums
from flagship.api.serializers import StrictSerializer

INTERVALS: Final = ["day", "week", "month"]
DEFAULT_DAYS: Final = 30
LONGEST_DAYS: Final = 400


class AnalyticsQuery(StrictSerializer):
    """A period of days in UTC, both included; the last 30 where none is given."""

    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)
    interval = serializers.ChoiceField(INTERVALS, required=False, default="day")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Fill in the period and bound it."""
        until = attrs.get("until") or datetime.now(UTC).date()
        since = attrs.get("since") or until - timedelta(days=DEFAULT_DAYS - 1)
        if not timedelta() <= until - since < timedelta(days=LONGEST_DAYS):
            told = f"Must be {LONGEST_DAYS} days at most, and not end before it begins."
            raise serializers.ValidationError({"since": [told]})
        return {**attrs, "since": since, "until": until}


class BuildAnalyticsQuery(AnalyticsQuery):
    """A period, and a builder where only its builds are meant."""

    builder = serializers.CharField(required=False, max_length=50)


class DurationSerializer(StrictSerializer):
    """Building times of deployed builds, in seconds; percentiles within 2 %, the mean exact."""

    mean_s = serializers.FloatField(allow_null=True)
    p50_s = serializers.FloatField(allow_null=True)
    p90_s = serializers.FloatField(allow_null=True)
    p95_s = serializers.FloatField(allow_null=True)
    p99_s = serializers.FloatField(allow_null=True)


class BuildSumsSerializer(StrictSerializer):
    """Builds by their state now, and what they took."""

    submitted = serializers.IntegerField()
    queued = serializers.IntegerField()
    building = serializers.IntegerField()
    deployed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    success_rate = serializers.FloatField(
        allow_null=True, help_text="Deployed of deployed and failed, 0 to 1."
    )
    charged_credits = serializers.IntegerField()
    duration = serializers.SerializerMethodField()

    @extend_schema_field(DurationSerializer)
    def get_duration(self, sums: BuildSums) -> dict[str, float | None]:
        """Return mean and percentiles."""
        names = [f"p{percent}S" for percent in PERCENTILES]
        return {"meanS": sums.mean_s, **dict(zip(names, sums.percentiles, strict=True))}


class BuilderSumsSerializer(BuildSumsSerializer):
    """The builds of one builder."""

    builder = serializers.CharField()


class IntervalSumsSerializer(BuildSumsSerializer):
    """The builds of one interval; one without builds is left out."""

    start = serializers.DateField()


class AnalyticsAnswer(StrictSerializer):
    """Base of the answers: what they are about and how fresh they are."""

    since = serializers.DateField(source="period.since")
    until = serializers.DateField(source="period.until")
    interval = serializers.ChoiceField(INTERVALS, source="period.interval")
    rolled_up_at = serializers.DateTimeField(
        source="found.rolled_at", allow_null=True, help_text="What came later is not in it yet."
    )


class BuildAnalyticsSerializer(AnalyticsAnswer):
    """Builds of a period: together, by builder, over time."""

    example = examples.BUILD_ANALYTICS

    totals = BuildSumsSerializer(source="found.totals")
    by_builder = BuilderSumsSerializer(source="found.by_builder", many=True)
    series = IntervalSumsSerializer(source="found.series", many=True)


class OperationSerializer(StrictSerializer):
    """What one kind of ledger entry moved."""

    operation = serializers.CharField(source="name")
    entries = serializers.IntegerField()
    credits = serializers.IntegerField()


class PointSerializer(StrictSerializer):
    """Credits by operation in one interval; one in which nothing moved is left out."""

    start = serializers.DateField()
    credits = serializers.DictField(child=serializers.IntegerField())


class UserSerializer(StrictSerializer):
    """What one user was charged for."""

    user = serializers.CharField(source="name")
    charges = serializers.IntegerField(source="entries")
    credits = serializers.IntegerField()


class OtherUsersSerializer(StrictSerializer):
    """What all users but the listed ones were charged for."""

    charges = serializers.IntegerField(source="entries")
    credits = serializers.IntegerField()


class UsageAnalyticsSerializer(AnalyticsAnswer):
    """Credits of a period: by operation, by user, over time."""

    example = examples.USAGE_ANALYTICS

    segment = serializers.ChoiceField(
        list(SEGMENTS), source="found.segment", help_text="By the charges of the last 30 days."
    )
    by_operation = OperationSerializer(source="found.by_operation", many=True)
    by_user = UserSerializer(source="found.by_user", many=True)
    other_users = OtherUsersSerializer(source="found.other_users", allow_null=True)
    series = PointSerializer(source="found.series", many=True)


class SegmentSerializer(OperationSerializer):
    """What one kind of entry moved for the organizations of a segment."""

    segment = serializers.ChoiceField(list(SEGMENTS))
    organizations = serializers.IntegerField(help_text="The most that moved any on one day.")


class SegmentPointSerializer(PointSerializer):
    """The same for the organizations of a segment."""

    segment = serializers.ChoiceField(list(SEGMENTS))


class SegmentAnalyticsSerializer(AnalyticsAnswer):
    """Credits of a period over all organizations: by segment, over time."""

    example = examples.SEGMENT_ANALYTICS

    by_segment = SegmentSerializer(source="found.by_segment", many=True)
    series = SegmentPointSerializer(source="found.series", many=True)
