"""Nothing unknown accepted, camelCase outside, snake_case inside (E-08)."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework import serializers

from flagship.api.serializers import StrictSerializer, camel


class Inner(StrictSerializer):
    """Nested."""

    deep_name = serializers.CharField()


class Outer(StrictSerializer):
    """Everything a body may hold."""

    project_id = serializers.CharField()
    max_active = serializers.IntegerField(required=False)
    is_public = serializers.BooleanField(required=False)
    rate = serializers.FloatField(required=False)
    options = serializers.DictField(required=False)
    items_in = Inner(many=True, required=False)
    explicit = serializers.CharField(source="other_name", required=False)
    made_at = serializers.DateTimeField(read_only=True)


GOOD: dict[str, Any] = {
    "projectId": "p",
    "maxActive": 1,
    "isPublic": False,
    "rate": 1,
    "options": {},
    "itemsIn": [{"deepName": "d"}],
    "explicit": "e",
}


def test_body__in_camel_case__is_read_in_snake_case() -> None:
    reader = Outer(data=GOOD)

    assert reader.is_valid(), reader.errors
    assert reader.validated_data == {
        "project_id": "p",
        "max_active": 1,
        "is_public": False,
        "rate": 1.0,
        "options": {},
        "items_in": [{"deep_name": "d"}],
        "other_name": "e",
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"project_id": "p"}, "project_id"),
        ({"madeAt": "2026-01-01T00:00:00Z"}, "madeAt"),
        ({"projectId": 5}, "projectId"),
        ({"projectId": ["p"]}, "projectId"),
        ({"projectId": None}, "projectId"),
        ({"maxActive": "1"}, "maxActive"),
        ({"maxActive": True}, "maxActive"),
        ({"maxActive": 1.5}, "maxActive"),
        ({"isPublic": "true"}, "isPublic"),
        ({"isPublic": 1}, "isPublic"),
        ({"rate": "1.0"}, "rate"),
        ({"rate": True}, "rate"),
        ({"options": []}, "options"),
        ({"itemsIn": {}}, "itemsIn"),
        ({"itemsIn": [{"deepName": "d", "x": 1}]}, "itemsIn"),
        ({"itemsIn": [{"deepName": 1}]}, "itemsIn"),
    ],
)
def test_body__with_one_wrong_field__names_it(change: dict[str, Any], field: str) -> None:
    reader = Outer(data={**GOOD, **change})

    assert not reader.is_valid()
    assert set(reader.errors) == {field}


@pytest.mark.parametrize("body", [[], "x", 5, None, [GOOD]])
def test_body__that_is_no_object__is_refused(body: Any) -> None:
    assert not Outer(data=body).is_valid()


def test_answer__of_snake_case_attributes__is_camel_case() -> None:
    row = {"project_id": "p", "max_active": 2, "other_name": "e", "made_at": None}

    assert dict(Outer(row).data) == {
        "projectId": "p",
        "maxActive": 2,
        "explicit": "e",
        "madeAt": None,
    }


def test_camel__of_names__is_stable() -> None:
    names = ["a", "a_b", "next_cursor", "sha_256", "alreadyCamel"]
    assert [camel(name) for name in names] == ["a", "aB", "nextCursor", "sha256", "alreadyCamel"]
