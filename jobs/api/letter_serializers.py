"""Dead letters on the wire: camelCase, nothing unknown accepted."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs.api import letter_examples as examples
from jobs.api.requests import FlagField, NumberField, StrictSerializer, TextField
from jobs.ids import public_id
from jobs.models import FailedJob
from jobs.queues import QUEUES
from jobs.selectors.dead_letters import letter_id
from jobs.selectors.letter_pages import Place
from jobs.selectors.letters import ANY
from jobs.states import LetterState

STATES = [state.value for state in LetterState]


class StateField(serializers.ChoiceField):
    """A state of letters, or `all`."""

    def __init__(self, **how: Any) -> None:
        super().__init__(choices=[*STATES, "all"], **how)

    def to_internal_value(self, data: Any) -> Any:
        """Return the state as filters have it. Raises: ValidationError."""
        state = super().to_internal_value(data)
        return ANY if state == "all" else state


class PlaceField(serializers.CharField):
    """Where the page before has ended."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the place. Raises: ValidationError."""
        place = Place.parse(super().to_internal_value(data))
        if place is None:
            raise serializers.ValidationError("Is no `nextCursor` of a page.")
        return place


class LetterQuery(StrictSerializer):
    """What dead letters can be narrowed down by."""

    state = StateField(required=False, default=LetterState.OPEN.value)
    queue = serializers.ChoiceField(choices=list(QUEUES), required=False)
    kind = serializers.CharField(required=False, max_length=100)
    errorClass = serializers.CharField(source="error_class", required=False, max_length=200)
    fingerprint = serializers.CharField(
        required=False, max_length=64, help_text="The cause: as in the summary."
    )
    diedSince = serializers.DateTimeField(
        source="died_since", required=False, help_text="Died at this time or later."
    )
    diedUntil = serializers.DateTimeField(
        source="died_until", required=False, help_text="Died before this time."
    )
    text = serializers.CharField(
        required=False, max_length=200, help_text="Words of the message, all of them, in any order."
    )
    cursor = PlaceField(
        source="before", required=False, help_text="`nextCursor` of the page before."
    )
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=100)


class LetterAnswer(serializers.ModelSerializer[FailedJob]):
    """A job that will not run again unless somebody says so."""

    example = examples.REQUEUED.value

    id = serializers.SerializerMethodField()
    jobId = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=STATES)
    errorClass = serializers.CharField(source="error_class")
    fingerprint = serializers.CharField(help_text="Shared by deaths of the same cause.")
    attempts = serializers.IntegerField(help_text="Runs up to this death.")
    requestId = serializers.CharField(source="request_id")
    correlationId = serializers.CharField(source="correlation_id")
    diedAt = serializers.DateTimeField(source="died_at")
    resolvedAt = serializers.DateTimeField(source="resolved_at", allow_null=True)
    resolvedBy = serializers.CharField(source="resolved_by")

    class Meta:
        model = FailedJob
        fields = (
            *("id", "jobId", "kind", "queue", "state", "errorClass", "message", "fingerprint"),
            *("attempts", "requestId", "correlationId", "diedAt", "resolvedAt", "resolvedBy"),
            "reason",
        )

    def get_id(self, letter: FailedJob) -> str:
        """Return the public id."""
        return letter_id(letter)

    def get_jobId(self, letter: FailedJob) -> str:
        """Return the job's public id; `GET /v1/jobs/{id}` has its runs and payload."""
        return public_id("job", letter.job_id)


class LetterPageAnswer(serializers.Serializer[Any]):
    """One page of dead letters, newest first."""

    items = LetterAnswer(many=True)
    nextCursor = serializers.CharField(
        allow_null=True, help_text="Null on the last page. A page before it may be short or empty."
    )


class OpenOfQueueAnswer(serializers.Serializer[Any]):
    """The open letters of a queue."""

    queue = serializers.CharField()
    open = serializers.IntegerField()
    oldestAt = serializers.DateTimeField(source="oldest_at")


class OpenOfCauseAnswer(serializers.Serializer[Any]):
    """The open letters of one cause."""

    fingerprint = serializers.CharField()
    kind = serializers.CharField()
    errorClass = serializers.CharField(source="error_class")
    open = serializers.IntegerField()
    firstSeenAt = serializers.DateTimeField(source="first_seen_at")
    lastSeenAt = serializers.DateTimeField(source="last_seen_at")


class SummaryAnswer(serializers.Serializer[Any]):
    """What waits for an answer."""

    open = serializers.IntegerField()
    isExact = serializers.BooleanField(
        source="is_exact", help_text="False: there are older ones, and the counts are lower bounds."
    )
    queues = OpenOfQueueAnswer(many=True)
    groups = OpenOfCauseAnswer(many=True, help_text="The 20 most frequent causes.")


class DiscardOrder(StrictSerializer):
    """Why a letter is given up."""

    reason = TextField(max_length=500, help_text="Kept with the letter and in the audit event.")


class CleanupOrder(StrictSerializer):
    """Which letters are given up, and why."""

    olderThanDays = NumberField(
        source="older_than_days", required=False, default=30, min_value=1, max_value=3650
    )
    reason = TextField(max_length=500, help_text="Kept with each letter and in its audit event.")
    dryRun = FlagField(
        source="dry_run", required=False, default=False, help_text="Count, and change nothing."
    )


class CleanupAnswer(serializers.Serializer[Any]):
    """What was given up, or would be."""

    example = examples.CLEANED.value

    discarded = serializers.IntegerField()
    isMore = serializers.BooleanField(source="is_more", help_text="Call again for the rest.")
    dryRun = serializers.BooleanField(source="dry_run")
