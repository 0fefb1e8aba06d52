"""Only active builds carry their project's limit (B-03)."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql"


def _read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [("builds", "0004_event_rules")]

    operations = [
        migrations.AlterField(
            model_name="build",
            name="max_active",
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.RunSQL(_read("limits.sql"), _read("undo_limits.sql")),
        migrations.AddConstraint(
            model_name="build",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("max_active__isnull", False), ("state__in", ["queued", "building"])),
                    models.Q(
                        ("max_active__isnull", True),
                        models.Q(("state__in", ["queued", "building"]), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="build_max_active_while_active",
            ),
        ),
    ]
