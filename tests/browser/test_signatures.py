"""A client begins to sign, as an operator sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from playwright.sync_api import Page

from flagship.models import SignatureRollout, SignatureTally
from flagship.services.api_keys import issue_api_key
from flagship.services.organizations import create_organization
from tests.browser.steps import log_in, told
from tests.integration.console.rows import PASSWORD


def test_client__from_its_first_key_to_the_next_stage_and_back(
    page: Page, shoot: Callable[..., None]
) -> None:
    # E-05, D-06
    organization = create_organization(name="Acme Bakery")
    api_key, _ = issue_api_key(organization_id=organization.id, name="ci", scopes=["builds:read"])
    log_in(page, User.objects.create_superuser("admin", password=PASSWORD))

    page.goto(f"/admin/flagship/apikey/{api_key.pk}/change/")
    page.click("#sign-form button")
    page.wait_for_selector("#secret")
    assert len(page.inner_text("#secret").strip()) == 64
    page.evaluate("document.getElementById('secret').textContent = '0'.repeat(64)")
    shoot(page, "signing-key-issued")
    page.click("#issued a")
    page.wait_for_selector("#missing-either")
    shoot(page, "signing-client-new")

    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for outcome, count in (("both", 18_233), ("v1_only", 214), ("forged", 12)):
        SignatureTally.objects.create(
            api_key_id=api_key.pk, hour=hour, outcome=outcome, count=count
        )
    SignatureRollout.objects.update(stage_since=datetime.now(UTC) - timedelta(days=3))
    page.goto("/admin/flagship/signaturerollout/")
    shoot(page, "signing-clients")
    page.goto(f"/admin/flagship/signaturerollout/{api_key.pk}/change/")
    page.click("#advance-either button")
    page.wait_for_selector("#back-form")
    assert "at stage either" in told(page)
    shoot(page, "signing-client-either")
    page.click("#back-form button")
    page.wait_for_selector("#missing-either")
    shoot(page, "signing-client-observe")

    assert SignatureRollout.objects.get().stage == "observe"
