"""The credit routes: translate, decide nothing."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from credits.api import examples
from credits.api.renderers import CsvRenderer, JsonLinesRenderer
from credits.api.serializers import (
    AccountAnswer,
    AccountQuery,
    CommitAnswer,
    CommitBody,
    EntryAnswer,
    EntryQuery,
    ReleaseAnswer,
    ReleaseBody,
    ReserveAnswer,
    ReserveBody,
    StatementQuery,
)
from credits.errors import (
    AccountNotFound,
    CreditAccountFrozen,
    InsufficientCredits,
    ReferenceReused,
    ReservationAlreadyCommitted,
    ReservationAlreadyReleased,
    ReservationExpired,
    ReservationNotFound,
    ReservationSubjectMismatch,
)
from credits.selectors import (
    csv_blocks,
    get_balance_at,
    get_funds,
    json_blocks,
    list_entries,
)
from credits.services import commit_reservation, release_reservation, reserve_credits
from flagship.api.authentication import caller_of
from flagship.api.pagination import CursorPage
from flagship.api.schema import page_of
from flagship.api.serializers import read_body, read_query
from flagship.errors import IdempotencyKeyRequired, IdempotencyKeyReused
from flagship.selectors.caller import idempotency_key_of


class ReserveView(APIView):
    """Hold credits before a build starts."""

    scopes = {"POST": "credits:write"}
    refusals = {"POST": (InsufficientCredits, AccountNotFound)}
    # The body may carry the key instead of the header, as the seed has it; the edge reads both.
    key_in_body = True

    @extend_schema(request=ReserveBody, responses={201: ReserveAnswer})
    def post(self, request: Request) -> Response:
        """Reserve credits for a build; they expire after 30 minutes."""
        caller = caller_of(request)
        body, key = read_body(ReserveBody, request), idempotency_key_of(request._request)
        if key is None:
            raise IdempotencyKeyRequired
        try:
            reserved = reserve_credits(
                organization_id=caller.organization_id,
                amount_credits=body["estimated_credits"],
                subject_type="build",
                subject_id=body["build_id"],
                user_id=body["user_id"],
                reference=f"key:{key}",
                actor=caller.actor,
            )
        except ReferenceReused as error:
            raise IdempotencyKeyReused from error
        return Response(ReserveAnswer(reserved).data, status=201)


class CommitView(APIView):
    """Charge a build."""

    scopes = {"POST": "credits:write"}
    refusals = {
        "POST": (
            ReservationNotFound,
            ReservationSubjectMismatch,
            InsufficientCredits,
            ReservationExpired,
            ReservationAlreadyCommitted,
            ReservationAlreadyReleased,
            CreditAccountFrozen,
        )
    }

    @extend_schema(request=CommitBody, responses=CommitAnswer)
    def post(self, request: Request) -> Response:
        """Charge what a build used and give back the rest of its reservation."""
        caller = caller_of(request)
        body = read_body(CommitBody, request)
        committed = commit_reservation(
            reservation_id=body["reservation_id"],
            organization_id=caller.organization_id,
            actual_credits=body["actual_credits"],
            subject_id=body.get("build_id"),
            actor=caller.actor,
        )
        return Response(CommitAnswer(committed).data)


class ReleaseView(APIView):
    """Give credits back."""

    scopes = {"POST": "credits:write"}
    refusals = {"POST": (ReservationNotFound, ReservationExpired, ReservationAlreadyCommitted)}

    @extend_schema(request=ReleaseBody, responses=ReleaseAnswer)
    def post(self, request: Request) -> Response:
        """Give back the whole reservation of a build that failed or was cancelled."""
        caller = caller_of(request)
        body = read_body(ReleaseBody, request)
        released = release_reservation(
            reservation_id=body["reservation_id"],
            organization_id=caller.organization_id,
            reason=body["reason"],
            actor=caller.actor,
        )
        return Response(ReleaseAnswer(released).data)


class AccountView(APIView):
    """What the organization has."""

    scopes = {"GET": "credits:read"}
    refusals = {"GET": (AccountNotFound,)}

    @extend_schema(parameters=[AccountQuery], responses=AccountAnswer)
    def get(self, request: Request) -> Response:
        """Return balance, reserved and available credits, now or at a time."""
        organization_id = caller_of(request).organization_id
        at = read_query(AccountQuery, request).get("at")
        if at is None:
            return Response(AccountAnswer(get_funds(organization_id=organization_id)).data)
        return Response(AccountAnswer(get_balance_at(organization_id=organization_id, at=at)).data)


class EntryListView(APIView):
    """The organization's ledger."""

    scopes = {"GET": "credits:read"}
    refusals = {"GET": (AccountNotFound,)}

    @extend_schema(parameters=[EntryQuery], responses=page_of(EntryAnswer))
    def get(self, request: Request) -> Response:
        """List ledger entries, newest first."""
        found = list_entries(
            organization_id=caller_of(request).organization_id, **read_query(EntryQuery, request)
        )
        page = CursorPage()
        rows = page.paginate_queryset(found, request, self)
        return page.get_paginated_response(list(EntryAnswer(rows, many=True).data))


class StatementCsvView(APIView):
    """The organization's whole ledger, for a spreadsheet."""

    scopes = {"GET": "credits:read"}
    refusals = {"GET": (AccountNotFound,)}
    renderer_classes = [CsvRenderer]

    @extend_schema(
        parameters=[StatementQuery],
        responses={
            (200, "text/csv"): OpenApiResponse(
                OpenApiTypes.STR, "One row an entry.", examples=[examples.STATEMENT_CSV]
            )
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream every entry as CSV, oldest first."""
        query = read_query(StatementQuery, request)
        blocks = csv_blocks(organization_id=caller_of(request).organization_id, **query)
        return StreamingHttpResponse(blocks, content_type="text/csv; charset=utf-8")


class StatementJsonLinesView(APIView):
    """The organization's whole ledger, for a program."""

    scopes = {"GET": "credits:read"}
    refusals = {"GET": (AccountNotFound,)}
    renderer_classes = [JsonLinesRenderer]

    @extend_schema(
        parameters=[StatementQuery],
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                OpenApiTypes.STR, "One object an entry.", examples=[examples.STATEMENT_LINES]
            )
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream every entry as JSON, one object a line, oldest first."""
        query = read_query(StatementQuery, request)
        blocks = json_blocks(organization_id=caller_of(request).organization_id, **query)
        return StreamingHttpResponse(blocks, content_type="application/x-ndjson")
