"""Let the rollup find a day's ledger entries without reading the others (B-10).

Entries are written in the order of their time and never change: an index of a few kilobytes over
ranges of pages is enough, and costs a writer nothing that could be measured.
"""

from __future__ import annotations

from django.db import migrations

SCAN = """
CREATE INDEX credits_entry_created_at_brin ON credits_entry
    USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on)
"""


class Migration(migrations.Migration):
    dependencies = [("builds", "0006_rollups"), ("credits", "0002_ledger")]

    operations = [
        migrations.RunSQL(SCAN, "DROP INDEX credits_entry_created_at_brin"),
    ]
