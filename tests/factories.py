"""One factory per model: the smallest valid row."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from builds.models import Build, Project, Source
from builds.services.projects import create_project
from builds.services.submit import BuildOrder, create_build
from credits.services import Reserved, grant_credits, open_account, reserve_credits
from flagship.services.organizations import create_organization

# --- credits ----------------------------------------------------------------------------------


def make_account(*, credits: int = 1000) -> uuid.UUID:
    """An organization whose account holds `credits`; returns the organization's id."""
    organization = create_organization(name=f"Test {uuid.uuid4().hex[:8]}")
    open_account(organization_id=organization.id)
    if credits:
        grant_credits(
            organization_id=organization.id,
            amount_credits=credits,
            reason="test",
            actor="test",
            reference=uuid.uuid4().hex,
        )
    return organization.id


def make_hold(organization_id: uuid.UUID, amount: int = 150, **options: Any) -> Reserved:
    """A live reservation of an organization."""
    return reserve_credits(
        organization_id=organization_id,
        amount_credits=amount,
        subject_type="build",
        subject_id=options.pop("subject_id", "build_123"),
        actor="test",
        **options,
    )


def make_overdue_hold(organization_id: uuid.UUID, amount: int = 150) -> Reserved:
    """A reservation past its expiry that nothing has swept yet."""
    hold = make_hold(organization_id, amount, expires_in_s=0.01)
    time.sleep(0.02)
    return hold


def make_grant(organization_id: uuid.UUID, amount: int = 100, **terms: Any) -> int:
    """Another grant to an organization; returns the number of its entry.

    `lapses_in_s` seconds from now, where given, it lapses.
    """
    lapses_in_s = terms.pop("lapses_in_s", None)
    if lapses_in_s is not None:
        terms["lapses_at"] = datetime.now(UTC) + timedelta(seconds=lapses_in_s)
    return grant_credits(
        organization_id=organization_id,
        amount_credits=amount,
        reason="test",
        actor="test",
        reference=terms.pop("reference", uuid.uuid4().hex),
        **terms,
    ).entry_seq


def make_overdue_grant(organization_id: uuid.UUID, amount: int = 100, **terms: Any) -> int:
    """A grant past its time that nothing has swept yet."""
    seq = make_grant(organization_id, amount, lapses_in_s=0.3, **terms)
    time.sleep(0.31)
    return seq


# --- builds -----------------------------------------------------------------------------------


def make_project(organization_id: uuid.UUID, **options: Any) -> Project:
    """A project that publishes static files."""
    name = options.pop("name", f"Site {uuid.uuid4().hex[:8]}")
    return create_project(organization_id=organization_id, name=name, actor="test", **options)


def make_source(project: Project, **columns: Any) -> Source:
    """A source row; its archive is not in the storage."""
    return Source.objects.create(
        organization_id=project.organization_id,
        project=project,
        sha256=columns.pop("sha256", uuid.uuid4().hex * 2),
        kind="tar.gz",
        size_bytes=1000,
        unpacked_bytes=5000,
        file_count=3,
        **columns,
    )


def make_build(project: Project, **options: Any) -> Build:
    """A queued build with its job, its hold and its audit event."""
    source = options.pop("source", None) or make_source(project)
    return create_build(
        organization_id=project.organization_id,
        order=BuildOrder(project_id=project.id, source_id=source.id),
        actor="test",
        **options,
    )
