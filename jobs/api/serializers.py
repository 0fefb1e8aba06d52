"""Jobs on the wire: camelCase, nothing unknown accepted."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.api import examples
from jobs.api.requests import SeveralField, StrictSerializer, TextField
from jobs.ids import MalformedId, parse_public_id, public_id
from jobs.models import Job, JobAttempt
from jobs.queues import QUEUES
from jobs.registry import Handler
from jobs.selectors.jobs import client_key
from jobs.selectors.kinds import payload_schema
from jobs.states import JobState, Outcome

STATES = [state.value for state in JobState]
OUTCOMES = [outcome.value for outcome in Outcome]


class CreateJob(StrictSerializer):
    """A job to create: one of the kinds offered, and its payload."""

    kind = TextField(max_length=100, help_text="One of `GET /v1/jobs/kinds`.")
    payload = serializers.DictField(help_text="Must fit the schema of its kind.")
    dedupeKey = TextField(
        source="dedupe_key",
        required=False,
        max_length=100,
        help_text="A second job with this key is not created: the first is returned, whatever has"
        " become of it. Keys are the organization's own.",
    )


class CursorField(serializers.CharField):
    """The id of the last job on the page before."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the id. Raises: ValidationError."""
        try:
            return parse_public_id("job", super().to_internal_value(data))
        except MalformedId as error:
            raise serializers.ValidationError(str(error)) from None


class JobQuery(StrictSerializer):
    """What jobs can be narrowed down by."""

    state = SeveralField(
        source="states",
        child=serializers.ChoiceField(choices=STATES),
        required=False,
        help_text="One state or several: `state=queued,running` or `state=queued&state=running`.",
    )
    kind = serializers.CharField(required=False, max_length=100)
    queue = serializers.ChoiceField(choices=list(QUEUES), required=False)
    createdSince = serializers.DateTimeField(
        source="created_since", required=False, help_text="Created at this time or later."
    )
    createdUntil = serializers.DateTimeField(
        source="created_until", required=False, help_text="Created before this time."
    )
    dedupeKey = serializers.CharField(source="dedupe_key", required=False, max_length=100)
    requestId = serializers.CharField(
        source="request_id",
        required=False,
        max_length=100,
        help_text="The `x-request-id` of the request that made the job.",
    )
    cursor = CursorField(
        source="before",
        required=False,
        help_text="`nextCursor` of the page before.",
    )
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=100)


class AttemptAnswer(serializers.ModelSerializer[JobAttempt]):
    """One run."""

    outcome = serializers.ChoiceField(choices=OUTCOMES)
    startedAt = serializers.DateTimeField(source="started_at")
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)
    durationMs = serializers.SerializerMethodField(help_text="Null while it runs.")
    retryAt = serializers.DateTimeField(
        source="retry_at", allow_null=True, help_text="When the next run may start."
    )
    errorClass = serializers.CharField(source="error_class")

    class Meta:
        model = JobAttempt
        fields = (
            "number",
            "outcome",
            "worker",
            "startedAt",
            "endedAt",
            "durationMs",
            "retryAt",
            "errorClass",
            "message",
        )

    def get_durationMs(self, run: JobAttempt) -> int | None:
        """Return how long it took."""
        if run.ended_at is None:
            return None
        return round((run.ended_at - run.started_at).total_seconds() * 1000)


class JobSummary(serializers.ModelSerializer[Job]):
    """A job in a list."""

    id = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=STATES)
    attempts = serializers.IntegerField(help_text="Runs started.")
    failures = serializers.IntegerField(help_text="Runs that failed; others cost no retry.")
    maxAttempts = serializers.IntegerField(
        source="max_attempts", help_text="So many failures are a dead letter."
    )
    dedupeKey = serializers.SerializerMethodField(help_text="The client's own key.")
    requestId = serializers.CharField(source="request_id")
    correlationId = serializers.CharField(source="correlation_id")
    nextAttemptAt = serializers.DateTimeField(
        source="next_attempt_at",
        allow_null=True,
        help_text="From when it may run; null while it runs and when it has ended.",
    )
    cancelRequestedAt = serializers.DateTimeField(source="cancel_requested_at", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    startedAt = serializers.DateTimeField(
        source="started_at", allow_null=True, help_text="Start of the latest run."
    )
    finishedAt = serializers.DateTimeField(source="finished_at", allow_null=True)

    class Meta:
        model = Job
        fields: tuple[str, ...] = (
            "id",
            "kind",
            "queue",
            "state",
            "attempts",
            "failures",
            "maxAttempts",
            "dedupeKey",
            "requestId",
            "correlationId",
            "nextAttemptAt",
            "cancelRequestedAt",
            "createdAt",
            "startedAt",
            "finishedAt",
        )

    def get_id(self, job: Job) -> str:
        """Return the public id."""
        return public_id("job", job.id)

    def get_dedupeKey(self, job: Job) -> str | None:
        """Return the client's key."""
        return client_key(job)


class JobAnswer(JobSummary):
    """A job with all that is known about it."""

    example = examples.SUCCEEDED.value

    payload = serializers.DictField()
    progress = serializers.DictField(allow_null=True, help_text="The handler's latest report.")
    result = serializers.DictField(allow_null=True, help_text="Set when it has succeeded.")
    runs = serializers.SerializerMethodField()

    class Meta(JobSummary.Meta):
        fields = (*JobSummary.Meta.fields, "payload", "progress", "result", "runs")

    @extend_schema_field(AttemptAnswer(many=True))
    def get_runs(self, job: Job) -> list[dict[str, Any]]:
        """Return every run, the first one first; one that never ran is not asked about."""
        runs = job.attempt_set.all() if job.attempts else []
        return [dict(AttemptAnswer(run).data) for run in runs]


class JobPage(serializers.Serializer[Any]):
    """One page of jobs, newest first."""

    items = JobSummary(many=True)
    nextCursor = serializers.CharField(
        allow_null=True, help_text="Null on the last page. A page before it may be short or empty."
    )


class KindAnswer(serializers.Serializer[Any]):
    """A kind of job that clients may create."""

    kind = serializers.CharField()
    version = serializers.IntegerField(source="payload.VERSION")
    queue = serializers.CharField()
    requiredScope = serializers.CharField(
        source="scope", help_text="What a key needs besides `jobs:write`."
    )
    timeoutS = serializers.FloatField(source="timeout_s", help_text="Longest run, in seconds.")
    backoffS = serializers.ListField(
        source="retry.backoff_s",
        child=serializers.FloatField(),
        help_text="Waits before each retry, in seconds.",
    )
    schema = serializers.SerializerMethodField(help_text="JSON Schema of the payload.")

    @extend_schema_field(dict[str, Any])
    def get_schema(self, handler: Handler) -> dict[str, Any]:
        """Return the schema."""
        return payload_schema(handler)


class KindPage(serializers.Serializer[Any]):
    """Every kind that is offered."""

    items = KindAnswer(many=True)
