"""GET /v1/dead-letters and its summary; requeue, discard, clean up (D-05; seed 001, 1.6).

A key sees the dead letters of its own organization. What belongs to none is the operators', at the
console.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api import letter_examples as examples
from jobs.api.letter_serializers import (
    CleanupAnswer,
    CleanupOrder,
    DiscardOrder,
    LetterAnswer,
    LetterPageAnswer,
    LetterQuery,
    SummaryAnswer,
)
from jobs.api.requests import caller_of, read
from jobs.errors import (
    DeadLetterNotFound,
    DeadLetterNotOpen,
    InvalidPayload,
    ReasonRequired,
    UnknownKind,
)
from jobs.models import FailedJob
from jobs.selectors.dead_letters import get_letter, sum_up
from jobs.selectors.letter_pages import read_page, walk_to
from jobs.selectors.letters import LetterFilter
from jobs.services.dead_letters import discard, requeue
from jobs.services.old_letters import discard_old


class DeadLetterList(APIView):
    """The dead letters of the caller's organization."""

    scopes = {"GET": "dead-letters:read"}

    @extend_schema(parameters=[LetterQuery], responses=LetterPageAnswer, examples=[examples.PAGE])
    def get(self, request: Request) -> Response:
        """List dead letters, newest first; the open ones unless others are asked for."""
        query = read(LetterQuery, request.query_params)
        before, limit = query.pop("before", None), query.pop("limit")
        wanted = LetterFilter(organization_id=caller_of(request).organization_id, **query)
        page = read_page(walk_to(wanted), limit=limit, before=before)
        cursor = None if page.older is None else str(page.older)
        return Response({"items": LetterAnswer(page.letters, many=True).data, "nextCursor": cursor})


class DeadLetterSummary(APIView):
    """What is open, at a glance."""

    scopes = {"GET": "dead-letters:read"}

    @extend_schema(responses=SummaryAnswer, examples=[examples.SUMMARY])
    def get(self, request: Request) -> Response:
        """Count the open dead letters by queue and by cause."""
        summary = sum_up(organization_id=caller_of(request).organization_id)
        return Response(SummaryAnswer(summary).data)


class DeadLetterRequeue(APIView):
    """Back to work."""

    scopes = {"POST": "dead-letters:write"}
    refusals = {"POST": (DeadLetterNotFound, DeadLetterNotOpen, InvalidPayload, UnknownKind)}

    @extend_schema(request=None, responses=LetterAnswer, examples=[examples.REQUEUED])
    def post(self, request: Request, letter_id: str) -> Response:
        """Send the job back to work with a fresh retry budget; a letter is requeued once.

        Kinds may refuse by a rule of their own: a build that has ended is submitted anew.
        """
        letter = _letter(request, letter_id)
        requeue(failed_job_id=letter.pk, actor=caller_of(request).actor)
        return Response(LetterAnswer(_letter(request, letter_id)).data)


class DeadLetterDiscard(APIView):
    """Given up."""

    scopes = {"POST": "dead-letters:write"}
    refusals = {"POST": (DeadLetterNotFound, DeadLetterNotOpen, ReasonRequired)}

    @extend_schema(
        request=DiscardOrder,
        responses=LetterAnswer,
        examples=[examples.DISCARD, examples.DISCARDED],
    )
    def post(self, request: Request, letter_id: str) -> Response:
        """Close the letter for a reason that is kept with it; its job stays dead."""
        order = read(DiscardOrder, request.data)
        letter = _letter(request, letter_id)
        closed = discard(failed_job_id=letter.pk, actor=caller_of(request).actor, **order)
        return Response(LetterAnswer(closed).data)


class DeadLetterCleanup(APIView):
    """Old ones given up."""

    scopes = {"POST": "dead-letters:write"}
    refusals = {"POST": (ReasonRequired,)}

    @extend_schema(
        request=CleanupOrder,
        responses=CleanupAnswer,
        examples=[examples.CLEANUP, examples.CLEANED],
    )
    def post(self, request: Request) -> Response:
        """Discard open letters that died long ago, up to 200 a call, the oldest first."""
        order: dict[str, Any] = read(CleanupOrder, request.data)
        caller = caller_of(request)
        older_than = timedelta(days=order.pop("older_than_days"))
        done = discard_old(
            organization_id=caller.organization_id,
            older_than=older_than,
            actor=caller.actor,
            **order,
        )
        return Response(CleanupAnswer(done).data)


def _letter(request: Request, text: str) -> FailedJob:
    return get_letter(organization_id=caller_of(request).organization_id, text=text)
