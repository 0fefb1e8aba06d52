"""Jobs on the wire: camelCase, nothing unknown accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from jobs.ids import public_id
from jobs.models import Job, JobAttempt
from jobs.queues import QUEUES
from jobs.states import JobState, Outcome

STATES = [state.value for state in JobState]


class TextField(serializers.CharField):
    """A JSON string; a number is not one."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is not a string. Raises: ValidationError."""
        if not isinstance(data, str):
            raise serializers.ValidationError("Must be a string.")
        return super().to_internal_value(data)


class CreateJob(serializers.Serializer[Any]):
    """A job to create: one of the kinds offered, and its payload."""

    kind = TextField(max_length=100)
    payload = serializers.DictField()
    dedupeKey = TextField(
        source="dedupe_key",
        required=False,
        max_length=100,
        help_text="A second job with this key is not created; the first one is returned.",
    )

    def to_internal_value(self, data: Any) -> Any:
        """Refuse fields that do not exist. Raises: ValidationError."""
        if isinstance(data, Mapping):
            unknown = {str(name): ["Unknown field."] for name in data if name not in self.fields}
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


class JobQuery(serializers.Serializer[Any]):
    """What jobs can be narrowed down by."""

    state = serializers.ChoiceField(choices=STATES, required=False)
    kind = serializers.CharField(required=False, max_length=100)
    queue = serializers.ChoiceField(choices=list(QUEUES), required=False)
    cursor = serializers.CharField(
        required=False, max_length=100, help_text="`nextCursor` of the page before."
    )
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=100)


class AttemptAnswer(serializers.ModelSerializer[JobAttempt]):
    """One run."""

    outcome = serializers.ChoiceField(choices=[outcome.value for outcome in Outcome])
    startedAt = serializers.DateTimeField(source="started_at")
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)
    retryAt = serializers.DateTimeField(source="retry_at", allow_null=True)
    errorClass = serializers.CharField(source="error_class")

    class Meta:
        model = JobAttempt
        fields = (
            "number",
            "outcome",
            "startedAt",
            "endedAt",
            "retryAt",
            "errorClass",
            "message",
        )


class JobSummary(serializers.ModelSerializer[Job]):
    """A job in a list."""

    id = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=STATES)
    nextAttemptAt = serializers.DateTimeField(source="next_attempt_at", allow_null=True)
    cancelRequestedAt = serializers.DateTimeField(source="cancel_requested_at", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    startedAt = serializers.DateTimeField(source="started_at", allow_null=True)
    finishedAt = serializers.DateTimeField(source="finished_at", allow_null=True)

    class Meta:
        model = Job
        fields: tuple[str, ...] = (
            "id",
            "kind",
            "queue",
            "state",
            "attempts",
            "nextAttemptAt",
            "cancelRequestedAt",
            "createdAt",
            "startedAt",
            "finishedAt",
        )

    def get_id(self, job: Job) -> str:
        """Return the public id."""
        return public_id("job", job.id)


class JobAnswer(JobSummary):
    """A job with all that is known about it."""

    payload = serializers.DictField()
    progress = serializers.DictField(allow_null=True)
    result = serializers.DictField(allow_null=True)
    runs = AttemptAnswer(source="attempt_set", many=True)

    class Meta(JobSummary.Meta):
        fields = (*JobSummary.Meta.fields, "payload", "progress", "result", "runs")


class JobPage(serializers.Serializer[Any]):
    """One page of jobs, newest first."""

    items = JobSummary(many=True)
    nextCursor = serializers.CharField(allow_null=True)
