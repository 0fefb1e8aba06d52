"""The packages that a caller short of credits is offered."""

from __future__ import annotations

from typing import Any

from django.db import migrations

# code, name, price in cents, credits
PACKAGES = (
    ("starter", "Starter", 599, 100),
    ("pro", "Pro", 2999, 1_000),
    ("business", "Business", 9999, 5_000),
    ("enterprise", "Enterprise", 79999, 50_000),
)


def add_packages(apps: Any, schema_editor: Any) -> None:
    Package = apps.get_model("credits", "Package")
    for code, name, price, credits in PACKAGES:
        Package.objects.get_or_create(
            code=code, defaults={"name": name, "price": price, "credits": credits}
        )


class Migration(migrations.Migration):
    dependencies = [("credits", "0002_ledger")]

    operations = [migrations.RunPython(add_packages, migrations.RunPython.noop)]
