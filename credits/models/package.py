"""What an organization can buy."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Package(models.Model):
    """A number of credits at a price, named in the answer to a caller who is short of them.

    Kept by operators. Units: `price` in the currency's minor unit (cents), whole credits.
    """

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    price = models.BigIntegerField(help_text="In cents.")
    currency = models.CharField(max_length=3, default="USD")
    credits = models.BigIntegerField()
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="credits_package_price_not_negative", condition=Q(price__gte=0)
            ),
            models.CheckConstraint(name="credits_package_has_credits", condition=Q(credits__gte=1)),
            models.CheckConstraint(
                name="credits_package_currency_is_iso", condition=Q(currency__regex="^[A-Z]{3}$")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.credits} credits"
