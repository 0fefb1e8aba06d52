"""Planning a redrive: what it would do, on which terms, and the button that begins it (D-03, D-07).

A plan is made of the query string of the list of dead letters, so that what was seen is what is
answered; the form carries the filter as it was read then, with its times fixed.
"""

from __future__ import annotations

import json
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.filters import UnclearFilter, letter_filter_of
from jobs.errors import Refusal
from jobs.ids import new_id
from jobs.models import Redrive
from jobs.selectors.letters import LetterFilter, from_json, to_json
from jobs.selectors.redrives import rehearse
from jobs.services.redrives import RedriveOrder, start_redrive
from jobs.services.redrives.ask import (
    CANARIES_MAX,
    CANARY_WAIT_MAX_S,
    RAMP_MAX_S,
    RATE_MAX_PER_S,
    RATE_MIN_PER_S,
    RETURNS_MAX,
)
from jobs.states import RedriveAction

FILTER_CHARACTERS: Final = 8_000
TERMS: Final[dict[str, Any]] = {
    "rate_per_s": 10,
    "ramp_s": 30,
    "canary_size": 3,
    "canary_wait_s": 120,
    "returns_max": 0,
}
"""What the form offers: careful enough for a cause that may not be gone."""
VERBS: Final = {RedriveAction.REQUEUE: "Retry", RedriveAction.DISCARD: "Discard"}
NAMES: Final = {
    "state": "State",
    "queue": "Queue",
    "kind": "Kind",
    "organization_id": "Organization",
    "error_class": "Error class",
    "fingerprint": "Fingerprint",
    "died_since": "Died since",
    "died_until": "Died before",
    "text": "Words of the message",
}


class RedriveForm(forms.Form):
    """What is answered, how, how fast and why; `wish` makes a form sent twice one redrive."""

    wish = forms.UUIDField()
    wanted = forms.CharField(max_length=FILTER_CHARACTERS)
    action = forms.ChoiceField(choices=[(action.value, action.value) for action in RedriveAction])
    rate_per_s = forms.FloatField(min_value=RATE_MIN_PER_S, max_value=RATE_MAX_PER_S)
    ramp_s = forms.FloatField(min_value=0, max_value=RAMP_MAX_S, required=False)
    canary_size = forms.IntegerField(min_value=0, max_value=CANARIES_MAX, required=False)
    canary_wait_s = forms.FloatField(min_value=1, max_value=CANARY_WAIT_MAX_S, required=False)
    returns_max = forms.IntegerField(min_value=0, max_value=RETURNS_MAX, required=False)
    reason = forms.CharField(
        max_length=500, error_messages={"required": "A reason is required; it is kept."}
    )

    def clean_wanted(self) -> LetterFilter:
        """Read the filter back. Raises: ValidationError."""
        try:
            return from_json(json.loads(self.cleaned_data["wanted"]))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValidationError("The filter cannot be read: plan anew.") from error

    def order(self) -> RedriveOrder:
        """Return the terms of a valid form; what was left empty is left to the order."""
        given = {name: self.cleaned_data[name] for name in TERMS}
        return RedriveOrder(
            action=RedriveAction(self.cleaned_data["action"]),
            reason=self.cleaned_data["reason"],
            **{name: value for name, value in given.items() if value is not None},
        )


class PlanningAdmin(ReadOnlyAdmin):
    """The plan, and its action: POST only, left to a service."""

    def may_answer(self, request: HttpRequest, action: RedriveAction) -> bool:
        """May this operator give this answer to all that a filter matches?"""
        needed = ("jobs.start_redrive", f"jobs.{action}_failedjob")
        return bool(request.user.has_perms(needed))

    def get_urls(self) -> list[URLPattern]:
        """Add the plan, and what it leads to."""
        wrap = self.admin_site.admin_view
        return [
            path("plan/", wrap(require_GET(self.plan_view)), name="jobs_redrive_plan"),
            path("start/", wrap(require_POST(self.start_view)), name="jobs_redrive_start"),
            *super().get_urls(),
        ]

    def plan_view(self, request: HttpRequest) -> HttpResponse:
        """Show what answering everything the filter matches would do; nothing is changed."""
        if not request.user.has_perm("jobs.view_failedjob"):
            raise PermissionDenied
        action = _action_of(request.GET.get("answer", ""))
        try:
            wanted = letter_filter_of(request)
        except UnclearFilter as unclear:
            messages.warning(request, f"Nothing done: {unclear}")
            back = f"{reverse('admin:jobs_failedjob_changelist')}?{request.GET.urlencode()}"
            return HttpResponseRedirect(back)
        offered = {**TERMS, "wish": new_id().hex, "wanted": json.dumps(to_json(wanted))}
        return self._plan(request, wanted, action, RedriveForm(initial=offered))

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Begin the redrive, or propose it where another person has to agree."""
        form = RedriveForm(request.POST)
        action = _action_of(request.POST.get("action", ""))
        if not self.may_answer(request, action):
            raise PermissionDenied
        if not form.is_valid():
            return self._again(request, form, action)
        wanted: LetterFilter = form.cleaned_data["wanted"]
        try:
            redrive = start_redrive(
                redrive_id=form.cleaned_data["wish"],
                wanted=wanted,
                order=form.order(),
                actor=operator_of(request),
            )
        except Refusal as refusal:
            messages.warning(request, f"Nothing done: {refusal.message}")
            return self._plan(request, wanted, action, form)
        return self._to(request, redrive)

    def _again(
        self, request: HttpRequest, form: RedriveForm, action: RedriveAction
    ) -> HttpResponse:
        """Show the plan again with what is wrong in it; without its filter there is none."""
        wanted = form.cleaned_data.get("wanted")
        if wanted is None:
            messages.error(request, "Nothing done: the filter cannot be read, plan anew.")
            return HttpResponseRedirect(reverse("admin:jobs_failedjob_changelist"))
        return self._plan(request, wanted, action, form)

    def _to(self, request: HttpRequest, redrive: Redrive) -> HttpResponse:
        if redrive.is_approval_needed:
            told = f"{redrive.size:,} dead letters: it begins when another person approves."
            messages.warning(request, told)
        else:
            messages.success(request, f"{redrive.size:,} dead letters are being answered.")
        return HttpResponseRedirect(reverse("admin:jobs_redrive_change", args=[redrive.pk]))

    def _plan(
        self, request: HttpRequest, wanted: LetterFilter, action: RedriveAction, form: RedriveForm
    ) -> HttpResponse:
        """Write the page."""
        rehearsal = rehearse(wanted=wanted, action=action)
        verb = VERBS[action]
        context = {
            **self.admin_site.each_context(request),
            **_about(request, action),
            "title": f"{verb} everything that matches",
            "opts": self.opts,
            "form": form,
            "verb": verb,
            "facts": describe_filter(to_json(wanted)),
            "rehearsal": rehearsal,
            "may_start": bool(rehearsal.eligible) and self.may_answer(request, action),
            "needs_approval": rehearsal.waiting > settings.REDRIVE_APPROVAL_SIZE,
        }
        return TemplateResponse(request, "admin/jobs/redrive/plan.html", context)


def _about(request: HttpRequest, action: RedriveAction) -> dict[str, Any]:
    """Return what the page says whatever the filter."""
    return {
        "action": action.value,
        "others": _other_answers(request, action),
        "exports": _exports(request),
        "approval_size": settings.REDRIVE_APPROVAL_SIZE,
    }


def _other_answers(request: HttpRequest, action: RedriveAction) -> list[tuple[str, str]]:
    """Return the answers that this page is not about: what each is called, and its address."""
    if request.method != "GET":
        return []
    asked = request.GET.copy()
    found = []
    for other in VERBS.keys() - {action}:
        asked["answer"] = other.value
        found.append((f"{VERBS[other]} instead", f"?{asked.urlencode()}"))
    return found


def _exports(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the files that all of it may be had as: what each is called, and its address."""
    if request.method != "GET" or not request.user.has_perm("jobs.export_failedjob"):
        return []
    asked = request.GET.copy()
    asked.pop("answer", None)
    return [
        (title, f"{reverse('admin:jobs_failedjob_export', args=[form])}?{asked.urlencode()}")
        for title, form in (("CSV", "csv"), ("JSON lines", "jsonl"))
    ]


def describe_filter(wanted: dict[str, Any]) -> list[tuple[str, SafeString | str]]:
    """Write a stored filter for reading: what it narrows by, and by what."""
    facts: list[tuple[str, SafeString | str]] = []
    for name, title in NAMES.items():
        if name == "organization_id" and name in wanted:
            value = wanted[name]
            facts.append((title, subjects.link("organization", value, _name(value))))
        elif name == "fingerprint" and name in wanted:
            facts.append((title, _group_link(wanted[name])))
        elif name in wanted:
            facts.append((title, str(wanted[name]) or "any"))
    return facts + [(f"Payload: {field}", text) for field, text in wanted.get("fields", ())]


def _group_link(fingerprint: str) -> SafeString:
    address = reverse("admin:jobs_failuregroup_change", args=[fingerprint])
    return format_html('<a class="fs-link" href="{}">{}</a>', address, fingerprint)


def _name(organization_id: str) -> str:
    ids = subjects.find("organization", organization_id)
    return next(iter(subjects.names("organization", ids).values()), "")


def _action_of(text: str) -> RedriveAction:
    """Read which answer is meant; to send back to work unless it is the other."""
    return RedriveAction.DISCARD if text == RedriveAction.DISCARD else RedriveAction.REQUEUE
