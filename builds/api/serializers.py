"""Shapes of requests and answers; no rule lives here."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from builds.api import addresses, examples
from builds.api.fields import IdListField, PublicIdField
from builds.models import Build, Fetch, Project
from builds.models.project import MAX_ACTIVE_LIMIT, SLUG_PATTERN
from builds.states import BuildState, FetchState
from flagship.api.serializers import PageQuery, StrictSerializer
from jobs.api.requests import SeveralField

STATES = [state.value for state in BuildState]


class ProjectFields(StrictSerializer):
    """What a client decides about a project."""

    example = examples.PROJECT_FIELDS

    name = serializers.CharField(max_length=100)
    max_active = serializers.IntegerField(default=1, min_value=1, max_value=MAX_ACTIVE_LIMIT)
    newest_wins = serializers.BooleanField(
        default=False, help_text="A new build cancels those of the project that still wait."
    )
    default_builder = serializers.CharField(default="static", max_length=50)


class ProjectCreation(ProjectFields):
    """A new project; its slug is made from the name where none is given."""

    example = examples.PROJECT_CREATION

    slug = serializers.RegexField(SLUG_PATTERN, required=False, max_length=50)


class ProjectPatch(StrictSerializer):
    """Fields to change; what is left out stays."""

    example = examples.PROJECT_PATCH

    name = serializers.CharField(max_length=100, required=False)
    max_active = serializers.IntegerField(required=False, min_value=1, max_value=MAX_ACTIVE_LIMIT)
    newest_wins = serializers.BooleanField(required=False)
    default_builder = serializers.CharField(max_length=50, required=False)


class ProjectSerializer(StrictSerializer):
    """A project as clients see it."""

    example = examples.PROJECT

    id = PublicIdField("proj")
    name = serializers.CharField()
    slug = serializers.CharField()
    max_active = serializers.IntegerField()
    newest_wins = serializers.BooleanField()
    default_builder = serializers.CharField()
    live_build_id = PublicIdField("build", allow_null=True)
    site_url = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_site_url(self, project: Project) -> str:
        """Return where the live site is."""
        return addresses.site_url(project.site_name)


class ProjectBatchQuery(StrictSerializer):
    """Which projects to show."""

    ids = IdListField("proj", max_ids=100)


class ProjectBatchAnswer(StrictSerializer):
    """Projects in the order asked for; `missing` names the ids that are none of the caller's."""

    example = examples.PROJECT_BATCH

    items = ProjectSerializer(many=True)
    missing = serializers.ListField(child=PublicIdField("proj"))


class SourceSerializer(StrictSerializer):
    """An uploaded archive as clients see it."""

    example = examples.SOURCE

    id = PublicIdField("src")
    project_id = PublicIdField("proj")
    sha256 = serializers.CharField()
    kind = serializers.ChoiceField(["tar.gz", "zip"])
    size_bytes = serializers.IntegerField()
    unpacked_bytes = serializers.IntegerField()
    file_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class BuildErrorSerializer(StrictSerializer):
    """Why a build or a fetch failed."""

    code = serializers.CharField(source="error_code")
    message = serializers.CharField(source="error_message")


# Made once: a serializer of its own for each row of a page is a fifth of the page's time.
_ERROR = BuildErrorSerializer()


class FetchOrder(StrictSerializer):
    """A commit to be fetched; without a ref that of the repository's default branch."""

    example = examples.FETCH_ORDER

    url = serializers.CharField(max_length=500, help_text="https, without user, query or port.")
    ref = serializers.CharField(
        required=False, max_length=200, help_text="A branch, a tag or a commit's 40 digits."
    )


class FetchSerializer(StrictSerializer):
    """A fetch as clients see it; `sourceId` and `commit` are there once it is ready."""

    example = examples.FETCH

    id = PublicIdField("fetch")
    project_id = PublicIdField("proj")
    url = serializers.CharField()
    ref = serializers.CharField()
    state = serializers.ChoiceField([state.value for state in FetchState])
    source_id = PublicIdField("src", allow_null=True)
    commit = serializers.CharField(allow_null=True)
    left_out = serializers.ListField(
        child=serializers.CharField(), help_text="Links and submodules of the commit, 100 at most."
    )
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(BuildErrorSerializer(allow_null=True))
    def get_error(self, fetch: Fetch) -> dict[str, Any] | None:
        """Return why the fetch failed; null unless it did."""
        return dict(_ERROR.to_representation(fetch)) if fetch.error_code else None


class BuildOrderSerializer(StrictSerializer):
    """A build to be made; without a builder the project's default is used."""

    example = examples.BUILD_ORDER

    project_id = PublicIdField("proj")
    source_id = PublicIdField("src")
    builder = serializers.CharField(required=False, max_length=50)
    options = serializers.DictField(required=False)


class EstimateQuestion(StrictSerializer):
    """A build that may be submitted: of a source, or of one of a size that is yet to come."""

    example = examples.ESTIMATE_QUESTION

    project_id = PublicIdField("proj")
    source_id = PublicIdField("src", required=False)
    unpacked_bytes = serializers.IntegerField(
        required=False, min_value=0, max_value=2**40, help_text="Of all files, without a sourceId."
    )
    builder = serializers.CharField(required=False, max_length=50)
    options = serializers.DictField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask for exactly one of the two."""
        if ("source_id" in attrs) == ("unpacked_bytes" in attrs):
            raise serializers.ValidationError(
                {"sourceId": ["Give either sourceId or unpackedBytes."]}
            )
        return attrs


class EstimateSerializer(StrictSerializer):
    """What a build is expected to cost."""

    example = examples.ESTIMATE

    builder = serializers.CharField()
    low_credits = serializers.IntegerField(source="estimate.low", help_text="One in ten is below.")
    likely_credits = serializers.IntegerField(
        source="estimate.likely", help_text="What a build submitted now would hold."
    )
    high_credits = serializers.IntegerField(
        source="estimate.high", help_text="One in ten is above."
    )
    based_on_builds = serializers.IntegerField(
        source="estimate.based_on_builds", help_text="0: by the size alone."
    )


class BuildQuery(PageQuery):
    """What builds can be narrowed down by."""

    project_id = PublicIdField("proj", required=False)
    state = SeveralField(
        source="states",
        child=serializers.ChoiceField(STATES),
        required=False,
        help_text="One state or several: `state=queued,building`.",
    )
    builder = serializers.CharField(required=False, max_length=50)
    rebuild_of = PublicIdField("build", required=False, help_text="Builds that do this one again.")
    created_since = serializers.DateTimeField(
        required=False, help_text="Submitted at this time or later."
    )
    created_until = serializers.DateTimeField(
        required=False, help_text="Submitted before this time."
    )


class ArtifactSerializer(StrictSerializer):
    """What a build published."""

    sha256 = serializers.CharField(source="artifact_sha256")
    size_bytes = serializers.IntegerField(source="artifact_bytes")
    file_count = serializers.IntegerField(source="artifact_files")


_ARTIFACT = ArtifactSerializer()


class BuildSerializer(StrictSerializer):
    """A build as clients see it; `state` is where it stands now."""

    example = examples.BUILD

    id = PublicIdField("build")
    project_id = PublicIdField("proj")
    source_id = PublicIdField("src")
    state = serializers.ChoiceField(STATES)
    previous_state = serializers.ChoiceField(STATES, allow_null=True)
    is_cancel_requested = serializers.SerializerMethodField()
    builder = serializers.CharField()
    options = serializers.DictField()
    rebuild_of = PublicIdField(
        "build", source="rebuild_of_id", allow_null=True, help_text="The build this one does again."
    )
    superseded_by = PublicIdField(
        "build",
        source="superseded_by_id",
        allow_null=True,
        help_text="The newer build for which this one was cancelled.",
    )
    job_id = PublicIdField("job")
    reservation_id = PublicIdField("res")
    estimated_credits = serializers.IntegerField()
    charged_credits = serializers.IntegerField(allow_null=True)
    artifact = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    queued_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    site_url = serializers.SerializerMethodField()
    version_url = serializers.SerializerMethodField()
    log_url = serializers.SerializerMethodField()
    stream_url = serializers.SerializerMethodField()

    def get_is_cancel_requested(self, build: Build) -> bool:
        """Tell whether the worker was asked to stop."""
        return bool(build.cancel_requested_by)

    @extend_schema_field(ArtifactSerializer(allow_null=True))
    def get_artifact(self, build: Build) -> dict[str, Any] | None:
        """Return what was published; null until it is."""
        return dict(_ARTIFACT.to_representation(build)) if build.artifact_sha256 else None

    @extend_schema_field(BuildErrorSerializer(allow_null=True))
    def get_error(self, build: Build) -> dict[str, Any] | None:
        """Return why the build failed; null unless it did."""
        return dict(_ERROR.to_representation(build)) if build.error_code else None

    def get_site_url(self, build: Build) -> str:
        """Return where the project's live site is."""
        return addresses.site_url(build.project.site_name)

    def get_version_url(self, build: Build) -> str | None:
        """Return where this build's own site is; null until it is deployed."""
        if build.state != BuildState.DEPLOYED.value:
            return None
        return addresses.version_url(build.project.site_name, build.id)

    def get_log_url(self, build: Build) -> str:
        """Return where the log is read page by page."""
        return addresses.log_url(build.id)

    def get_stream_url(self, build: Build) -> str:
        """Return where the log is followed as it is written."""
        return addresses.stream_url(build.id)


class LogQuery(StrictSerializer):
    """Where to read a log from."""

    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)
    limit = serializers.IntegerField(required=False, default=500, min_value=1, max_value=1000)


class LogLineSerializer(StrictSerializer):
    """One line of a log."""

    seq = serializers.IntegerField()
    stream = serializers.ChoiceField(["stdout", "stderr", "system"])
    text = serializers.CharField()
    at = serializers.DateTimeField()


class LogPage(StrictSerializer):
    """A piece of a log. Read on with `after=lastSeq` until `isComplete`."""

    example = examples.LOG

    items = LogLineSerializer(many=True)
    last_seq = serializers.IntegerField()
    is_complete = serializers.BooleanField(help_text="No line will ever follow the last one here.")
    state = serializers.ChoiceField(STATES)
