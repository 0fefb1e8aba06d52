"""The ledger's guards and operations: plain SQL, beside this file."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def _read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial")]

    operations = [
        migrations.RunSQL(_read("guards.sql") + _read("operations.sql"), _read("undo.sql")),
    ]
