"""Serializers that accept nothing unknown and speak camelCase."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.fields import SkipField
from rest_framework.request import Request

from jobs.api.requests import empty_parameters

AnyField = serializers.Field[Any, Any, Any, Any]

_JSON_TYPES: tuple[tuple[type[AnyField], tuple[type, ...], str], ...] = (
    (serializers.BooleanField, (bool,), "a boolean"),
    (serializers.IntegerField, (int,), "an integer"),
    (serializers.FloatField, (int, float), "a number"),
    (serializers.CharField, (str,), "a string"),
    (serializers.UUIDField, (str,), "a string"),
    (serializers.ChoiceField, (str, int), "a string"),
    (serializers.DateTimeField, (str,), "a string"),
    (serializers.DateField, (str,), "a string"),
    (serializers.ListField, (list,), "a list"),
    (serializers.DictField, (dict,), "an object"),
)


@cache
def camel(name: str) -> str:
    """Return the wire name of a snake_case field."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


class StrictSerializer(serializers.Serializer[Any]):
    """Base of every serializer here (E-08).

    Fields are declared in snake_case and named in camelCase on the wire; `validated_data` is
    snake_case again. Unknown fields are refused, and so are values of another JSON type than the
    field's ("5" is no integer, 5 is no string). Write whole-object checks in `validate`.
    `example` is shown in the documentation.
    """

    example: ClassVar[Any] = None

    def get_fields(self) -> dict[str, AnyField]:
        """Return the fields under their wire names."""
        fields: dict[str, AnyField] = {}
        for name, field in super().get_fields().items():
            wire = camel(name)
            if isinstance(field, serializers.SerializerMethodField):
                field.method_name = field.method_name or f"get_{name}"
            elif wire != name and field.source is None:
                field.source = name
            fields[wire] = field
        return fields

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown fields and wrong JSON types, all at once, then validate."""
        if isinstance(data, Mapping):
            problems = self._problems(data)
            if problems:
                raise serializers.ValidationError(problems)
        return super().to_internal_value(data)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Write a row: what its own columns say is taken from them, without the general way there.

        A list of fifty rows of twenty fields asks a thousand times.
        """
        columns = getattr(instance, "__dict__", {})
        written: dict[str, Any] = {}
        for name, source, field in _shown_by(type(self)):
            if source in columns:
                value = columns[source]
            else:
                try:
                    value = field.get_attribute(instance)
                except SkipField:
                    continue
            written[name] = None if value is None else field.to_representation(value)
        return written

    def _problems(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        fields: Mapping[str, AnyField] = self.fields
        writable = {name for name, field in fields.items() if not field.read_only}
        problems = {str(name): ["Unknown field."] for name in data if name not in writable}
        if isinstance(data, QueryDict):
            return problems | empty_parameters(data)
        for name in writable & set(data):
            told = wrong_type(fields[name], data[name])
            if told:
                problems[name] = [told]
        return problems


@cache
def _shown_by(serializer: type[StrictSerializer]) -> list[tuple[str, Any, AnyField]]:
    """Return each field that is shown, with its name on the wire and where it reads.

    Those of one instance serve all: to write, a field needs nothing of the request, and making
    those of a build anew takes longer than writing ten builds.
    """
    fields = serializer().fields.items()
    return [(name, field.source, field) for name, field in fields if not field.write_only]


def wrong_type(field: AnyField, value: Any) -> str | None:
    """Say which JSON type a field wants where the value has another; None where it fits."""
    items: Any = value
    if value is None:
        return None  # Whether null is allowed is the field's own rule.
    for kind, types, told in _JSON_TYPES:
        if isinstance(field, kind):
            is_bool = isinstance(value, bool) and bool not in types
            if is_bool or not isinstance(value, types):
                return f"Must be {told}."
            if isinstance(field, serializers.ListField) and field.child is not None:
                found = (wrong_type(field.child, item) for item in items)
                return next((f"Each item: {text}" for text in found if text), None)
            return None
    return None


def read_body(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """Return the validated body.

    Raises: rest_framework's ValidationError (answered as VALIDATION_FAILED).
    """
    reader = serializer(data=request.data)
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


class PageQuery(StrictSerializer):
    """Base of the query parameters of a list: those of paging, which `CursorPage` reads."""

    cursor = serializers.CharField(required=False, help_text="`nextCursor` of the page before.")
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=100)


def read_query(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """Return the validated query parameters; those of paging are checked and left out.

    Raises: rest_framework's ValidationError (answered as VALIDATION_FAILED).
    """
    reader = serializer(data=request.query_params)
    reader.is_valid(raise_exception=True)
    given = dict(reader.validated_data)
    return {name: value for name, value in given.items() if name not in {"cursor", "limit"}}
