"""Signing keys and stages as services: rotation, overlap, evidence, resealing (E-05)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from flagship.checks import check_encryption_keys
from flagship.errors import (
    ApiKeyAlreadyBlocked,
    ApiKeyNotFound,
    SigningClientNotFound,
    SigningKeyAlreadyRevoked,
    SigningKeyNotFound,
    SigningKeysInUse,
    StageNotOffered,
)
from flagship.models import AuditEvent, SignatureRollout, SignatureTally, SigningKey
from flagship.services.api_keys import block_api_key
from flagship.services.signature_stages import advance_stage, step_back
from flagship.services.signing_keys import issue_signing_key, revoke_signing_key
from flagship.signatures import Outcome, Stage
from jobs.ids import new_id
from tests.clients import ApiCaller

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
WEEK = timedelta(days=7)


def issue(caller: ApiCaller, overlap: timedelta = WEEK, now: datetime | None = None) -> SigningKey:
    key, _ = issue_signing_key(
        api_key_id=caller.api_key.id,
        overlap=overlap,
        actor="user:ana",
        now=now or datetime.now(UTC),
    )
    return key


def test_key__issued__is_shown_once_and_stored_sealed(caller: ApiCaller) -> None:
    # E-05
    key, secret = issue_signing_key(
        api_key_id=caller.api_key.id, overlap=WEEK, actor="user:ana", now=NOW
    )

    assert len(bytes.fromhex(secret)) == 32
    assert SignatureRollout.objects.get().stage == Stage.OBSERVE
    event = AuditEvent.objects.get(action="signing_key.issued")
    assert event.actor == "user:ana" and secret not in str(event.data)
    assert (key.slot, key.expires_at) == (1, None)


def test_key__rotated__ends_the_one_before_after_the_overlap(caller: ApiCaller) -> None:
    # E-05
    first = issue(caller)
    second = issue(caller, timedelta(days=2))

    first.refresh_from_db()
    assert first.expires_at and first.expires_at - datetime.now(UTC) <= timedelta(days=2)
    assert (first.slot, second.slot, second.expires_at) == (1, 2, None)
    with pytest.raises(SigningKeysInUse):
        issue(caller)
    SigningKey.objects.filter(id=first.id).update(expires_at=datetime.now(UTC))
    third = issue(caller)
    first.refresh_from_db()
    assert (third.slot, first.revoked_at is None) == (1, False)


def test_keys__three_at_once__cannot_be_stored(caller: ApiCaller) -> None:
    # E-05: by constraint.
    issue(caller)
    issue(caller)

    for slot in (0, 1, 2, 3):
        with pytest.raises(IntegrityError), transaction.atomic():
            SigningKey.objects.create(api_key=caller.api_key, slot=slot, sealed_secret=b"x")


def test_key__that_may_not_be_issued_or_revoked__changes_nothing(caller: ApiCaller) -> None:
    # E-05
    with pytest.raises(ApiKeyNotFound):
        issue_signing_key(api_key_id=new_id(), overlap=WEEK, actor="x", now=NOW)
    for overlap in (timedelta(days=8), timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="0 to 7 days"):
            issue(caller, overlap)
    key = issue(caller)
    with pytest.raises(SigningKeyNotFound):
        revoke_signing_key(signing_key_id=new_id(), actor="x", reason="x")
    revoke_signing_key(signing_key_id=key.id, actor="x", reason="x")
    with pytest.raises(SigningKeyAlreadyRevoked):
        revoke_signing_key(signing_key_id=key.id, actor="x", reason="x")
    block_api_key(api_key_id=caller.api_key.id, actor="x", reason="x")
    with pytest.raises(ApiKeyAlreadyBlocked):
        issue(caller)
    assert SigningKey.objects.count() == 1
    assert AuditEvent.objects.filter(action="signing_key.revoked").count() == 1


def see(caller: ApiCaller, **counts: int) -> None:
    """Let a client have been seen like this in the last day, at its stage for two."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    SignatureTally.objects.all().delete()
    for outcome, count in counts.items():
        SignatureTally.objects.create(
            api_key_id=caller.api_key.id, hour=hour, outcome=Outcome(outcome), count=count
        )
    SignatureRollout.objects.update(stage_since=datetime.now(UTC) - timedelta(days=2))


def advance(caller: ApiCaller, to: Stage) -> Stage:
    return advance_stage(
        api_key_id=caller.api_key.id, to=to, actor="user:ana", now=datetime.now(UTC)
    )


def test_stage__with_the_evidence__goes_forward_and_back_and_is_audited(caller: ApiCaller) -> None:
    # E-05
    issue(caller)
    see(caller, both=200)
    assert advance(caller, Stage.EITHER) is Stage.EITHER
    see(caller, v2_only=200)
    assert advance(caller, Stage.V2_ONLY) is Stage.V2_ONLY
    assert step_back(api_key_id=caller.api_key.id, actor="user:ana") is Stage.EITHER
    assert step_back(api_key_id=caller.api_key.id, actor="user:ana") is Stage.OBSERVE
    with pytest.raises(StageNotOffered):
        step_back(api_key_id=caller.api_key.id, actor="user:ana")
    see(caller, both=200)
    for to in (Stage.EITHER, Stage.BOTH, Stage.V2_ONLY):
        assert advance(caller, to) is to
        see(caller, both=200)
    assert step_back(api_key_id=caller.api_key.id, actor="user:ana") is Stage.BOTH

    moves = AuditEvent.objects.filter(action__startswith="signature_stage.").order_by("id")
    assert [(event.data["from"], event.data["to"]) for event in moves] == [
        ("observe", "either"), ("either", "v2_only"), ("v2_only", "either"),
        ("either", "observe"), ("observe", "either"), ("either", "both"), ("both", "v2_only"),
        ("v2_only", "both"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "to"),
    [
        ({}, Stage.EITHER),
        ({"both": 500, "mismatch": 1}, Stage.EITHER),
        ({"both": 500}, Stage.BOTH),
        ({"both": 500}, Stage.V2_ONLY),
        ({"both": 500}, Stage.OBSERVE),
    ],
)
def test_stage__without_the_evidence__is_not_reached(
    caller: ApiCaller, counts: dict[str, int], to: Stage
) -> None:
    # E-05
    issue(caller)
    see(caller, **counts)

    with pytest.raises(StageNotOffered) as refused:
        advance(caller, to)

    assert refused.value.data["missing"]
    assert SignatureRollout.objects.get().stage == Stage.OBSERVE
    with pytest.raises(SigningClientNotFound):
        step_back(api_key_id=new_id(), actor="x")


def test_stage__that_is_none__cannot_be_stored(caller: ApiCaller) -> None:
    # E-05: by constraint.
    issue(caller)
    for columns in ({"stage": "off"}, {"came_from": "x"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            SignatureRollout.objects.update(**columns)


def test_secrets__resealed__are_read_with_the_new_key_alone(
    caller: ApiCaller, settings: Any
) -> None:
    # E-05
    from flagship.clients.vault import CannotUnseal, unseal

    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    key, secret = issue_signing_key(api_key_id=caller.api_key.id, overlap=WEEK, actor="x", now=NOW)
    settings.ENCRYPTION_KEYS = [new]
    with pytest.raises(CannotUnseal):
        unseal(key.sealed_secret, subject=key.id)
    with pytest.raises(CommandError, match="in the list"):
        call_command("reseal_secrets")

    settings.ENCRYPTION_KEYS = [new, old]
    call_command("reseal_secrets")
    settings.ENCRYPTION_KEYS = [new]

    key.refresh_from_db()
    assert unseal(key.sealed_secret, subject=key.id).hex() == secret


@pytest.mark.parametrize(
    ("keys", "found"), [([], 0), ([Fernet.generate_key().decode()], 0), (["short"], 1), (["ä"], 1)]
)
def test_encryption_keys__that_are_none__stop_the_process(
    settings: Any, keys: list[str], found: int
) -> None:
    # E-05
    settings.ENCRYPTION_KEYS = keys

    assert [error.id for error in check_encryption_keys(None)] == ["flagship.E005"] * found


def test_sign_request__the_command__makes_the_documented_vector(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    # E-05
    import json
    from pathlib import Path

    root = Path(__file__).resolve().parents[3]
    document = json.loads((root / "docs" / "signature-vectors.json").read_text(encoding="utf-8"))
    vector = next(one for one in document["vectors"] if one["name"] == "post")["request"]
    body = tmp_path / "body"
    body.write_text(vector["body"])
    for name, value in (
        ("SIGNING_KEY_ID", document["keyId"]),
        ("SIGNING_SECRET", document["secret"]),
        ("SIGNING_TIMESTAMP", vector["timestamp"]),
        ("SIGNING_NONCE", vector["nonce"]),
    ):
        monkeypatch.setenv(name, value)

    call_command(
        *("sign_request", "POST", f"https://{vector['host']}{vector['path']}"),
        body=str(body),
        content_type=vector["contentType"],
        idempotency_key=vector["idempotencyKey"],
    )

    assert f"X-Signature: {vector['signature']}" in capsys.readouterr().out.splitlines()
    with pytest.raises(CommandError, match="cannot sign"):
        call_command("sign_request", "post", "https://example.org/a/../b")
