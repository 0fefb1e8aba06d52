"""Row-level security of the platform's tables, and the one look over it (P24, ADR 0015)."""

from __future__ import annotations

from django.db import migrations

from jobs.migrations._wall import MINE, wall

# Who calls is known by the key alone, so nothing can be seen yet; one prefix has one row.
FIND_KEY = """
CREATE FUNCTION flagship_find_api_key(p_prefix text) RETURNS SETOF flagship_apikey
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM flagship_apikey WHERE prefix = p_prefix
$$;
REVOKE ALL ON FUNCTION flagship_find_api_key FROM PUBLIC;
"""
DROP_FIND_KEY = "DROP FUNCTION flagship_find_api_key(text);"


class Migration(migrations.Migration):
    dependencies = [("flagship", "0005_idempotency_claims"), ("jobs", "0007_wall")]

    operations = [
        wall("flagship_organization", f"id = {MINE}"),
        wall("flagship_apikey"),
        wall("flagship_auditevent"),
        wall("flagship_idempotencyrecord"),
        wall("flagship_organizationlimits"),
        migrations.RunSQL(FIND_KEY, DROP_FIND_KEY),
    ]
