"""Organizations, read-only but for their limits."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.decorators import display

from flagship.models import Organization, OrganizationLimits
from flagship.selectors.limits import POLICIES, default_of
from flagship.services.limits import FIELDS, set_limits
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.display import moment, mono
from jobs.errors import Refusal
from jobs.ids import MalformedId, parse_public_id, public_id

PREFIX = "org"
FOUND = 100


def _names(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Read the names of these organizations."""
    return dict(Organization.objects.filter(pk__in=ids).values_list("pk", "name"))


def _find(text: str) -> list[uuid.UUID]:
    """Find organizations by id, slug or a part of the name."""
    wanted = Q(slug=text) | Q(name__icontains=text)
    with contextlib.suppress(MalformedId):
        wanted |= Q(pk=parse_public_id(PREFIX, text))
    return list(Organization.objects.filter(wanted).values_list("pk", flat=True)[:FOUND])


subjects.register(
    subjects.Subject(
        "organization", prefix=PREFIX, model="flagship.organization", names=_names, find=_find
    )
)


class LimitsForm(modelform_factory(OrganizationLimits, fields=FIELDS)):  # type: ignore[misc]
    """An organization's own limits, and why it has them."""

    reason = forms.CharField(
        max_length=500, error_messages={"required": "A reason is required to set limits."}
    )


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    """Customers; setting their limits is the one thing an operator may do."""

    list_display = ("name", "slug", "public", "created")
    search_fields = ("name", "slug")
    search_ids: ClassVar = {PREFIX: ("pk",)}
    ordering = ("name",)
    fields = ("name", "slug", "public", "created")
    readonly_fields = ("public", "created")
    change_form_outer_after_template = "admin/flagship/organization/limits.html"

    def has_limits_permission(self, request: HttpRequest) -> bool:
        """May this operator set limits?"""
        return bool(request.user.has_perm("flagship.set_limits"))

    def get_urls(self) -> list[URLPattern]:
        """Add the action; it exists for POST only."""
        limits = self.admin_site.admin_view(require_POST(self.limits_view))
        urls: list[URLPattern] = super().get_urls()
        return [
            path("<uuid:object_id>/limits/", limits, name="flagship_organization_limits"),
            *urls,
        ]

    def limits_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Set this organization's limits for the reason given."""
        if not self.has_limits_permission(request):
            raise PermissionDenied
        form = LimitsForm(request.POST)
        if form.is_valid():
            self._set(request, object_id, form.cleaned_data)
        for name, problems in form.errors.items():
            messages.error(request, f"Nothing done: {name}: {problems[0]}")
        return HttpResponseRedirect(reverse("admin:flagship_organization_change", args=[object_id]))

    def _set(self, request: HttpRequest, object_id: uuid.UUID, given: dict[str, Any]) -> None:
        """Call the service and say what came of it."""
        try:
            set_limits(
                organization_id=object_id,
                limits={name: given[name] for name in FIELDS},
                actor=operator_of(request),
                reason=given["reason"],
            )
        except (Refusal, ValueError) as refusal:
            messages.warning(request, f"Nothing done: {refusal}")
        else:
            messages.success(request, "Set. Rates are in force within two seconds, jobs at once.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the limits and what holds where there are none; say whether they may be set."""
        own = OrganizationLimits.objects.filter(organization_id=context["original"].pk).first()
        context["rates"] = [
            (f"per_{policy}", getattr(own, f"per_{policy}", ""), default_of(policy))
            for policy in POLICIES
        ]
        context["jobs_most"] = getattr(own, "jobs_in_flight_max", None)
        context["jobs_default"] = settings.JOBS_IN_FLIGHT_MAX
        context["may_set"] = self.has_limits_permission(request)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="Id")
    def public(self, organization: Organization) -> SafeString | str:
        """Id as clients know it."""
        return mono(public_id(PREFIX, organization.pk))

    @display(description="Created", ordering="created_at")
    def created(self, organization: Organization) -> SafeString | str:
        """When it came."""
        return moment(organization.created_at)
