"""What the database itself holds about links and events: plain SQL, beside this file (B-08)."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def _read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [("builds", "0003_events_and_links")]

    operations = [
        migrations.RunSQL(_read("links.sql"), _read("undo_links.sql")),
        migrations.RunSQL(_read("events.sql"), _read("undo_events.sql")),
    ]
