"""One build of one source: the row that moves from queued to a final state."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from builds.states import ACTIVE, FINAL, MOVES, BuildState
from jobs.ids import new_id
from jobs.models.tenant import TenantManager

_ACTIVE: Final = [str(state) for state in ACTIVE]
_FINAL: Final = [str(state) for state in FINAL]


def _legal_pairs() -> Q:
    """The (previous state, state) pairs a row may hold; no comparison with NULL decides it."""
    pairs = Q(previous_state__isnull=True, state=str(BuildState.QUEUED))
    for before, after in MOVES.items():
        if after:
            pairs |= Q(
                previous_state__isnull=False,
                previous_state=str(before),
                state__in=[str(state) for state in after],
            )
    return pairs


def _present_exactly_in(column: str, states: list[str], name: str) -> models.CheckConstraint:
    """Build the check that a column is set in these states and empty in all others."""
    inside = Q(**{f"{column}__isnull": False}, state__in=states)
    outside = Q(**{f"{column}__isnull": True}) & ~Q(state__in=states)
    return models.CheckConstraint(condition=inside | outside, name=name)


class Build(models.Model):
    """Written by builds.services; a final row is never edited, no row is ever deleted.

    The database decides what may happen to `state`: a trigger compares the old row with the new
    one, writes `previous_state` and a BuildTransition, and refuses every other move, also from
    raw SQL and in the replica role (B-02). `slot` is the place the build takes among the active
    ones of its project: unique there while active, below `max_active`, which a cascading foreign
    key keeps equal to the project's (B-03); a build that has ended has neither, so that a change
    of the project's number touches its active builds only. `fence` is the lease token of the job
    that builds. `moved_by` names who made the latest move and goes into its transition.
    `rebuild_of` is the ended build that this one does again, `superseded_by` the newer one for
    which this one, still waiting, was cancelled.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # build_listing_idx and build_project_key are the indexes of these two.
    organization = models.ForeignKey(
        "flagship.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    # Foreign keys with the organization, and the one that carries max_active: in the migration.
    project = models.ForeignKey(
        "builds.Project",
        on_delete=models.PROTECT,
        related_name="builds",
        db_constraint=False,
        db_index=False,
    )
    source = models.ForeignKey(
        "builds.Source", on_delete=models.PROTECT, related_name="builds", db_constraint=False
    )

    # Foreign keys with the project, in the migration.
    rebuild_of = models.ForeignKey(
        "builds.Build",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="rebuilds",
        db_constraint=False,
    )
    superseded_by = models.ForeignKey(
        "builds.Build",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )

    state = models.CharField(
        max_length=20,
        choices=[(state.value, state.value) for state in BuildState],
        default=BuildState.QUEUED.value,
    )
    previous_state = models.CharField(  # noqa: DJ001 (the seed's column: NULL before any move)
        max_length=20, null=True, blank=True
    )
    moved_by = models.CharField(max_length=150)
    max_active = models.PositiveSmallIntegerField(null=True, blank=True)
    slot = models.SmallIntegerField(null=True, blank=True)

    builder = models.CharField(max_length=50)
    options = models.JSONField(default=dict, blank=True)
    # Not a foreign key: finished jobs are pruned, builds are kept.
    job_id = models.UUIDField(unique=True)
    fence = models.PositiveBigIntegerField(null=True, blank=True)
    # The guard checks that the hold is this organization's and for this build.
    reservation = models.OneToOneField(
        "credits.Reservation", on_delete=models.PROTECT, related_name="+"
    )
    estimated_credits = models.PositiveBigIntegerField()
    charged_credits = models.PositiveBigIntegerField(null=True, blank=True)

    artifact_sha256 = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    artifact_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    artifact_files = models.PositiveIntegerField(null=True, blank=True)
    error_code = models.CharField(max_length=60, null=True, blank=True)  # noqa: DJ001
    error_message = models.CharField(max_length=2000, blank=True, default="")

    created_by = models.CharField(max_length=150)
    idempotency_key_hash = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    request_id = models.CharField(max_length=128, blank=True, default="")
    correlation_id = models.CharField(max_length=128, blank=True, default="")
    cancel_requested_by = models.CharField(max_length=150, blank=True, default="")

    queued_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TenantManager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=_ACTIVE + _FINAL), name="build_state_known"
            ),
            models.CheckConstraint(condition=_legal_pairs(), name="build_move_legal"),
            models.CheckConstraint(
                condition=Q(slot__isnull=True)
                | Q(slot__isnull=False, slot__gte=0, slot__lt=F("max_active")),
                name="build_slot_below_max_active",
            ),
            models.UniqueConstraint(
                fields=["project", "slot"],
                name="build_one_active_per_slot",
                condition=Q(state__in=_ACTIVE),
            ),
            # The key that made a build makes no other, also after its stored answer has gone.
            models.UniqueConstraint(
                fields=["organization", "idempotency_key_hash"],
                name="build_idempotency_key_unique",
            ),
            # Target of the project's live pointer.
            models.UniqueConstraint(fields=["project", "id"], name="build_project_key"),
            _present_exactly_in("slot", _ACTIVE, "build_slot_while_active"),
            _present_exactly_in("max_active", _ACTIVE, "build_max_active_while_active"),
            _present_exactly_in("finished_at", _FINAL, "build_finished_at_in_final_states"),
            _present_exactly_in("fence", [str(BuildState.BUILDING)], "build_fence_while_building"),
            _present_exactly_in("error_code", [str(BuildState.FAILED)], "build_error_of_failed"),
            *(
                _present_exactly_in(column, [str(BuildState.DEPLOYED)], f"build_{column}_deployed")
                for column in (
                    "artifact_sha256",
                    "artifact_bytes",
                    "artifact_files",
                    "charged_credits",
                )
            ),
            models.CheckConstraint(
                condition=Q(state=str(BuildState.QUEUED), started_at__isnull=True)
                | Q(state=str(BuildState.BUILDING), started_at__isnull=False)
                | Q(
                    state__in=_FINAL,
                    previous_state__isnull=False,
                    previous_state=str(BuildState.QUEUED),
                    started_at__isnull=True,
                )
                | Q(
                    state__in=_FINAL,
                    previous_state__isnull=False,
                    previous_state=str(BuildState.BUILDING),
                    started_at__isnull=False,
                ),
                name="build_started_at_once_building",
            ),
            models.CheckConstraint(
                condition=Q(rebuild_of__isnull=True) | ~Q(rebuild_of=F("id")),
                name="build_rebuild_of_another",
            ),
            models.CheckConstraint(
                condition=Q(superseded_by__isnull=True)
                | Q(
                    ~Q(superseded_by=F("id")),
                    state=str(BuildState.CANCELLED),
                    previous_state__isnull=False,
                    previous_state=str(BuildState.QUEUED),
                ),
                name="build_superseded_while_waiting",
            ),
            models.CheckConstraint(
                condition=Q(estimated_credits__gte=1), name="build_estimate_positive"
            ),
            models.CheckConstraint(condition=~Q(moved_by=""), name="build_mover_named"),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="build_listing_idx"),
            # The latest deployed ones, for estimates; a day's, for the rollups.
            models.Index(
                fields=["project", "builder", "-id"],
                name="build_history_idx",
                condition=Q(state=str(BuildState.DEPLOYED)),
            ),
            models.Index(fields=["queued_at"], name="build_queued_at_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.state} build {self.id.hex}"
