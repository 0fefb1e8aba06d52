"""POST and GET /v1/jobs, GET and DELETE /v1/jobs/{id}, GET /v1/jobs/kinds (W-15, W-03)."""

from __future__ import annotations

from django.conf import settings
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api import examples
from jobs.api.requests import Caller, caller_of, parse_job_id, read
from jobs.api.serializers import (
    CreateJob,
    JobAnswer,
    JobPage,
    JobQuery,
    JobSummary,
    KindAnswer,
    KindPage,
)
from jobs.errors import (
    DedupeKeyInUse,
    InvalidPayload,
    JobAlreadyFinished,
    JobNotFound,
    JobsInFlightLimit,
    UnknownKind,
)
from jobs.ids import public_id
from jobs.models import Job
from jobs.registry import Handler
from jobs.selectors.jobs import JobFilter, etag_of, find_page, get_job
from jobs.selectors.kinds import offered_handlers
from jobs.services.admission import enqueue_for_client
from jobs.services.cancel import cancel_job
from jobs.states import JobState

ETAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200], description="For `If-None-Match`."
)


class JobList(APIView):
    """The jobs of the caller's organization."""

    scopes = {"GET": "jobs:read", "POST": "jobs:write"}
    refusals = {"POST": (InvalidPayload, UnknownKind, DedupeKeyInUse, JobsInFlightLimit)}

    @extend_schema(parameters=[JobQuery], responses=JobPage, examples=[examples.PAGE])
    def get(self, request: Request) -> Response:
        """List jobs, newest first."""
        query = read(JobQuery, request.query_params)
        before, limit = query.pop("before", None), query.pop("limit")
        wanted = JobFilter(**query | {"states": tuple(query.get("states", ()))})
        rows, edge = find_page(
            organization_id=caller_of(request).organization_id,
            wanted=wanted,
            before=before,
            limit=limit,
        )
        cursor = None if edge is None else public_id("job", edge)
        return Response({"items": JobSummary(rows, many=True).data, "nextCursor": cursor})

    @extend_schema(
        request=CreateJob,
        responses={
            200: OpenApiResponse(JobAnswer, "The dedupe key has this job already."),
            202: OpenApiResponse(JobAnswer, "The job is stored and will be run."),
        },
        examples=[examples.CREATE, examples.CREATE_ONCE, examples.ACCEPTED],
    )
    def post(self, request: Request) -> Response:
        """Create a job of a kind that is offered to clients."""
        body = read(CreateJob, request.data)
        caller = caller_of(request)
        job, is_new = enqueue_for_client(
            handler=_offered(body["kind"], caller),
            payload=body["payload"],
            organization_id=caller.organization_id,
            dedupe_key=body.get("dedupe_key"),
        )
        return _answer(job, 202 if is_new else 200)


class JobDetail(APIView):
    """One job of the caller's organization."""

    scopes = {"GET": "jobs:read", "DELETE": "jobs:write"}
    refusals = {"GET": (JobNotFound,), "DELETE": (JobNotFound, JobAlreadyFinished)}

    @extend_schema(
        parameters=[
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="An ETag."),
            ETAG,
        ],
        responses={200: JobAnswer, 304: OpenApiResponse(None, "Nothing has changed.")},
        examples=[examples.SUCCEEDED, examples.RETRYING],
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Show a job with its attempts, progress and result."""
        caller = caller_of(request)
        job = get_job(organization_id=caller.organization_id, job_id=parse_job_id(job_id))
        tag = etag_of(job, settings.VERSION)
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if _is_known(request, tag):
            return Response(status=304, headers=headers)
        return Response(JobAnswer(job).data, headers=headers)

    @extend_schema(
        responses={
            200: OpenApiResponse(JobAnswer, "It is cancelled."),
            202: OpenApiResponse(
                JobAnswer,
                "It is running and was asked to stop: within about a second it is `cancelled`,"
                " or has succeeded first.",
            ),
        },
        examples=[examples.CANCELLED, examples.STOPPING],
    )
    def delete(self, request: Request, job_id: str) -> Response:
        """Cancel a job: 200 when it is cancelled, 202 when its worker was asked to stop."""
        caller = caller_of(request)
        job = cancel_job(
            job_id=parse_job_id(job_id), organization_id=caller.organization_id, actor=caller.actor
        )
        return _answer(job, 202 if job.state == JobState.RUNNING else 200)


class JobKinds(APIView):
    """What may be created."""

    scopes = {"GET": "jobs:read"}

    @extend_schema(responses=KindPage, examples=[examples.KINDS])
    def get(self, request: Request) -> Response:
        """List the kinds offered to clients, with the JSON Schema of each payload."""
        return Response({"items": KindAnswer(offered_handlers(), many=True).data})


def _offered(kind: str, caller: Caller) -> Handler:
    """Return the handler of a kind that clients may create and this one has the scope for.

    Raises: UnknownKind, PermissionDenied.
    """
    offered = {handler.kind: handler for handler in offered_handlers()}
    if kind not in offered:
        raise UnknownKind(f"The kind {kind!r} is not offered.", data={"kinds": sorted(offered)})
    if offered[kind].scope not in caller.scopes:
        raise PermissionDenied
    return offered[kind]


def _is_known(request: Request, tag: str) -> bool:
    """Tell whether the caller has seen this state of things (RFC 9110, weak comparison)."""
    sent = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in sent or tag.removeprefix("W/") in {each.removeprefix("W/") for each in sent}


def _answer(job: Job, status: int) -> Response:
    location = f"/v1/jobs/{public_id('job', job.id)}"
    return Response(JobAnswer(job).data, status=status, headers={"Location": location})
