"""manage.py bootstrap."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from credits.models import Account, Entry
from flagship.models import ApiKey, AuditEvent, Organization
from flagship.services.api_keys import SCOPES

pytestmark = pytest.mark.django_db


def bootstrap(*arguments: str) -> dict[str, Any]:
    output = StringIO()
    call_command("bootstrap", "--json", *arguments, stdout=output)
    printed: dict[str, Any] = json.loads(output.getvalue())
    return printed


def test_bootstrap__first_run__makes_everything_and_prints_it() -> None:
    printed = bootstrap("--organization", "Acme", "--credits", "500")

    organization = Organization.objects.get()
    assert printed == {
        "organizationId": str(organization.id),
        "apiKey": printed["apiKey"],
        "admin": {"username": "admin", "password": printed["admin"]["password"]},
        "credits": 500,
        "adminUrl": "http://127.0.0.1:8000/admin/",
    }
    assert set(ApiKey.objects.get().scopes) == set(SCOPES)
    user = authenticate(username="admin", password=printed["admin"]["password"])
    assert user is not None and user.is_superuser
    headers = {"Authorization": f"Bearer {printed['apiKey']}"}
    answer = Client().get("/v1/credits/account", headers=headers).json()
    assert answer == {"balance": 500, "reserved": 0, "available": 500}


def test_bootstrap__again__issues_another_key_and_nothing_else() -> None:
    first = bootstrap("--organization", "Acme", "--credits", "500")
    second = bootstrap("--organization", "Acme", "--credits", "700")

    assert second["organizationId"] == first["organizationId"]
    assert second["apiKey"] != first["apiKey"]
    assert (second["admin"], second["credits"]) == (None, 500)
    assert (ApiKey.objects.count(), User.objects.count()) == (2, 1)
    assert list(Entry.objects.order_by("id").values_list("kind", flat=True)) == ["open", "grant"]
    actors = set(AuditEvent.objects.values_list("actor", flat=True))
    assert actors == {"system:bootstrap"}


def test_bootstrap__another_organization__gets_its_own_without_a_second_admin() -> None:
    first = bootstrap("--organization", "Acme")
    second = bootstrap("--organization", "Bolt", "--credits", "0")

    assert second["organizationId"] != first["organizationId"]
    assert (first["credits"], second["credits"]) == (1000, 0)
    assert second["admin"] is None


@pytest.mark.parametrize(
    "arguments", [["--organization", " "], ["--organization", "Acme", "--credits", "-1"]]
)
def test_bootstrap__bad_arguments__make_nothing(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        bootstrap(*arguments)

    assert (Organization.objects.count(), Account.objects.count(), User.objects.count()) == (
        0,
        0,
        0,
    )


def test_bootstrap__for_people__prints_lines(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("bootstrap", "--organization", "Acme")

    assert "apiKey: fs_" in capsys.readouterr().out
