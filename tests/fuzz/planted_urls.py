"""One route that fails at some inputs, and one that answers what nobody wrote down."""

from __future__ import annotations

import struct

from django.contrib import admin
from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.urls import handler400, handler403, handler404, handler500
from flagship.api.documents import SchemaView
from flagship.api.health import healthz
from flagship.api.serializers import StrictSerializer, read_body, read_query

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


class Share(StrictSerializer):
    """What is divided, and among how many."""

    example = {"total": 12, "among": 3}

    total = serializers.IntegerField()
    among = serializers.IntegerField()


class Shares(StrictSerializer):
    """What each gets."""

    example = {"each": 4}

    each = serializers.IntegerField()


class Divide(APIView):
    """Fails at numbers that do not fit in 16 bits, which it forgot."""

    scopes = {"POST": "jobs:write"}

    @extend_schema(request=Share, responses=Shares)
    def post(self, request: Request) -> Response:
        """Divide."""
        body = read_body(Share, request)
        total, among = struct.unpack(">HH", struct.pack(">HH", body["total"], body["among"]))
        return Response({"each": total // (among or 1)})


class Word(StrictSerializer):
    """What to look for."""

    word = serializers.CharField(required=False)


class Teapot(APIView):
    """Answers 203 to every question, which nobody documented."""

    scopes = {"GET": "jobs:read"}

    @extend_schema(parameters=[Word], responses=Shares)
    def get(self, request: Request) -> Response | HttpResponse:
        """Brew."""
        return HttpResponse(status=203) if read_query(Word, request) else Response({"each": 1})


urlpatterns = [
    # The middleware asks where the console is.
    path("admin/", admin.site.urls),
    path("healthz", healthz),
    path("v1/schema", SchemaView.as_view(), name="schema"),
    path("v1/divide", Divide.as_view()),
    path("v1/teapot", Teapot.as_view()),
]
