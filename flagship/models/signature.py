"""What a client signs with, how far it has come, and what has been seen of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from flagship.models.api_key import ApiKey
from flagship.signatures.stages import PROVEN, Outcome, Stage
from jobs.ids import new_id
from jobs.models.tenant import TenantManager

KEY_PREFIX = "sig"
LIVE_KEYS = 2


def _choices(kinds: type[Stage] | type[Outcome]) -> list[tuple[str, str]]:
    return [(kind.value, kind.value.replace("_", " ")) for kind in kinds]


class SignatureRollout(models.Model):
    """A client that signs, and its stage on the way from v1 to v2 (E-05).

    The row comes with the client's first signing key; a client without one is asked for its API
    key and nothing else. `v2_since` and `v1_alone_at` are kept to the minute: they pin a client
    that has used nothing but v2 for a week.
    """

    api_key = models.OneToOneField(
        ApiKey,
        on_delete=models.PROTECT,
        primary_key=True,
        related_name="rollout",
        editable=False,
    )
    stage = models.CharField(
        max_length=10, choices=_choices(Stage), default=Stage.OBSERVE.value, editable=False
    )
    came_from = models.CharField(max_length=10, choices=_choices(Stage), null=True, editable=False)  # noqa: DJ001 (none is not a stage)
    stage_since = models.DateTimeField(db_default=Now(), editable=False)
    v1_alone_at = models.DateTimeField(null=True, blank=True, editable=False)
    v2_at = models.DateTimeField(null=True, blank=True, editable=False)
    v2_since = models.DateTimeField(null=True, blank=True, editable=False)

    objects = TenantManager("api_key__organization_id")

    class Meta:
        ordering = ("-api_key_id",)
        verbose_name = "signing client"
        permissions = [("move_signaturerollout", "Can move a client to another stage")]
        constraints = [
            models.CheckConstraint(
                condition=Q(stage__in=[stage.value for stage in Stage]),
                name="signature_rollout_stage_known",
            ),
            models.CheckConstraint(
                condition=Q(came_from__isnull=True)
                | Q(came_from__in=[stage.value for stage in Stage]),
                name="signature_rollout_came_from_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.api_key.name} ({self.get_stage_display()})"


class SigningKey(models.Model):
    """One of a client's secrets, sealed with a key that the database does not hold (E-05).

    It has to be read back to verify with, so it is encrypted and not hashed. At most two are live
    at once: each holds a slot until it is revoked. Rows stay, so that audit events keep their
    subject.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.PROTECT, related_name="signing_keys", editable=False
    )
    slot = models.PositiveSmallIntegerField(editable=False)
    sealed_secret = models.BinaryField(editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = TenantManager("api_key__organization_id")

    class Meta:
        ordering = ("-id",)
        permissions = [
            ("issue_signingkey", "Can issue and rotate signing keys"),
            ("revoke_signingkey", "Can revoke a signing key"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(slot__gte=1, slot__lte=LIVE_KEYS), name="signing_key_slot_range"
            ),
            models.UniqueConstraint(
                fields=["api_key", "slot"],
                condition=Q(revoked_at__isnull=True),
                name="signing_key_slot_free",
            ),
        ]

    def __str__(self) -> str:
        return f"{KEY_PREFIX}_{self.id.hex}"


class SignatureUse(models.Model):
    """One request of a client that signs: its nonce, used up, and how it was proven (E-06, P21).

    For a write the row commits with the work, so that a request that was rolled back may be sent
    again. `use_hash` covers key and nonce. Rows live 660 s, then they are counted into tallies and
    deleted in one statement: what is in neither table did not happen, and nothing is in both.
    No constraint on the client: each request would lock the row of its API key. The wall asks whose
    that is, and API keys are never deleted.
    """

    use_hash = models.BinaryField(primary_key=True, max_length=32, editable=False)
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        editable=False,
    )
    proof = models.CharField(max_length=10, choices=_choices(Outcome), editable=False)
    used_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(editable=False)

    objects = TenantManager("api_key__organization_id")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(proof__in=[proof.value for proof in (*PROVEN, Outcome.MISMATCH)]),
                name="signature_use_proof_known",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=models.F("used_at")), name="signature_use_expires_later"
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], name="signature_use_expires_idx")]

    def __str__(self) -> str:
        return f"{self.proof} of {self.used_at}"


class SignatureTally(models.Model):
    """How often something was seen of a client in one hour."""

    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        editable=False,
    )
    hour = models.DateTimeField(editable=False)
    outcome = models.CharField(max_length=10, choices=_choices(Outcome), editable=False)
    count = models.PositiveBigIntegerField(editable=False)

    objects = TenantManager("api_key__organization_id")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["api_key", "hour", "outcome"], name="signature_tally_once"
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=[outcome.value for outcome in Outcome]),
                name="signature_tally_outcome_known",
            ),
        ]
        indexes = [models.Index(fields=["hour"], name="signature_tally_hour_idx")]

    def __str__(self) -> str:
        return f"{self.outcome}: {self.count} in the hour of {self.hour}"


@dataclass(frozen=True, slots=True)
class Use:
    """A request on its way into the table of uses.

    `key_id` names the key in incidents; `is_strict` is False where signatures are only observed: a
    nonce seen before is then noted and not refused.
    """

    use_hash: bytes
    api_key_id: uuid.UUID
    organization_id: uuid.UUID
    key_id: str
    proof: Outcome
    is_strict: bool


@dataclass(frozen=True, slots=True)
class Incident:
    """What must not happen to a client's signatures and has; texts are ours, not the request's."""

    outcome: Outcome
    api_key_id: uuid.UUID
    organization_id: uuid.UUID
    key_id: str
    reason: str
