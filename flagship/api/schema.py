"""OpenAPI: what every operation has in common is said once (E-09)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from flagship.api.serializers import StrictSerializer, camel
from flagship.errors.idempotency import (
    IdempotencyKeyInUse,
    IdempotencyKeyMalformed,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
)
from flagship.services.idempotency import is_key_required
from jobs.errors import Refusal

MUTATING = ("POST", "PUT", "PATCH", "DELETE")
SUCCESSES = [200, 201, 202, 204]
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
    "Idempotency-Replayed": "`true` on an answer given before, byte for byte; else left out.",
    "Idempotency-Original-Request-Id": "On such an answer: x-request-id of the one that did it.",
    "Idempotency-Age": "On such an answer: seconds since then.",
}


class ErrorEnvelope(StrictSerializer):
    """The one shape of every refusal."""

    error = serializers.CharField(help_text="Stable code; GET /v1/errors lists all of them.")
    message = serializers.CharField(help_text="For people; may change.")
    data = serializers.DictField(help_text="Depends on the code.")  # type: ignore[assignment]  # a field, not Serializer.data
    request_id = serializers.CharField()
    correlation_id = serializers.CharField()
    timestamp = serializers.DateTimeField()


class FlagShipAutoSchema(AutoSchema):
    """Adds to every operation its errors, its headers and the Idempotency-Key."""

    def get_operation_id(self) -> str:
        """Name an operation by method and path, which nothing else has."""
        words = [part for part in re.split(r"[^A-Za-z0-9]+", self.path) if part]
        named = [part for part in words if part not in {"v1", "api"}] or ["root"]
        return camel("_".join([self.method.lower(), *named]))

    def get_tags(self) -> list[str]:
        """Group operations by the noun behind the version."""
        nouns = [part for part in self.path.split("/") if part not in {"", "v1", "api"}]
        return [nouns[0] if nouns else "root"]

    def get_override_parameters(self) -> list[Any]:
        """Document the key of mutating operations and the headers of every response."""
        parameters = [
            OpenApiParameter(name, str, OpenApiParameter.HEADER, description=text, response=True)
            for name, text in HEADERS.items()
        ]
        if self.method in MUTATING:
            parameters.append(self._idempotency_key())
            parameters += [
                OpenApiParameter(
                    name, str, OpenApiParameter.HEADER, description=text, response=SUCCESSES
                )
                for name, text in KEY_HEADERS.items()
            ]
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
            required=is_key_required(path=self.path, method=self.method),
            description="16 to 255 printable ASCII characters, bare or in double quotes. The same"
            " request under the same key is answered from the first answer for 24 hours.",
        )

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        for status, text in self._errors().items():
            if direction == "response" and status not in bodies:
                response = OpenApiResponse(
                    ErrorEnvelope, description=text, examples=self._examples_of(status)
                )
                bodies[status] = self._get_response_for_code(  # type: ignore[no-untyped-call]
                    response, status, ["application/json"], direction
                )
        return dict(sorted(bodies.items()))

    def _errors(self) -> dict[str, str]:
        """Return the refusals that apply to this operation, by status."""
        errors = {"400": "The request cannot be understood.", "500": "The server failed."}
        errors |= {"406": "No such format.", "503": "The database cannot be reached."}
        if self.get_auth() != []:
            errors |= {"401": "No valid API key.", "403": "The key lacks the scope."}
            errors |= {"429": "Too many requests."}
        if "{" in self.path:
            errors |= {"404": "No such thing, or not the caller's."}
        if self.method in MUTATING:
            errors |= {"409": "In conflict with the current state, or busy."}
            errors |= {"411": "No Content-Length.", "413": "The body is too large."}
            errors |= {"415": "The body's media type is not read here."}
        if self.method in (*MUTATING, "GET"):
            errors |= {"422": "Fields or parameters are not valid."}
        for refusal in self._refusals():
            status, told = str(refusal.status), f"`{refusal.code}`: {refusal.title}"
            errors[status] = f"{errors[status]} {told}" if status in errors else told
        return errors

    def _refusals(self) -> tuple[type[Refusal], ...]:
        """Return the refusals that the view says are its method's own, and those of its key."""
        declared: dict[str, tuple[type[Refusal], ...]] = getattr(self.view, "refusals", {})
        own = declared.get(self.method, ())
        if self.method not in MUTATING:
            return own
        is_required = is_key_required(path=self.path, method=self.method)
        missing = (IdempotencyKeyRequired,) if is_required else ()
        return (*own, *missing, IdempotencyKeyMalformed, IdempotencyKeyInUse, IdempotencyKeyReused)

    def _examples_of(self, status: str) -> list[OpenApiExample]:
        """Show how each of them looks."""
        return [
            OpenApiExample(
                refusal.code,
                value={
                    "error": refusal.code,
                    "message": refusal.title,
                    "data": refusal.example,
                    "requestId": "req_0193a1b2c3d474e5a60718293a4b5c6d",
                    "correlationId": "nextjs_1735689600000_a1b2c3d4",
                    "timestamp": "2026-01-15T10:30:00.000Z",
                },
                response_only=True,
                status_codes=[status],
            )
            for refusal in self._refusals()
            if str(refusal.status) == status
        ]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """`Authorization: Bearer fs_...`."""

    target_class = "flagship.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Describe the scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "fs_<prefix>_<secret>"}


@cache
def page_of(serializer: type[StrictSerializer]) -> type[StrictSerializer]:
    """Return the serializer of a page of these, for `extend_schema(responses=...)`."""
    name = serializer.__name__.removesuffix("Serializer")
    return type(
        f"{name}Page",
        (StrictSerializer,),
        {
            "items": serializer(many=True),
            "next_cursor": serializers.CharField(allow_null=True),
            "__doc__": f"One page of {name}, newest first.",
        },
    )
