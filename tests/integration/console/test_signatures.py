"""Signing clients at the console: scoreboard, stages, keys shown once (E-05, D-06)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from flagship.models import ApiKey, AuditEvent, SignatureRollout, SignatureTally, SigningKey
from flagship.services.api_keys import issue_api_key
from flagship.services.organizations import create_organization
from flagship.services.signing_keys import issue_signing_key
from flagship.signatures import Stage
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.test_answers import said

KEYS = "/admin/flagship/apikey/"
CLIENTS = "/admin/flagship/signaturerollout/"
SIGNING = "/admin/flagship/signingkey/"
PERMISSIONS = (
    *("flagship.view_apikey", "flagship.view_signaturerollout", "flagship.view_signingkey"),
    *("flagship.issue_signingkey", "flagship.revoke_signingkey"),
    "flagship.move_signaturerollout",
)


@pytest.fixture
def api_key(db: None) -> ApiKey:
    organization = create_organization(name="Acme")
    issued, _ = issue_api_key(organization_id=organization.id, name="ci", scopes=["builds:read"])
    return issued


@pytest.fixture
def keeper(db: None) -> Client:
    """May do everything with signatures."""
    return browser_of(make_operator(*PERMISSIONS))


@pytest.fixture
def signing(api_key: ApiKey) -> SigningKey:
    """The key of a client that has been seen signing well for two days."""
    key, _ = issue_signing_key(
        api_key_id=api_key.id, overlap=timedelta(0), actor="test", now=datetime.now(UTC)
    )
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for outcome, count in (("both", 900), ("v1_only", 100), ("replay", 0)):
        SignatureTally.objects.create(
            api_key_id=api_key.id, hour=hour, outcome=outcome, count=count
        )
    SignatureRollout.objects.update(stage_since=datetime.now(UTC) - timedelta(days=2))
    return key


def test_first_key__of_a_client__is_issued_from_its_page_and_shown_once(
    keeper: Client, api_key: ApiKey
) -> None:
    # E-05, P29
    assert "sign-form" in keeper.get(f"{KEYS}{api_key.pk}/change/").content.decode()
    answer = keeper.post(f"{KEYS}{api_key.pk}/sign/")

    shown = re.search(r'id="secret">([0-9a-f]{64})<', answer.content.decode())
    assert shown and "no-store" in answer.headers["Cache-Control"]
    assert SignatureRollout.objects.get().stage == Stage.OBSERVE
    pages = [f"{CLIENTS}{api_key.pk}/change/", f"{KEYS}{api_key.pk}/change/", SIGNING, CLIENTS]
    later = "".join(keeper.get(page).content.decode() for page in pages)
    stored = "".join(str(row.get_decoded()) for row in Session.objects.all())
    stored += "".join(str(event.data) for event in AuditEvent.objects.all())
    assert shown[1] not in later + stored
    assert "sign-form" not in later


def test_scoreboard__of_clients__says_shares_and_the_next_stage(
    keeper: Client, signing: SigningKey
) -> None:
    # E-05
    page = keeper.get(CLIENTS).content.decode()

    assert "1,000" in page and "90.0 %" in page and "10.0 %" in page
    assert "either" in page


def test_stage__with_the_evidence__goes_on_at_a_click_and_back_at_another(
    keeper: Client, signing: SigningKey
) -> None:
    # E-05, D-06
    address = f"{CLIENTS}{signing.api_key_id}/"
    assert 'id="advance-either"' in keeper.get(f"{address}change/").content.decode()

    keeper.post(f"{address}advance/", {"to": "either"})
    assert SignatureRollout.objects.get().stage == Stage.EITHER
    page = keeper.get(f"{address}change/").content.decode()
    assert 'id="missing-both"' in page and 'id="back-form"' in page
    keeper.post(f"{address}back/")

    assert SignatureRollout.objects.get().stage == Stage.OBSERVE
    actions = AuditEvent.objects.filter(action__startswith="signature_stage.")
    assert {event.actor for event in actions} == {"user:ana"} and actions.count() == 2


@pytest.mark.parametrize("to", ["both", "v2_only", "observe", "off", ""])
def test_stage__that_is_not_offered__is_refused_aloud(
    keeper: Client, signing: SigningKey, to: str
) -> None:
    # E-05
    answer = keeper.post(f"{CLIENTS}{signing.api_key_id}/advance/", {"to": to})

    assert "Nothing done" in said(answer)
    assert SignatureRollout.objects.get().stage == Stage.OBSERVE


def test_key__rotated_and_revoked__at_the_console(keeper: Client, signing: SigningKey) -> None:
    # E-05, D-06
    client = f"{CLIENTS}{signing.api_key_id}/"
    keeper.post(f"{client}rotate/", {"overlap_days": "9"})
    assert SigningKey.objects.count() == 1
    assert keeper.post(f"{client}rotate/", {"overlap_days": "3"}).status_code == 200
    signing.refresh_from_db()
    assert SigningKey.objects.count() == 2 and signing.expires_at is not None

    keeper.post(f"{SIGNING}{signing.pk}/revoke/", {"reason": ""})
    signing.refresh_from_db()
    assert signing.revoked_at is None
    keeper.post(f"{SIGNING}{signing.pk}/revoke/", {"reason": "leaked"})
    second = keeper.post(f"{SIGNING}{signing.pk}/revoke/", {"reason": "again"})
    signing.refresh_from_db()
    assert signing.revoked_at is not None and "Nothing done" in said(second)
    assert AuditEvent.objects.get(action="signing_key.revoked").data["reason"] == "leaked"


def test_actions__by_a_viewer__are_403_and_not_offered(signing: SigningKey) -> None:
    # D-06
    viewer = browser_of(make_operator(*PERMISSIONS[:3], name="vic"))
    pages = [f"{CLIENTS}{signing.api_key_id}/change/", f"{SIGNING}{signing.pk}/change/"]
    shown = "".join(viewer.get(page).content.decode() for page in pages)
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"{KEYS}{signing.api_key_id}/sign/", {}),
        (f"{CLIENTS}{signing.api_key_id}/advance/", {"to": "either"}),
        (f"{CLIENTS}{signing.api_key_id}/back/", {}),
        (f"{CLIENTS}{signing.api_key_id}/rotate/", {"overlap_days": "1"}),
        (f"{SIGNING}{signing.pk}/revoke/", {"reason": "because"}),
    ]

    assert [viewer.post(address, data).status_code for address, data in asked] == [403] * 5
    for form in ("advance-either", "back-form", "rotate-form", "revoke-form"):
        assert f'id="{form}"' not in shown
    assert SigningKey.objects.filter(revoked_at__isnull=True).count() == 1
    assert SignatureRollout.objects.get().stage == Stage.OBSERVE
