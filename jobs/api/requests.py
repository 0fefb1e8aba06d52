"""Reading requests: who calls, and with what."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Protocol, cast

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.request import Request

from jobs.errors import JobNotFound
from jobs.ids import MalformedId, parse_public_id


class Caller(Protocol):
    """What the edge knows about who is calling."""

    organization_id: uuid.UUID
    scopes: frozenset[str]
    actor: str


def caller_of(request: Request) -> Caller:
    """Return who is calling; the permissions have let them in."""
    return cast(Caller, request.auth)


def read(serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """Return validated data. Raises: rest_framework's ValidationError."""
    reader = serializer(data=data)
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


def parse_job_id(text: str) -> uuid.UUID:
    """Return the id in a path. Raises: JobNotFound for what is not one."""
    try:
        return parse_public_id("job", text)
    except MalformedId:
        raise JobNotFound(f"There is no job {text[:50]}.") from None


class TextField(serializers.CharField):
    """A JSON string; a number is not one."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is not a string. Raises: ValidationError."""
        if not isinstance(data, str):
            raise serializers.ValidationError("Must be a string.")
        return super().to_internal_value(data)


class NumberField(serializers.FloatField):
    """A JSON number; a string or a boolean is none."""

    def to_internal_value(self, data: Any) -> float:
        """Refuse what is not a number. Raises: ValidationError."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise serializers.ValidationError("Must be a number.")
        try:
            return super().to_internal_value(data)
        except OverflowError:
            raise serializers.ValidationError("Is too large.") from None


class FlagField(serializers.BooleanField):
    """A JSON boolean; a text or a number is none."""

    def to_internal_value(self, data: Any) -> bool:
        """Refuse what is not a boolean. Raises: ValidationError."""
        if not isinstance(data, bool):
            raise serializers.ValidationError("Must be true or false.")
        return data


class SeveralField(serializers.ListField):
    """A query parameter with several values: repeated, or separated by commas."""

    def to_internal_value(self, data: Any) -> list[Any]:
        """Split at commas, then validate each."""
        return super().to_internal_value([part for text in data for part in text.split(",")])


def empty_parameters(data: QueryDict) -> dict[str, list[str]]:
    """Refuse query parameters without a value, which REST framework takes for ones left out."""
    return {name: ["Must not be empty."] for name in data if "" in data.getlist(name)}


class StrictSerializer(serializers.Serializer[Any]):
    """Accepts nothing unknown (E-08)."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse fields that do not exist. Raises: ValidationError."""
        if isinstance(data, Mapping):
            problems = {str(name): ["Unknown field."] for name in data if name not in self.fields}
            if isinstance(data, QueryDict):
                problems |= empty_parameters(data)
            if problems:
                raise serializers.ValidationError(problems)
        return super().to_internal_value(data)
