"""Signing keys: issued with a secret that is shown once, revoked with a reason (E-05)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.decorators import display

from flagship.models import SigningKey
from flagship.models.signature import KEY_PREFIX
from flagship.services.signing_keys import issue_signing_key, revoke_signing_key
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin, operator_of
from jobs.admin.display import badge, moment, mono
from jobs.errors import Refusal
from jobs.ids import public_id

subjects.register(subjects.Subject("signing_key", prefix=KEY_PREFIX, model="flagship.signingkey"))


class OverlapForm(forms.Form):
    """How long the key before goes on."""

    overlap_days = forms.IntegerField(min_value=0, max_value=7, required=False)


class RevokeForm(forms.Form):
    """Why the key is revoked."""

    reason = forms.CharField(
        max_length=500, error_messages={"required": "A reason is required to revoke a key."}
    )


def may_issue(request: HttpRequest) -> bool:
    """May this operator issue signing keys?"""
    return bool(request.user.has_perm("flagship.issue_signingkey"))


def issue_and_show(
    page: ReadOnlyAdmin, request: HttpRequest, api_key_id: uuid.UUID, back: str
) -> HttpResponse:
    """Issue a key and show its secret in this one answer, which nobody may keep."""
    if not may_issue(request):
        raise PermissionDenied
    form = OverlapForm(request.POST)
    if not form.is_valid():
        messages.error(request, "The overlap is a number of days from 0 to 7.")
        return HttpResponseRedirect(back)
    try:
        key, secret = issue_signing_key(
            api_key_id=api_key_id,
            overlap=timedelta(days=form.cleaned_data["overlap_days"] or 0),
            actor=operator_of(request),
            now=datetime.now(UTC),
        )
    except Refusal as refusal:
        messages.warning(request, f"Nothing done: {refusal.message}")
        return HttpResponseRedirect(back)
    return _shown(page, request, key, secret)


def _shown(page: ReadOnlyAdmin, request: HttpRequest, key: SigningKey, secret: str) -> HttpResponse:
    """Show the secret; it goes into no message, session or cache."""
    context = {
        **page.admin_site.each_context(request),
        "title": "Signing key issued",
        "key_id": public_id(KEY_PREFIX, key.pk),
        "secret": secret,
        "client": key.api_key,
        "back": reverse("admin:flagship_signaturerollout_change", args=[key.api_key_id]),
    }
    response = TemplateResponse(request, "admin/flagship/signingkey/issued.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    """Keys by their ids; revoking is the one thing to do with one."""

    list_display = ("key_code", "client", "created", "last_used", "ends", "standing")
    list_filter: ClassVar = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("api_key__name", "api_key__prefix__exact", "api_key__organization__name")
    search_help_text = "Name or prefix of the API key, organization, or the key's id"
    search_ids: ClassVar = {KEY_PREFIX: ("pk",), "key": ("api_key_id",)}
    ordering = ("-id",)
    list_select_related = ("api_key",)
    fields = ("key_code", "client", "created", "last_used", "ends", "revoked", "standing")
    readonly_fields = fields
    change_form_outer_after_template = "admin/flagship/signingkey/revoke.html"

    def name_of(self, key: SigningKey) -> str:
        """Whose it is, and when it was issued."""
        return f"{key.api_key.name}, {key.created_at:%Y-%m-%d %H:%M}"

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """May this operator revoke a key?"""
        return bool(request.user.has_perm("flagship.revoke_signingkey"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[SigningKey]:
        """Never read a secret, sealed as it is, nor the API key's hash."""
        rows: QuerySet[SigningKey] = super().get_queryset(request)
        return rows.select_related("api_key").defer("sealed_secret", "api_key__key_hash")

    def get_urls(self) -> list[URLPattern]:
        """Add the action; it exists for POST only."""
        revoke = self.admin_site.admin_view(require_POST(self.revoke_view))
        urls: list[URLPattern] = super().get_urls()
        return [path("<uuid:object_id>/revoke/", revoke, name="flagship_signingkey_revoke"), *urls]

    def revoke_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Revoke this key for the reason given."""
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        form = RevokeForm(request.POST)
        if form.is_valid():
            self._revoke(request, object_id, form.cleaned_data["reason"])
        else:
            messages.error(request, str(form.errors["reason"][0]))
        return HttpResponseRedirect(reverse("admin:flagship_signingkey_change", args=[object_id]))

    def _revoke(self, request: HttpRequest, object_id: uuid.UUID, reason: str) -> None:
        """Call the service and say what came of it."""
        try:
            revoke_signing_key(signing_key_id=object_id, actor=operator_of(request), reason=reason)
        except Refusal as refusal:
            messages.warning(request, f"Nothing done: {refusal.message}")
        else:
            messages.success(request, "Revoked. The next request that it signed is refused.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Say whether this operator may revoke it."""
        is_live = context["original"].revoked_at is None
        context["may_revoke"] = is_live and self.has_revoke_permission(request)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    # --- Columns ---

    @display(description="Key id", ordering="id")
    def key_code(self, key: SigningKey) -> SafeString | str:
        """What requests name in X-Key-Id."""
        return mono(public_id(KEY_PREFIX, key.pk))

    @display(description="Client", ordering="api_key__name")
    def client(self, key: SigningKey) -> SafeString | str:
        """Whose it is."""
        return subjects.link("api_key", key.api_key_id, key.api_key.name)

    @display(description="Created", ordering="created_at")
    def created(self, key: SigningKey) -> SafeString | str:
        """When it was issued."""
        return moment(key.created_at)

    @display(description="Last used", ordering="last_used_at")
    def last_used(self, key: SigningKey) -> SafeString | str:
        """When it last signed a request that was let in, to the minute."""
        return moment(key.last_used_at, empty="never")

    @display(description="Ends", ordering="expires_at")
    def ends(self, key: SigningKey) -> SafeString | str:
        """When its overlap is over."""
        return moment(key.expires_at, empty="no end")

    @display(description="Revoked")
    def revoked(self, key: SigningKey) -> SafeString | str:
        """Since when it is refused."""
        return moment(key.revoked_at)

    @display(description="State", ordering="revoked_at")
    def standing(self, key: SigningKey) -> SafeString:
        """Active, ended or revoked."""
        if key.revoked_at:
            return badge("revoked", "danger")
        is_over = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
        return badge("ended", "warning") if is_over else badge("active")
