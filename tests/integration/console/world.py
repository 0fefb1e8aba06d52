"""One row of everything an operator may look at, made the way the system makes it."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models.functions import Now

from builds.models import Build, BuildLogLine, CreditDay, Fetch, Project, Source
from builds.services.fetches import start_fetch
from builds.services.projects import create_project
from builds.services.submit import BuildOrder, create_build
from credits.models import Package
from credits.services import grant_credits, open_account
from credits.services.ledger import call_ledger
from flagship.models import ApiKey, Organization, SignatureRollout, SignatureTally
from flagship.services.api_keys import issue_api_key
from flagship.services.organizations import create_organization
from flagship.services.signing_keys import issue_signing_key
from jobs.models import (
    FailedJob,
    FailureGroup,
    QueuePause,
    Redrive,
    Schedule,
    TelemetryEvent,
    WorkerHeartbeat,
)
from jobs.queues import BUILDS, CONTENT
from jobs.services.cleanup import clean_dead_letters
from jobs.services.failure_groups import acknowledge_group
from tests.integration.console.rows import make_letter

LOG = (
    ("system", "builder mkdocs 1.6.1, source src.tar.gz (14 files)"),
    ("stdout", "INFO    -  Cleaning site directory"),
    ("stdout", "INFO    -  Building documentation to directory: /work/out"),
    (
        "stderr",
        "WARNING -  A link in 'index.md' points to 'missing.md', which does not exist <here>",
    ),
    ("stdout", "INFO    -  Documentation built in 0.84 seconds"),
)


@dataclass(frozen=True, slots=True)
class World:
    """What was made."""

    organization: Organization
    project: Project
    build: Build
    letter: FailedJob


def make_world(name: str = "Acme Bakery") -> World:
    """Make an organization with credits, a key, a project, a running build and a dead letter."""
    organization = create_organization(name=name, actor="user:ana")
    issued, _ = issue_api_key(organization_id=organization.id, name="ci", scopes=["builds:read"])
    _signatures(issued)
    open_account(organization_id=organization.id)
    grant_credits(
        organization_id=organization.id,
        amount_credits=1_000,
        reason="trial",
        actor="user:ana",
        reference="trial",
    )
    project = create_project(organization_id=organization.id, name="Docs", actor="test")
    build = _running_build(project)
    _fetches(project, build.source_id)
    letter = make_letter(
        kind="builds.run_build",
        queue=BUILDS,
        organization_id=organization.id,
        payload={"build_id": str(build.id), "api_token": "t0p"},
    )
    Schedule.objects.get_or_create(
        name="credits.expire-reservations",
        defaults={
            "kind": "credits.expire_reservations",
            "every_s": 10.0,
            "next_run_at": datetime.now(UTC) + timedelta(seconds=7),
        },
    )
    _proposal(letter)
    _deleted_letter()
    _proofs(name)
    _work(organization)
    Package.objects.get_or_create(
        code="starter", defaults={"name": "Starter", "price": 900, "credits": 500}
    )
    return World(organization, project, build, letter)


def _proposal(letter: FailedJob) -> None:
    """Let somebody have asked for a redrive that another person has to approve."""
    Redrive.objects.create(
        state="proposed",
        action="requeue",
        wanted={"state": "open", "kind": letter.kind},
        bound_died_at=letter.died_at,
        bound_id=letter.pk,
        size=4_711,
        rate_per_s=10.0,
        ramp_s=30.0,
        canary_size=3,
        canary_wait_s=120.0,
        returns_max=0,
        reason="the disk has room again",
        requested_by="user:bob",
        is_approval_needed=True,
    )


def _work(organization: Organization) -> None:
    """Let a worker be there, a queue be held, something have been told and added up."""
    now = datetime.now(UTC)
    WorkerHeartbeat.objects.get_or_create(
        name="web-1:4711:3fa2b1",
        defaults={
            "host": "web-1",
            "pid": 4711,
            "role": "worker",
            "slots": 100,
            "busy": 3,
            "jobs_done": 18_204,
            "memory_bytes": 61_000_000,
            "version": "0.1.0",
            "started_at": now - timedelta(days=2),
            "beat_at": now - timedelta(seconds=11),
        },
    )
    QueuePause.objects.get_or_create(
        queue=CONTENT,
        defaults={
            "paused_at": now - timedelta(minutes=12),
            "paused_by": "user:ana",
            "reason": "the provider of pictures answers 503 <to all>",
        },
    )
    TelemetryEvent.objects.create(
        key=uuid.uuid4(),
        name="worker.stale",
        at=now - timedelta(minutes=3),
        organization_id=organization.id,
        source="web-1:4712:0c11d8",
        data={"worker": "web-1:4713:77aa01", "role": "worker", "busy": 2},
    )
    CreditDay.objects.create(
        organization=organization, day=now.date(), operation="commit", entries=12, credits=340
    )


def _deleted_letter() -> None:
    """Let a cleanup have deleted a letter of long ago."""
    # A group of a low key: the list leaves out those without an open letter.
    cause = uuid.UUID(int=FailureGroup.objects.count()).hex
    letter = make_letter(died_ago=timedelta(days=40), fingerprint=cause)
    acknowledge_group(fingerprint=letter.fingerprint, actor="user:ana", note="a drill")
    cleaned = clean_dead_letters(older_than=timedelta(days=30), actor="user:ana", reason="a drill")
    assert sum(cleaned) == 1


def _signatures(api_key: ApiKey) -> None:
    """Let the client sign, and have been seen: mostly with both, some with v1 alone."""
    now = datetime.now(UTC)
    issue_signing_key(api_key_id=api_key.id, overlap=timedelta(0), actor="user:ana", now=now)
    hour = now.replace(minute=0, second=0, microsecond=0)
    for outcome, count in (("v1_only", 214), ("both", 18_233), ("replay", 3), ("forged", 12)):
        SignatureTally.objects.create(
            api_key_id=api_key.id, hour=hour, outcome=outcome, count=count
        )
    SignatureRollout.objects.filter(api_key=api_key).update(
        stage="either", came_from="observe", stage_since=now - timedelta(days=9, hours=4)
    )


def _proofs(name: str) -> None:
    """Let the reconciler have written a statement, and frozen an account of somebody else."""
    other = create_organization(name=f"{name} of old", actor="user:ana")
    account = open_account(organization_id=other.id)
    finding = {"rule": "account.balance", "subject": "", "expected": "5", "found": "7"}
    call_ledger("credits_freeze_account", account.id, json.dumps([finding]))
    call_ledger("credits_write_statement", date.today() - timedelta(days=2), 0)


def _fetches(project: Project, source_id: uuid.UUID) -> None:
    """Let one fetch have failed, and the next have become the project's source."""
    ends: tuple[dict[str, Any], ...] = (
        {
            "state": "failed",
            "error_code": "REPOSITORY_REFUSED",
            "error_message": "The repository has no branch and no tag `release-2`.",
        },
        {
            "state": "ready",
            "commit": "8f5c9a0e6b7d4c3f2a1908b7c6d5e4f3a2b1c0d9",
            "source_id": source_id,
            "left_out": ["docs/latest (symbolic link)", "vendor/theme (submodule)"],
        },
    )
    for ref, end in zip(("release-2", ""), ends, strict=True):
        fetch = start_fetch(
            organization_id=project.organization_id,
            project_id=project.id,
            url="https://git.example.org/acme-bakery/recipes-and-opening-hours.git",
            ref=ref,
            actor="api_key:test",
        )
        Fetch.objects.filter(id=fetch.id).update(finished_at=Now(), **end)


def _running_build(project: Project) -> Build:
    """Submit a build and let a worker begin it."""
    source = Source.objects.create(
        organization_id=project.organization_id,
        project=project,
        sha256=hashlib.sha256(project.id.bytes).hexdigest(),
        kind="tar.gz",
        size_bytes=48_213,
        unpacked_bytes=190_411,
        file_count=14,
    )
    order = BuildOrder(project_id=project.id, source_id=source.id)
    build = create_build(organization_id=project.organization_id, order=order, actor="api_key:test")
    Build.objects.filter(id=build.id).update(
        state="building", fence=1, started_at=Now(), moved_by="worker web-1:4711"
    )
    for seq, (stream, text) in enumerate(LOG, start=1):
        BuildLogLine.objects.create(build_id=build.id, seq=seq, stream=stream, text=text)
    return Build.objects.get(id=build.id)
