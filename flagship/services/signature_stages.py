"""Move a client from stage to stage, forward by evidence, back at a click (E-05)."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now

from flagship.errors.signatures import SigningClientNotFound, StageNotOffered
from flagship.models import SignatureRollout
from flagship.selectors.signatures import evidence_of
from flagship.services.audit import record
from flagship.signatures import Stage
from flagship.signatures.evidence import Evidence, next_steps, stage_before


def advance_stage(*, api_key_id: uuid.UUID, to: Stage, actor: str, now: datetime) -> Stage:
    """Move a client to the next stage, if its last day shows that it may go there.

    Raises: SigningClientNotFound; StageNotOffered with what is missing.
    """
    with transaction.atomic():
        rollout = _locked(api_key_id)
        stage, evidence = Stage(rollout.stage), evidence_of([api_key_id])[api_key_id]
        steps = next_steps(stage, stage_since=rollout.stage_since, evidence=evidence, now=now)
        step = next((step for step in steps if step.to is to), None)
        if step is None or not step.is_offered:
            missing = list(step.missing) if step else [f"it does not follow {stage}"]
            raise StageNotOffered(data={"stage": to.value, "missing": missing})
        _move(rollout, to, came_from=stage)
        _record("signature_stage.advanced", rollout, stage, to, actor, evidence)
    return to


def step_back(*, api_key_id: uuid.UUID, actor: str) -> Stage:
    """Move a client one step back, to where it came from; nothing is asked first.

    The week after which a client is pinned to v2 begins anew.

    Raises: SigningClientNotFound; StageNotOffered from the first stage.
    """
    with transaction.atomic():
        rollout = _locked(api_key_id)
        stage = Stage(rollout.stage)
        to = stage_before(stage, Stage(rollout.came_from) if rollout.came_from else None)
        if to is None:
            raise StageNotOffered(data={"stage": stage.value, "missing": ["it is the first stage"]})
        _move(rollout, to, came_from=stage_before(to, None))
        evidence = evidence_of([api_key_id])[api_key_id]
        _record("signature_stage.stepped_back", rollout, stage, to, actor, evidence)
    return to


def _locked(api_key_id: uuid.UUID) -> SignatureRollout:
    rows = SignatureRollout.objects.select_related("api_key")
    found = rows.select_for_update(no_key=True, of=("self",)).filter(api_key_id=api_key_id).first()
    if found is None:
        raise SigningClientNotFound
    return found


def _move(rollout: SignatureRollout, to: Stage, *, came_from: Stage | None) -> None:
    """Write the stage; the row is locked."""
    SignatureRollout.objects.filter(api_key_id=rollout.api_key_id).update(
        stage=to, came_from=came_from, stage_since=Now(), v2_since=None
    )


def _record(
    action: str,
    rollout: SignatureRollout,
    stage: Stage,
    to: Stage,
    actor: str,
    evidence: Evidence,
) -> None:
    record(
        action=action,
        subject_type="api_key",
        subject_id=str(rollout.api_key_id),
        organization_id=rollout.api_key.organization_id,
        actor=actor,
        data={
            "from": stage.value,
            "to": to.value,
            "lastDay": {outcome.value: count for outcome, count in evidence.counts.items()},
        },
    )
