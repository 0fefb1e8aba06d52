"""POST and GET /api/jobs, GET and DELETE /api/jobs/{id} (W-15)."""

from __future__ import annotations

import uuid
from typing import Any, Protocol, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api.serializers import CreateJob, JobAnswer, JobPage, JobQuery, JobSummary
from jobs.errors import JobNotFound, UnknownKind
from jobs.ids import MalformedId, parse_public_id, public_id
from jobs.models import Job
from jobs.registry import Handler, all_handlers
from jobs.selectors.jobs import get_job, list_jobs
from jobs.services.cancel import cancel_job
from jobs.services.enqueue import enqueue_for_client
from jobs.states import JobState


class Caller(Protocol):
    """What the edge knows about who is calling."""

    organization_id: uuid.UUID
    scopes: frozenset[str]
    actor: str


class JobList(APIView):
    """The jobs of the caller's organization."""

    scopes = {"GET": "jobs:read", "POST": "jobs:write"}

    @extend_schema(parameters=[JobQuery], responses=JobPage)
    def get(self, request: Request) -> Response:
        """List jobs, newest first."""
        query = _validated(JobQuery(data=request.query_params))
        cursor, limit = query.pop("cursor", None), query.pop("limit")
        found = list_jobs(organization_id=_caller(request).organization_id, **query)
        return Response(_page(found, cursor, limit))

    @extend_schema(request=CreateJob, responses={202: JobAnswer})
    def post(self, request: Request) -> Response:
        """Create a job of a kind that is offered to clients."""
        body = _validated(CreateJob(data=request.data))
        caller = _caller(request)
        job = enqueue_for_client(
            handler=_offered(body["kind"], caller),
            payload=body["payload"],
            organization_id=caller.organization_id,
            dedupe_key=body.get("dedupe_key"),
        )
        return _answer(job, 202)


class JobDetail(APIView):
    """One job of the caller's organization."""

    scopes = {"GET": "jobs:read", "DELETE": "jobs:write"}

    @extend_schema(responses=JobAnswer)
    def get(self, request: Request, job_id: str) -> Response:
        """Show a job with its attempts, progress and result."""
        caller = _caller(request)
        job = get_job(organization_id=caller.organization_id, job_id=_parse(job_id))
        return Response(JobAnswer(job).data)

    @extend_schema(responses={200: JobAnswer, 202: JobAnswer})
    def delete(self, request: Request, job_id: str) -> Response:
        """Cancel a job: 200 when it is cancelled, 202 when its worker was asked to stop."""
        caller = _caller(request)
        job = cancel_job(
            job_id=_parse(job_id), organization_id=caller.organization_id, actor=caller.actor
        )
        return _answer(job, 202 if job.state == JobState.RUNNING else 200)


def _caller(request: Request) -> Caller:
    return cast(Caller, request.auth)


def _validated(serializer: Any) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _offered(kind: str, caller: Caller) -> Handler:
    """Return the handler of a kind that clients may create and this one has the scope for.

    Raises: UnknownKind, PermissionDenied.
    """
    offered = {handler.kind: handler for handler in all_handlers() if handler.scope}
    if kind not in offered:
        raise UnknownKind(f"The kind {kind!r} is not offered.", data={"kinds": sorted(offered)})
    if offered[kind].scope not in caller.scopes:
        raise PermissionDenied
    return offered[kind]


def _page(found: QuerySet[Job], cursor: str | None, limit: int) -> dict[str, Any]:
    """Cut a page; the cursor is the id of the last job on the page before."""
    if cursor is not None:
        try:
            found = found.filter(id__lt=parse_public_id("job", cursor))
        except MalformedId as error:
            raise ValidationError({"cursor": [str(error)]}) from None
    rows = list(found[: limit + 1])
    following = public_id("job", rows[limit - 1].id) if len(rows) > limit else None
    return {"items": JobSummary(rows[:limit], many=True).data, "nextCursor": following}


def _parse(text: str) -> uuid.UUID:
    try:
        return parse_public_id("job", text)
    except MalformedId:
        raise JobNotFound(f"There is no job {text[:50]}.") from None


def _answer(job: Job, status: int) -> Response:
    location = f"/api/jobs/{public_id('job', job.id)}"
    return Response(JobAnswer(job).data, status=status, headers={"Location": location})
