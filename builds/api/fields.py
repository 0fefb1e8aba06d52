"""Ids as clients see them."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from rest_framework import serializers

from jobs.errors import Refusal
from jobs.ids import MalformedId, id_pattern, parse_public_id, public_id


class PublicIdField(serializers.CharField):
    """A prefixed id on the wire, a UUID inside."""

    def __init__(self, prefix: str, **options: Any) -> None:
        self.prefix = prefix
        shape = f"`{prefix}_` and 32 hexadecimal digits."
        super().__init__(help_text=options.pop("help_text", shape), **options)

    def to_internal_value(self, data: Any) -> Any:
        """Read an id. Raises: ValidationError for anything that is not one."""
        try:
            return parse_public_id(self.prefix, super().to_internal_value(data))
        except MalformedId as error:
            raise serializers.ValidationError(f"Must be an id: {error}.") from error

    def to_representation(self, value: Any) -> str:
        """Write an id."""
        return public_id(self.prefix, value)


class PublicIdShape(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """Tells the documentation what such an id looks like."""

    target_class = PublicIdField

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "string", "pattern": id_pattern(self.target.prefix)}


class IdListField(serializers.CharField):
    """A query parameter of ids with commas between them; UUIDs inside."""

    def __init__(self, prefix: str, *, max_ids: int, **options: Any) -> None:
        self.prefix, self.max_ids = prefix, max_ids
        super().__init__(help_text=f"1 to {max_ids} ids with commas between them.", **options)

    def to_internal_value(self, data: Any) -> Any:
        """Read the ids. Raises: ValidationError for too many and for anything that is not one."""
        texts = super().to_internal_value(data).split(",")
        if len(texts) > self.max_ids:
            raise serializers.ValidationError(f"Must be at most {self.max_ids} ids.")
        try:
            return [parse_public_id(self.prefix, text.strip()) for text in texts]
        except MalformedId as error:
            raise serializers.ValidationError(f"Each must be an id: {error}.") from error


def parse_path_id(prefix: str, text: str, missing: type[Refusal]) -> uuid.UUID:
    """Read an id in a path; one that cannot exist does not: `missing` is raised."""
    try:
        return parse_public_id(prefix, text)
    except MalformedId as error:
        raise missing from error
