"""The API about itself: errors, schema, documentation. All public."""

from __future__ import annotations

import json
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from flagship.api import examples
from flagship.api.serializers import StrictSerializer
from flagship.errors import NotFound
from flagship.errors.catalogue import catalogue


class CatalogueEntry(StrictSerializer):
    """One code of the catalogue."""

    example = examples.CATALOGUE_ENTRY

    code = serializers.CharField()
    status = serializers.IntegerField()
    title = serializers.CharField()
    next_step = serializers.CharField()
    example_data = serializers.DictField(help_text="What `data` may look like; {} where it is.")


class CatalogueAnswer(StrictSerializer):
    """The whole catalogue."""

    example = examples.CATALOGUE

    items = CatalogueEntry(many=True)


class ErrorCatalogue(APIView):
    """Every code a refusal may carry."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(responses=CatalogueAnswer)
    def get(self, request: Request) -> Response:
        """List error codes with their status, meaning and next step."""
        return Response({"items": catalogue()})


class ErrorCode(APIView):
    """One of them: where `type` of problem details leads."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(responses=CatalogueEntry)
    def get(self, request: Request, code: str) -> Response:
        """Show what an error code means and what to do about it."""
        found = next((entry for entry in catalogue() if entry["code"] == code), None)
        if found is None:
            raise NotFound
        return Response(found)


class SchemaView(APIView):
    """The OpenAPI document of this version."""

    authentication_classes = []
    permission_classes = []
    schema = None

    def get(self, request: Request) -> HttpResponse:
        """Return OpenAPI 3 as JSON."""
        return HttpResponse(schema_json(), content_type="application/vnd.oai.openapi+json")


@require_safe
def documentation(request: HttpRequest) -> HttpResponse:
    """Show the document as a page: every script, style and picture of it is served from here.

    Nothing in it is inline, so that it works under a strict Content-Security-Policy.
    """
    return render(request, "flagship/docs.html")


def schema_json() -> bytes:
    """Return the document; it changes only with the code, so it is generated once a process."""
    return _generate(settings.ROOT_URLCONF)


@cache
def _generate(urlconf: str) -> bytes:
    schema = SchemaGenerator(urlconf=urlconf).get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return json.dumps(schema, default=str).encode()
