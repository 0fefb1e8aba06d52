"""OpenAPI: what every operation has in common is said once (E-09)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.utils.http import http_date
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from flagship.api.refusals import (
    RETRY_STATUSES,
    Refusals,
    describe,
    openapi_example,
    refusals_of,
)
from flagship.api.serializers import StrictSerializer, camel
from flagship.errors.envelope import ENVELOPE, PROBLEM
from flagship.selectors.routes import MUTATING, OLD_PREFIX
from flagship.services.idempotency import is_key_required
from jobs.api.requests import StrictSerializer as StrictRequest
from jobs.errors import Refusal
from jobs.ids import id_pattern

SUCCESSES: Final = [200, 201, 202, 204]
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
ID_PREFIXES: Final = {
    "build_id": "build",
    "fetch_id": "fetch",
    "job_id": "job",
    "letter_id": "dead",
    "project_id": "proj",
}
REQUIRED_ON: Final = {"Retry-After": RETRY_STATUSES, "WWW-Authenticate": (401,)}
HEADERS = {
    "x-request-id": "Id of this request: the caller's own where it was well formed.",
    "x-correlation-id": "Id that follows the work through every job it starts.",
    "x-worker-version": "Version of the server.",
    "x-processing-time-ms": "Milliseconds spent on the request.",
    "RateLimit-Policy": 'The quotas it counts for: `"key";q=1200;w=60` is 1,200 in 60 seconds.',
    "RateLimit": 'What is left of them: `"key";r=12;t=3`, and no more for 3 seconds.',
}
KEY_HEADERS = {
    "Idempotency-Expires": "Until when the answer is kept under its key; with a key only.",
    "Idempotency-Replayed": "On an answer given before, byte for byte; else left out.",
    "Idempotency-Original-Request-Id": "On such an answer: x-request-id of the one that did it.",
    "Idempotency-Age": "On such an answer: seconds since then.",
}

ALWAYS: Final = {"x-request-id", "x-correlation-id", "x-worker-version", "x-processing-time-ms"}


class ErrorEnvelope(StrictSerializer):
    """How everything is refused, unless problem details are asked for."""

    error = serializers.CharField(help_text="Stable code; GET /v1/errors lists all of them.")
    message = serializers.CharField(help_text="For people; may change.")
    data = serializers.DictField(help_text="Depends on the code.")  # type: ignore[assignment]  # a field, not Serializer.data
    request_id = serializers.CharField()
    correlation_id = serializers.CharField()
    timestamp = serializers.DateTimeField()


class ProblemDetails(ErrorEnvelope):
    """The same for `Accept: application/problem+json` (RFC 9457)."""

    type = serializers.URLField(help_text="The code's entry in the catalogue.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What `message` says.")
    instance = serializers.CharField()
    next_step = serializers.CharField()


class FlagShipAutoSchema(AutoSchema):
    """Adds to every operation its errors, its headers and the Idempotency-Key."""

    def get_operation_id(self) -> str:
        """Name an operation by method and path, which nothing else has."""
        words = [part for part in re.split(r"[^A-Za-z0-9]+", self.path) if part]
        named = [part for part in words if part not in {"v1", "api"}] or ["root"]
        return camel("_".join([self.method.lower(), *(["old"] * self.is_deprecated()), *named]))

    def get_summary(self) -> str:
        """Return what an operation does, in the words before its description goes on."""
        return re.split(r"[.:;]", self.get_description())[0]

    def get_tags(self) -> list[str]:
        """Group operations by the noun behind the version, those of old paths apart."""
        if self.is_deprecated():
            return ["old paths"]
        nouns = [part for part in self.path.split("/") if part not in {"", "v1"}]
        return [nouns[0] if nouns else "root"]

    def is_deprecated(self) -> bool:
        """Tell whether the path has a successor."""
        return self.path.startswith(OLD_PREFIX)

    def get_override_parameters(self) -> list[Any]:
        """Document the key of mutating operations and the headers of every response."""
        parameters = [
            _header(name, text, is_on_all=name in ALWAYS) for name, text in HEADERS.items()
        ]
        if self.is_deprecated():
            parameters += _old_path_headers()
        if self.method in MUTATING:
            parameters.append(self._idempotency_key())
            parameters += _key_headers()
        if self.get_auth() != []:
            told = "Whom the client speaks for, any text: limited apart from its other users."
            parameters.append(
                OpenApiParameter("X-User-Id", str, OpenApiParameter.HEADER, description=told)
            )
        return parameters

    def _idempotency_key(self) -> OpenApiParameter:
        return OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "minLength": 16, "maxLength": 257},
            OpenApiParameter.HEADER,
            required=self._is_key_required() and not getattr(self.view, "key_in_body", False),
            description="16 to 255 printable ASCII characters, bare or in double quotes. The same"
            " request under the same key is answered from the first answer for 24 hours.",
        )

    def _is_key_required(self) -> bool:
        return self.method in MUTATING and is_key_required(path=self.path, method=self.method)

    def _resolve_path_parameters(self, variables: Any) -> Any:
        """Say what ids look like."""
        parameters = super()._resolve_path_parameters(variables)  # type: ignore[no-untyped-call]
        for parameter in parameters:
            prefix = ID_PREFIXES.get(parameter["name"])
            if prefix:
                parameter["schema"] = {"type": "string", "pattern": id_pattern(prefix)}
        return parameters

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        """Say that nothing unknown is accepted, and nothing unknown answered (E-08)."""
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if isinstance(serializer, StrictSerializer | StrictRequest):
            schema["additionalProperties"] = False
        return schema

    def _get_examples(
        self,
        serializer: Any,
        direction: Any,
        media_type: str,
        status_code: str | None = None,
        extras: Any = None,
    ) -> Any:
        """Show the `example` that a serializer's class states, where the view has no other."""
        found = super()._get_examples(serializer, direction, media_type, status_code, extras)  # type: ignore[no-untyped-call]
        example = getattr(serializer, "example", None)
        if found or example is None or media_type != ENVELOPE:
            return found
        return {"Example": {"value": example}}

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        if direction == "response":
            for status, refusals in self._refusals().items():
                if status not in bodies:
                    bodies[status] = self._refusal(status, refusals)
        return dict(sorted(bodies.items()))

    def _refusal(self, status: str, refusals: list[type[Refusal]]) -> dict[str, Any]:
        """Describe the refusals of one status, in both shapes."""
        response = OpenApiResponse(
            ErrorEnvelope,
            description=describe(refusals),
            examples=[openapi_example(refusal) for refusal in refusals],
        )
        body: dict[str, Any] = self._get_response_for_code(response, status, [ENVELOPE])  # type: ignore[no-untyped-call]
        problem = self.resolve_serializer(ProblemDetails(), "response").ref
        body["content"][PROBLEM] = {"schema": problem}
        body["x-error-codes"] = [refusal.code for refusal in refusals]
        return body

    def _refusals(self) -> dict[str, list[type[Refusal]]]:
        """Return the refusals that apply to this operation, by status."""
        declared: dict[str, Refusals] = getattr(self.view, "refusals", {})
        return refusals_of(
            method=self.method,
            path=self.path,
            is_public=self.get_auth() == [],
            is_key_required=self._is_key_required(),
            own=declared.get(self.method, ()),
            pages=any(each["name"] == "cursor" for each in self._get_parameters()),
        )

    def _get_response_headers_for_code(self, status_code: str, direction: Any = "response") -> Any:
        headers = super()._get_response_headers_for_code(status_code, direction)
        for name, statuses in REQUIRED_ON.items():
            if int(status_code) in statuses:
                headers[name] = {"schema": {"type": "string"}, "required": True}
        return headers


def _header(name: str, text: str, *, is_on_all: bool) -> OpenApiParameter:
    """Return a header of an operation's responses: of every one of them, or of some."""
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, description=text, required=is_on_all, response=True
    )


def _key_headers() -> list[OpenApiParameter]:
    shapes: dict[str, Any] = {"Idempotency-Replayed": {"type": "string", "enum": ["true"]}}
    return [
        OpenApiParameter(
            name,
            shapes.get(name, str),
            OpenApiParameter.HEADER,
            description=text,
            response=SUCCESSES,
        )
        for name, text in KEY_HEADERS.items()
    ]


def _old_path_headers() -> list[OpenApiParameter]:
    deprecated_at = int(settings.OLD_PATHS_DEPRECATED_AT.timestamp())
    sunset_at = http_date(settings.OLD_PATHS_SUNSET_AT.timestamp())
    return [
        _header(
            "Deprecation",
            f"`@{deprecated_at}`: not the path to use since then (RFC 9745).",
            is_on_all=True,
        ),
        _header("Sunset", f"{sunset_at}: it may be gone after that (RFC 8594).", is_on_all=True),
        _header("Link", "The path to use, as `successor-version`.", is_on_all=True),
    ]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """`Authorization: Bearer fs_...`."""

    target_class = "flagship.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Describe the scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "fs_<prefix>_<secret>",
            "description": "A client with a signing key signs its requests beside the API key, or"
            " instead of it, as its stage says: X-Key-Id, X-Timestamp, X-Nonce, X-Content-SHA256"
            " and X-Signature (docs/signatures.md).",
        }


def old_paths_last(endpoint: tuple[str, str, str, Any]) -> tuple[bool, str, int]:
    """Return by what operations are sorted in the document."""
    path, _, method, _ = endpoint
    return path.startswith(OLD_PREFIX), path, METHODS.index(method)


@cache
def page_of(serializer: type[StrictSerializer]) -> type[StrictSerializer]:
    """Return the serializer of a page of these, for `extend_schema(responses=...)`."""
    name = serializer.__name__.removesuffix("Serializer")
    items = [serializer.example]
    return type(
        f"{name}Page",
        (StrictSerializer,),
        {
            "items": serializer(many=True),
            "next_cursor": serializers.CharField(allow_null=True),
            "example": {"items": items, "nextCursor": None},
            "__doc__": f"One page of {name}, newest first.",
        },
    )
