"""SQL of the walls: row-level security of tables whose rows belong to organizations (ADR 0015)."""

from __future__ import annotations

from django.conf import settings
from django.db import migrations

# The organization of this transaction; NULL, and so nobody's, where none was named. An expression
# and no function: one with a fixed search_path is not inlined.
MINE = "nullif(current_setting('flagship.organization', true), '')::uuid"

# `platform` sees all rows: whoever holds privileges on the table now goes on as before, and
# `grant_application_role` names the application role. `tenant` binds everybody else.
_RAISE = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING ({condition});
DO $do$
DECLARE
    v_roles text := (
        SELECT string_agg(DISTINCT quote_ident(rolname), ', ')
          FROM pg_class, aclexplode(relacl) AS granted JOIN pg_roles ON pg_roles.oid = grantee
         WHERE pg_class.oid = '{table}'::regclass AND grantee <> relowner
           AND rolname <> '{tenant}');
BEGIN
    IF v_roles IS NOT NULL THEN
        EXECUTE format('CREATE POLICY platform ON {table} TO %s USING (true)', v_roles);
    END IF;
END $do$;
"""
_RAZE = """
DROP POLICY IF EXISTS platform ON {table};
DROP POLICY tenant ON {table};
ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
"""


def wall(table: str, condition: str = f"organization_id = {MINE}") -> migrations.RunSQL:
    """Let tenants see and write a table's rows only where `condition` holds."""
    names = {"table": table, "condition": condition, "tenant": settings.DATABASE_TENANT_ROLE}
    return migrations.RunSQL(_RAISE.format(**names), _RAZE.format(**names))
