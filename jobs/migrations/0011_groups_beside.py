"""First deaths of one cause no longer wait for each other's COMMIT (ADR 0018)."""

from __future__ import annotations

import re
from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"
BESIDE = (SQL / "groups_beside.sql").read_text(encoding="utf-8")
FUNCTION = r"CREATE FUNCTION (jobs_(?:count|fold)_deaths\(.*?^END \$\$;)"


def _as_it_was() -> str:
    """Return the two functions of the migration that made them."""
    made = (SQL / "failures.sql").read_text(encoding="utf-8")
    functions = re.findall(FUNCTION, made, re.DOTALL | re.MULTILINE)
    again = [f"CREATE OR REPLACE FUNCTION {each}" for each in functions]
    return "\n".join([*again, "DROP FUNCTION jobs_may_make_group(text);"])


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_operators")]

    operations = [migrations.RunSQL(BESIDE, _as_it_was())]
