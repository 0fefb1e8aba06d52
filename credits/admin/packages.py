"""Packages, read-only: what a caller who is short of credits is told to buy."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.decorators import display

from credits.models import Package
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, moment


@admin.register(Package)
class PackageAdmin(ReadOnlyAdmin):
    """The price list."""

    list_display = ("name", "code", "credits", "price_text", "standing")
    list_filter: ClassVar = ("is_active",)
    ordering = ("credits",)
    fields = ("name", "code", "credits", "price_text", "standing", "created")
    readonly_fields = ("price_text", "standing", "created")

    @display(description="Price", ordering="price")
    def price_text(self, package: Package) -> str:
        """Price in the currency's major unit."""
        return f"{package.price / 100:,.2f} {package.currency}"

    @display(description="State", ordering="is_active")
    def standing(self, package: Package) -> SafeString:
        """On offer or not."""
        return badge("active" if package.is_active else "withdrawn")

    @display(description="Created")
    def created(self, package: Package) -> SafeString | str:
        """Since when it is known."""
        return moment(package.created_at)
