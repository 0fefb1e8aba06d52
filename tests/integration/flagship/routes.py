"""Routes for tests of the edge: one effect and every way to fail."""

from __future__ import annotations

import time
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api.sources import GzipParser
from config.urls import handler400, handler403, handler404, handler500
from config.urls import urlpatterns as real
from flagship.api.authentication import require_scope
from flagship.api.serializers import StrictSerializer, read_body
from flagship.models import Organization
from jobs.errors import Refusal
from tests.drills.models import Effect as Made

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


class NoLuck(Refusal):
    """A refusal of the tests."""

    code = "NO_LUCK"
    status = 409


class Effect(StrictSerializer):
    name = serializers.CharField(max_length=50)
    how = serializers.CharField(required=False)
    how_many = serializers.IntegerField(required=False, min_value=1)
    tags = serializers.ListField(child=serializers.CharField(), required=False)


def fail(how: str) -> None:
    match how:
        case "refusal":
            raise NoLuck("no luck", data={"a": 1}, headers={"Retry-After": "7"})
        case "crash":
            raise RuntimeError("a secret detail")
        case "missing":
            raise Http404
        case "denied":
            raise PermissionDenied
        case "suspicious":
            raise SuspiciousOperation
        case "constraint":
            Made.objects.create(key="x", attempt=-1)
        case "nul":
            Organization.objects.filter(name="\x00").exists()
        case "slow":
            time.sleep(3)


class Effects(APIView):
    scopes = dict.fromkeys(("POST", "PUT", "PATCH"), "builds:write")

    def post(self, request: Request, **_: str) -> Response:
        body = read_body(Effect, request)
        made = Made.objects.create(key=body["name"], attempt=1)
        fail(body.get("how", ""))
        return Response(
            {"id": str(made.id), "made": time.time()}, status=201, headers={"Location": "/x"}
        )

    put = patch = post


class Upload(APIView):
    scopes = {"POST": "builds:write"}
    body_limit_bytes = 4 * 1024 * 1024
    parser_classes = [GzipParser]

    def post(self, request: Request) -> Response:
        size = 0
        body: Any = request.data
        while chunk := body.read(65536):
            size += len(chunk)
        return Response({"size": size})


class Closed(APIView):
    scopes: dict[str, str] = {}

    def get(self, request: Request) -> Response:
        return Response({})


def plain(request: HttpRequest) -> HttpResponse:
    require_scope(request, "builds:read")
    fail(request.GET.get("fail", ""))
    return HttpResponse("ok")


def stream(request: HttpRequest) -> Any:
    return StreamingHttpResponse([b"a", b"b"], content_type="text/event-stream")


async def stream_async(request: HttpRequest) -> Any:
    async def parts() -> Any:
        yield b"a"
        yield b"b"

    return StreamingHttpResponse(parts(), content_type="text/event-stream")


def late(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO late_violation VALUES (1)")
    return HttpResponse(status=201)


urlpatterns = [
    path("v1/test/effects", Effects.as_view()),
    path("v1/test/effects/<str:name>", Effects.as_view()),
    path("v1/test/uploads", Upload.as_view()),
    path("v1/builds/test", Effects.as_view()),
    path("v1/test/closed", Closed.as_view()),
    path("v1/test/plain", plain),
    path("v1/test/stream", stream),
    path("v1/test/stream-async", stream_async),
    path("v1/test/late", late),
    *real,
]
