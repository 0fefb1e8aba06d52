"""Make an organization that can work at once."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction

from credits.selectors import get_funds
from credits.services.accounts import grant_credits, open_account
from flagship.models import Organization
from flagship.services.api_keys import SCOPES, issue_api_key
from flagship.services.audit import record
from flagship.services.organizations import create_organization

ACTOR = "system:bootstrap"
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What was made. The secrets are shown this once; `admin_password` is None for a later run."""

    organization_id: uuid.UUID
    api_key: str
    admin_password: str | None
    available_credits: int


def bootstrap(*, name: str, amount_credits: int) -> Bootstrapped:
    """Make an organization holding credits, an API key with every scope and, once, an admin.

    Run again with the name of an organization that exists, it issues another key and changes
    nothing else: no second admin, no second grant.

    Units: whole credits; 0 grants none.
    Raises: ValueError for a name or an amount out of range; nothing is made then.
    """
    with transaction.atomic():
        organization = Organization.objects.filter(name=name.strip()).order_by("id").first()
        if organization is None:
            organization = _create_organization(name, amount_credits)
        _, secret = issue_api_key(
            organization_id=organization.id, name="bootstrap", scopes=SCOPES, actor=ACTOR
        )
        open_account(organization_id=organization.id, actor=ACTOR)
        return Bootstrapped(
            organization_id=organization.id,
            api_key=secret,
            admin_password=_create_admin(),
            available_credits=get_funds(organization_id=organization.id).available,
        )


def _create_organization(name: str, amount_credits: int) -> Organization:
    organization = create_organization(name=name, actor=ACTOR)
    open_account(organization_id=organization.id, actor=ACTOR)
    if amount_credits:
        grant_credits(
            organization_id=organization.id,
            amount_credits=amount_credits,
            reason="initial credits",
            actor=ACTOR,
            reference="bootstrap",
        )
    return organization


def _create_admin() -> str | None:
    """Create the first superuser; return its password, None where there is one already."""
    if User.objects.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(18)
    user = User.objects.create_superuser(ADMIN, password=password)
    record(
        action="admin_user.created",
        subject_type="user",
        subject_id=str(user.pk),
        organization_id=None,
        actor=ACTOR,
        data={"username": ADMIN},
    )
    return password
