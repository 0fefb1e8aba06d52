"""The API about itself: errors, schema, documentation. All public."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from flagship.api.serializers import StrictSerializer
from flagship.errors.catalogue import catalogue


class CatalogueEntry(StrictSerializer):
    """One code of the catalogue."""

    code = serializers.CharField()
    status = serializers.IntegerField()
    title = serializers.CharField()
    next_step = serializers.CharField()


class CatalogueAnswer(StrictSerializer):
    """The whole catalogue."""

    items = CatalogueEntry(many=True)


class ErrorCatalogue(APIView):
    """Every code a refusal may carry."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(responses=CatalogueAnswer)
    def get(self, request: Request) -> Response:
        """List error codes with their status, meaning and next step."""
        return Response({"items": catalogue()})


class SchemaView(APIView):
    """The OpenAPI document of this version."""

    authentication_classes = []
    permission_classes = []
    schema = None

    def get(self, request: Request) -> HttpResponse:
        """Return OpenAPI 3 as JSON."""
        return HttpResponse(schema_json(), content_type="application/vnd.oai.openapi+json")


class DocumentationView(SpectacularSwaggerView):
    """Browsable documentation, served without the network and without an inline script."""

    template_name = "flagship/docs.html"
    authentication_classes = []
    permission_classes = []
    schema = None

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show the page; no window of a login elsewhere has to reach it."""
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        del response.headers["Cross-Origin-Opener-Policy"]
        return response


def schema_json() -> bytes:
    """Return the document; it changes only with the code, so it is generated once a process."""
    return _generate(settings.ROOT_URLCONF)


@cache
def _generate(urlconf: str) -> bytes:
    schema = SchemaGenerator(urlconf=urlconf).get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return json.dumps(schema, default=str).encode()
