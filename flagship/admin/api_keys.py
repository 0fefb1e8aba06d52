"""API keys: shown without their hash, blocked with a reason."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.decorators import display

from flagship.admin.signing_keys import issue_and_show, may_issue
from flagship.models import ApiKey, SignatureRollout
from flagship.services.api_keys import block_api_key
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.display import badge, moment, mono
from jobs.errors import Refusal
from jobs.ids import public_id

PREFIX = "key"
subjects.register(subjects.Subject("api_key", prefix=PREFIX, model="flagship.apikey"))


class BlockForm(forms.Form):
    """Why the key is blocked."""

    reason = forms.CharField(
        max_length=500, error_messages={"required": "A reason is required to block a key."}
    )


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys by their public half; blocking is the one thing an operator may do."""

    list_display = (
        "name",
        "prefix_code",
        "organization_link",
        "scope_list",
        "last_used",
        "standing",
    )
    list_filter: ClassVar = (("blocked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix__exact", "organization__name")
    search_help_text = "Name, prefix or organization"
    search_ids: ClassVar = {PREFIX: ("pk",), "org": ("organization_id",)}
    ordering = ("-id",)
    list_select_related = ("organization",)
    fields = (
        "name",
        "prefix_code",
        "public",
        "organization_link",
        "scope_list",
        "created",
        "last_used",
        "standing",
        "blocked",
    )
    readonly_fields = (
        "prefix_code",
        "public",
        "organization_link",
        "scope_list",
        "created",
        "last_used",
        "standing",
        "blocked",
    )
    change_form_outer_after_template = "admin/flagship/apikey/block.html"

    def has_block_permission(self, request: HttpRequest) -> bool:
        """May this operator block a key?"""
        return bool(request.user.has_perm("flagship.block_apikey"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Never read the hash."""
        rows: QuerySet[ApiKey] = super().get_queryset(request)
        return rows.defer("key_hash")

    def get_urls(self) -> list[URLPattern]:
        """Add the action; it exists for POST only."""
        block = self.admin_site.admin_view(require_POST(self.block_view))
        sign = self.admin_site.admin_view(require_POST(self.sign_view))
        urls: list[URLPattern] = super().get_urls()
        return [
            path("<uuid:object_id>/block/", block, name="flagship_apikey_block"),
            path("<uuid:object_id>/sign/", sign, name="flagship_apikey_sign"),
            *urls,
        ]

    def sign_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Issue the client's first signing key and show its secret, once."""
        back = reverse("admin:flagship_apikey_change", args=[object_id])
        return issue_and_show(self, request, object_id, back)

    def block_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Block this key for the reason given."""
        if not self.has_block_permission(request):
            raise PermissionDenied
        form = BlockForm(request.POST)
        if form.is_valid():
            self._block(request, object_id, form.cleaned_data["reason"])
        else:
            messages.error(request, str(form.errors["reason"][0]))
        return HttpResponseRedirect(reverse("admin:flagship_apikey_change", args=[object_id]))

    def _block(self, request: HttpRequest, object_id: uuid.UUID, reason: str) -> None:
        """Call the service and say what came of it."""
        try:
            block_api_key(api_key_id=object_id, actor=operator_of(request), reason=reason)
        except Refusal as refusal:
            messages.warning(request, f"Nothing done: {refusal.message}")
        else:
            messages.success(request, "Blocked. The next request with this key is refused.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Say whether this operator may block it."""
        is_active = context["original"].blocked_at is None
        context["may_block"] = is_active and self.has_block_permission(request)
        rollout = SignatureRollout.objects.filter(pk=context["original"].pk).first()
        context["rollout"] = rollout
        context["may_sign"] = is_active and rollout is None and may_issue(request)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    # --- Columns ---

    @display(description="Key", ordering="prefix")
    def prefix_code(self, api_key: ApiKey) -> SafeString | str:
        """The half that may be shown."""
        return mono(f"fs_{api_key.prefix}_…")

    @display(description="Id")
    def public(self, api_key: ApiKey) -> SafeString | str:
        """Id as audit events know it."""
        return mono(public_id(PREFIX, api_key.pk))

    @display(description="Organization", ordering="organization__name")
    def organization_link(self, api_key: ApiKey) -> SafeString | str:
        """Whose it is."""
        return subjects.link("organization", api_key.organization_id, api_key.organization.name)

    @display(description="Scopes")
    def scope_list(self, api_key: ApiKey) -> str:
        """What it may do."""
        return ", ".join(api_key.scopes)

    @display(description="Created")
    def created(self, api_key: ApiKey) -> SafeString | str:
        """When it was issued."""
        return moment(api_key.created_at)

    @display(description="Last used", ordering="last_used_at")
    def last_used(self, api_key: ApiKey) -> SafeString | str:
        """When it was last presented, to the minute."""
        return moment(api_key.last_used_at, empty="never")

    @display(description="Blocked")
    def blocked(self, api_key: ApiKey) -> SafeString | str:
        """Since when it is refused."""
        return moment(api_key.blocked_at)

    @display(description="State", ordering="blocked_at")
    def standing(self, api_key: ApiKey) -> SafeString:
        """Active or blocked."""
        return badge("blocked" if api_key.blocked_at else "active")
