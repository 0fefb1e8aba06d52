"""Reservations, read-only: each resolves once, by an entry (C-02, C-07)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from credits.models import Reservation
from credits.services.alerts import UNPAID
from flagship.models import AuditEvent
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, moment, mono, span
from jobs.admin.filters import AgeFilter, StateFilter
from jobs.ids import public_id

PREFIX = "res"
subjects.register(subjects.Subject("reservation", prefix=PREFIX, model="credits.reservation"))


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    """Holds: for what, how much, how long still."""

    list_display = (
        "public",
        "organization",
        "subject",
        "amount",
        "charged",
        "created",
        "time_left",
        "state_badge",
    )
    list_filter: ClassVar = (StateFilter, AgeFilter)
    search_fields = ("subject_id__exact", "reference__exact", "account__organization__name")
    search_help_text = "Reservation, account, organization or subject id, reference, organization"
    search_ids: ClassVar = {
        PREFIX: ("pk",),
        "acct": ("account_id",),
        "org": ("account__organization_id",),
    }
    ordering = ("-id",)
    list_select_related = ("account__organization",)
    fields = (
        "public",
        "state_badge",
        "organization",
        "account_link",
        "subject",
        "user_id",
        "reference",
        "amount",
        "charged",
        "created",
        "expires",
        "resolved",
        "renews_link",
        "alerts",
    )
    readonly_fields = (
        "public",
        "state_badge",
        "organization",
        "account_link",
        "subject",
        "created",
        "expires",
        "resolved",
        "renews_link",
        "alerts",
    )

    def name_of(self, reservation: Reservation) -> str:
        """Whose, how much and since when."""
        owner = reservation.account.organization.name
        return f"{owner}, {reservation.amount:,} credits, {reservation.created_at:%Y-%m-%d %H:%M}"

    @display(description="Reservation", ordering="id")
    def public(self, reservation: Reservation) -> SafeString | str:
        """Id as clients know it."""
        return mono(public_id(PREFIX, reservation.pk))

    @display(description="Organization", ordering="account__organization__name")
    def organization(self, reservation: Reservation) -> SafeString | str:
        """Whose credits are held."""
        owner = reservation.account.organization
        return subjects.link("organization", owner.pk, owner.name)

    @display(description="Account")
    def account_link(self, reservation: Reservation) -> SafeString | str:
        """The account they are held on."""
        return subjects.link("account", reservation.account_id)

    @display(description="For")
    def subject(self, reservation: Reservation) -> SafeString | str:
        """What they are held for."""
        return subjects.reference(reservation.subject_type, reservation.subject_id)

    @display(description="Created", ordering="created_at")
    def created(self, reservation: Reservation) -> SafeString | str:
        """When the hold began."""
        return moment(reservation.created_at)

    @display(description="Expires", ordering="expires_at")
    def expires(self, reservation: Reservation) -> SafeString | str:
        """Until when it is held; nothing once it is resolved."""
        return moment(reservation.expires_at) if reservation.state == "held" else "-"

    @display(description="Time left", ordering="expires_at")
    def time_left(self, reservation: Reservation) -> SafeString | str:
        """How much longer it is held, of how long in all; nothing once it is resolved."""
        if reservation.state != "held":
            return "-"
        life = reservation.expires_at - reservation.created_at
        left = max(reservation.expires_at - datetime.now(UTC), timedelta(0))
        return format_html(
            '<span class="fs-left">{} of {}<progress class="fs-progress" aria-label="Time left"'
            ' max="{}" value="{}"></progress></span>',
            span(left.total_seconds()),
            span(life.total_seconds()),
            round(life.total_seconds()),
            round(left.total_seconds()),
        )

    @display(description="Resolved")
    def resolved(self, reservation: Reservation) -> SafeString | str:
        """When it ended."""
        return moment(reservation.resolved_at)

    @display(description="Renews")
    def renews_link(self, reservation: Reservation) -> SafeString | str:
        """The expired hold this one took the place of."""
        return subjects.link("reservation", reservation.renews_id)

    @display(description="Unpaid")
    def alerts(self, reservation: Reservation) -> SafeString | str:
        """The alert of a commit that came too late: work was done and nothing was taken."""
        subject_id = public_id(PREFIX, reservation.pk)
        event = AuditEvent.objects.filter(
            action=UNPAID, subject_type="reservation", subject_id=subject_id
        ).first()
        if event is None:
            return "-"
        address = reverse("admin:flagship_auditevent_change", args=[event.pk])
        told = f"{event.data['unpaid']:,} credits"
        return format_html('<a class="fs-link" href="{}">{}</a>', address, told)

    @display(description="State", ordering="state")
    def state_badge(self, reservation: Reservation) -> SafeString:
        """Held or how it was resolved; overdue means that the sweep is late."""
        overdue = reservation.state == "held" and reservation.expires_at < datetime.now(UTC)
        return badge("overdue", "danger") if overdue else badge(reservation.state)
