"""/v1/builds/{buildId}/events and /replay: what happened to a build (B-08)."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api import examples
from builds.api.builds import read_log_query
from builds.api.fields import PublicIdField, parse_path_id
from builds.api.serializers import STATES, LogQuery
from builds.errors import BuildNotFound, ReplayDryRunRequired, ReplayPlanChanged
from builds.selectors.builds import read_events
from builds.services.replay import Effect, Outcome, replay_build
from builds.states import BuildEventName
from flagship.api.authentication import caller_of
from flagship.api.serializers import StrictSerializer, read_body

EVENTS = [name.value for name in BuildEventName]


class EventSerializer(StrictSerializer):
    """One event; `data` depends on its name."""

    seq = serializers.IntegerField()
    name = serializers.ChoiceField(EVENTS)
    state = serializers.ChoiceField(STATES, help_text="Where the build stood when it had happened.")
    actor = serializers.CharField()
    at = serializers.DateTimeField()
    data = serializers.DictField()  # type: ignore[assignment]  # a field, not Serializer.data


class EventPage(StrictSerializer):
    """A piece of a build's events. Read on with `after=lastSeq`; numbers have no gaps."""

    example = examples.EVENTS

    items = EventSerializer(many=True)
    last_seq = serializers.IntegerField()
    has_more = serializers.BooleanField(help_text="There are more right now.")
    state = serializers.ChoiceField(STATES)


class ReplayOrder(StrictSerializer):
    """What to replay; tried without effect unless told otherwise."""

    example = examples.REPLAY_ORDER

    from_seq = serializers.IntegerField(required=False, default=1, min_value=1, max_value=2**31 - 1)
    dry_run = serializers.BooleanField(required=False, default=True)
    plan_digest = serializers.RegexField(
        r"^[0-9a-f]{64}$", required=False, help_text="What the dry run answered."
    )


class StepSerializer(StrictSerializer):
    """One effect of an event."""

    effect = serializers.ChoiceField([effect.value for effect in Effect])
    outcome = serializers.ChoiceField([outcome.value for outcome in Outcome])
    reason = serializers.CharField(help_text="Why it is skipped or left; what it does otherwise.")


class ReplayedEvent(StrictSerializer):
    """One event with its effects."""

    event = EventSerializer()
    steps = StepSerializer(many=True)


class ReplayAnswer(StrictSerializer):
    """What a replay does, or would do."""

    example = examples.REPLAY

    build_id = PublicIdField("build")
    state = serializers.ChoiceField(STATES)
    is_dry_run = serializers.BooleanField()
    from_seq = serializers.IntegerField()
    last_seq = serializers.IntegerField()
    plan_digest = serializers.CharField(help_text="Send it to do exactly this.")
    items = ReplayedEvent(many=True)
    done_count = serializers.IntegerField(help_text="Of a dry run: what would be done.")
    skipped_count = serializers.IntegerField(help_text="What had already happened.")
    left_count = serializers.IntegerField(help_text="What a replay never does.")
    charged_credits = serializers.IntegerField(help_text="Always 0: a replay never charges.")


class BuildEvents(APIView):
    """What happened to one build."""

    scopes = {"GET": "builds:read"}
    refusals = {"GET": (BuildNotFound,)}

    @extend_schema(parameters=[LogQuery], responses=EventPage)
    def get(self, request: Request, build_id: str) -> Response:
        """Read a build's events, oldest first."""
        position = read_log_query(request)
        found = read_events(
            organization_id=caller_of(request).organization_id,
            build_id=parse_path_id("build", build_id, BuildNotFound),
            **position,
        )
        return Response(EventPage(found).data)


class BuildReplay(APIView):
    """The events of a build once more."""

    scopes = {"POST": "builds:write"}
    refusals = {"POST": (BuildNotFound, ReplayDryRunRequired, ReplayPlanChanged)}

    @extend_schema(request=ReplayOrder, responses=ReplayAnswer)
    def post(self, request: Request, build_id: str) -> Response:
        """Replay events: what has happened is skipped, what is missing done, nothing is charged."""
        replay = replay_build(
            organization_id=caller_of(request).organization_id,
            build_id=parse_path_id("build", build_id, BuildNotFound),
            actor=caller_of(request).actor,
            **read_body(ReplayOrder, request),
        )
        return Response(ReplayAnswer(replay).data)
