"""Clients that sign: the scoreboard of their way to v2, and its stages (E-05)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.decorators import display

from flagship.admin.signing_keys import issue_and_show, may_issue
from flagship.models import SignatureRollout, SigningKey
from flagship.selectors.signatures import evidence_of
from flagship.services.signature_stages import advance_stage, step_back
from flagship.signatures import Outcome, Stage
from flagship.signatures.evidence import Evidence, next_steps, stage_before
from jobs.admin import subjects
from jobs.admin.base import NamedChangeList, ReadOnlyAdmin, operator_of
from jobs.admin.display import badge, moment
from jobs.errors import Refusal

TONES = {"observe": "", "either": "info", "both": "warning", "v2_only": "success"}
TOLD = {
    Stage.OBSERVE: "Only v1 decides; v2 is checked and counted",
    Stage.EITHER: "Either v1 or v2 is enough; what is sent must hold",
    Stage.BOTH: "Both v1 and v2 are asked for",
    Stage.V2_ONLY: "Only v2 lets in; v1 alone is refused",
}
ALERTS = (Outcome.REPLAY, Outcome.DOWNGRADE, Outcome.FORGED, Outcome.STALE)


class ScoredChangeList(NamedChangeList):
    """A page of clients with the last day of each, read in one query."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, then what has been seen of its clients."""
        super().get_results(request)
        score(list(self.result_list))


def score(rows: list[Any]) -> None:
    """Put `evidence` on each row."""
    found = evidence_of([row.pk for row in rows])
    for row in rows:
        row.evidence = found[row.pk]


@admin.register(SignatureRollout)
class SignatureRolloutAdmin(ReadOnlyAdmin):
    """Who signs how; a stage is moved by POST, forward only where the evidence holds."""

    list_display = (
        *("client", "organization_link", "stage_badge", "requests"),
        *("v1_only", "v2_only", "both", "mismatch", "alerts", "ready"),
    )
    list_filter: ClassVar = ("stage",)
    search_fields = ("api_key__name", "api_key__prefix__exact", "api_key__organization__name")
    search_help_text = "Name or prefix of the API key, or organization"
    search_ids: ClassVar = {"key": ("pk",), "org": ("api_key__organization_id",)}
    ordering = ("-api_key_id",)
    list_select_related = ("api_key__organization",)
    fieldsets = (
        (
            "Signing client",
            {
                "fields": (
                    ("api_key_link", "organization_link"),
                    ("stage_badge", "since"),
                    ("v2_last", "v1_alone_last"),
                )
            },
        ),
    )
    readonly_fields = (
        *("api_key_link", "organization_link", "stage_badge"),
        *("since", "v2_last", "v1_alone_last"),
    )
    change_form_outer_after_template = "admin/flagship/signaturerollout/stage.html"

    def get_changelist(  # type: ignore[override]  # as in ReadOnlyAdmin
        self, request: HttpRequest, **kwargs: Any
    ) -> type[ScoredChangeList]:
        """Use the list that scores."""
        return ScoredChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[SignatureRollout]:
        """Never read an API key's hash."""
        rows: QuerySet[SignatureRollout] = super().get_queryset(request)
        return rows.select_related("api_key__organization").defer("api_key__key_hash")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model | None:
        """Read one client, with its last day."""
        row = super().get_object(request, object_id, from_field)
        score([] if row is None else [row])
        return row

    def has_move_permission(self, request: HttpRequest) -> bool:
        """May this operator move a client to another stage?"""
        return bool(request.user.has_perm("flagship.move_signaturerollout"))

    def get_urls(self) -> list[URLPattern]:
        """Add the actions; they exist for POST only."""
        urls: list[URLPattern] = super().get_urls()
        actions = {"advance": self.advance_view, "back": self.back_view, "rotate": self.rotate_view}
        return [
            path(
                f"<uuid:object_id>/{name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"flagship_signaturerollout_{name}",
            )
            for name, view in actions.items()
        ] + urls

    def advance_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Go to the stage that was clicked, if it is offered."""
        if not self.has_move_permission(request):
            raise PermissionDenied
        asked = request.POST.get("to", "")
        to = Stage(asked) if asked in set(Stage) else None
        try:
            if to is None:
                raise Refusal("There is no such stage.")
            advance_stage(
                api_key_id=object_id, to=to, actor=operator_of(request), now=datetime.now(UTC)
            )
        except Refusal as refusal:
            missing = "; ".join(refusal.data.get("missing", []))
            messages.warning(request, f"Nothing done: {refusal.message} {missing}".strip())
        else:
            messages.success(request, f"The client is at stage {to.replace('_', ' ')} now.")
        return self._return(object_id)

    def back_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Go one step back."""
        if not self.has_move_permission(request):
            raise PermissionDenied
        try:
            to = step_back(api_key_id=object_id, actor=operator_of(request))
        except Refusal as refusal:
            messages.warning(request, f"Nothing done: {refusal.message}")
        else:
            messages.success(request, f"The client is back at stage {to.replace('_', ' ')}.")
        return self._return(object_id)

    def rotate_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Issue the next signing key and show its secret, once."""
        back = reverse("admin:flagship_signaturerollout_change", args=[object_id])
        return issue_and_show(self, request, object_id, back)

    def _return(self, object_id: uuid.UUID) -> HttpResponse:
        """Go back to the client's page."""
        address = reverse("admin:flagship_signaturerollout_change", args=[object_id])
        return HttpResponseRedirect(address)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the last day, the steps and the keys."""
        rollout: Any = context["original"]
        stage = Stage(rollout.stage)
        came_from = Stage(rollout.came_from) if rollout.came_from else None
        context.update(
            title=str(rollout.api_key.name),
            subtitle=None,
            may_move=self.has_move_permission(request),
            may_issue=may_issue(request),
            told=TOLD[stage],
            back_to=stage_before(stage, came_from),
            steps=_steps(rollout),
            outcomes=_outcomes(rollout.evidence),
            signing_keys=_keys(rollout),
        )
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    # --- Columns ---

    @display(description="Client", ordering="api_key__name")
    def client(self, rollout: SignatureRollout) -> str:
        """The name of its API key."""
        return rollout.api_key.name

    @display(description="API key")
    def api_key_link(self, rollout: SignatureRollout) -> SafeString | str:
        """Its API key."""
        return subjects.link("api_key", rollout.pk, rollout.api_key.name)

    @display(description="Organization", ordering="api_key__organization__name")
    def organization_link(self, rollout: SignatureRollout) -> SafeString | str:
        """Whose it is."""
        organization = rollout.api_key.organization
        return subjects.link("organization", organization.pk, organization.name)

    @display(description="Stage", ordering="stage")
    def stage_badge(self, rollout: SignatureRollout) -> SafeString:
        """How far it has come."""
        return badge(rollout.stage, TONES[rollout.stage])

    @display(description="At this stage since", ordering="stage_since")
    def since(self, rollout: SignatureRollout) -> SafeString | str:
        """When it came here."""
        return moment(rollout.stage_since)

    @display(description="Last v2")
    def v2_last(self, rollout: SignatureRollout) -> SafeString | str:
        """When a v2 signature last held, to the minute."""
        return moment(rollout.v2_at, empty="never")

    @display(description="Last v1 alone")
    def v1_alone_last(self, rollout: SignatureRollout) -> SafeString | str:
        """When a request last came without v2, to the minute."""
        return moment(rollout.v1_alone_at, empty="never")

    @display(description="Requests, last day")
    def requests(self, rollout: Any) -> str:
        """How many were let in."""
        return f"{rollout.evidence.requests:,}"

    @display(description="v1 only")
    def v1_only(self, rollout: Any) -> str:
        """Share."""
        return _share(rollout.evidence, Outcome.V1_ONLY)

    @display(description="v2 only")
    def v2_only(self, rollout: Any) -> str:
        """Share."""
        return _share(rollout.evidence, Outcome.V2_ONLY)

    @display(description="Both")
    def both(self, rollout: Any) -> str:
        """Share."""
        return _share(rollout.evidence, Outcome.BOTH)

    @display(description="Mismatch")
    def mismatch(self, rollout: Any) -> SafeString | str:
        """Share; any at all stops the way on."""
        text = _share(rollout.evidence, Outcome.MISMATCH)
        return badge(text, "danger") if rollout.evidence.of(Outcome.MISMATCH) else text

    @display(description="Alerts")
    def alerts(self, rollout: Any) -> SafeString | str:
        """Replays, downgrade tries, forgeries and stale stamps."""
        count = sum(rollout.evidence.of(outcome) for outcome in ALERTS)
        return badge(f"{count:,}", "warning") if count else "0"

    @display(description="Next")
    def ready(self, rollout: SignatureRollout) -> SafeString | str:
        """The stage that the evidence allows."""
        offered = [step.to for step in _steps(rollout) if step.is_offered]
        return badge(offered[0], "success") if offered else "-"


def _steps(rollout: Any) -> list[Any]:
    """Return the stages that could follow, with what is missing for each."""
    return next_steps(
        Stage(rollout.stage),
        stage_since=rollout.stage_since,
        evidence=rollout.evidence,
        now=datetime.now(UTC),
    )


def _share(evidence: Evidence, outcome: Outcome) -> str:
    """Write a share so that a little is never written as nothing."""
    share = evidence.share(outcome)
    if not evidence.of(outcome):
        return "0 %" if evidence.requests else "-"
    return "< 0.1 %" if share < 0.001 else f"{share * 100:.1f} %"


def _outcomes(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Write the last day, one line for each outcome."""
    return [
        (
            outcome.replace("_", " "),
            f"{evidence.of(outcome):,}",
            "-" if outcome in ALERTS else _share(evidence, outcome),
        )
        for outcome in Outcome
    ]


def _keys(rollout: Any) -> list[tuple[Any, ...]]:
    """Write the client's keys, the newest first, without their secrets."""
    rows = SigningKey.objects.filter(api_key_id=rollout.pk).defer("sealed_secret")
    return [
        (
            subjects.link("signing_key", key.pk),
            badge("revoked", "danger") if key.revoked_at else badge("active"),
            moment(key.created_at),
            moment(key.last_used_at, empty="never"),
            moment(key.expires_at, empty="no end"),
        )
        for key in rows[:20]
    ]
