"""Audit events are never changed or removed, by whomever (F-03)."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION flagship_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = '23514', CONSTRAINT = TG_TABLE_NAME || '_append_only',
              TABLE = TG_TABLE_NAME;
END $$;

CREATE TRIGGER audit_event_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON flagship_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION flagship_refuse_change();
ALTER TABLE flagship_auditevent ENABLE ALWAYS TRIGGER audit_event_append_only;
"""
BACKWARD = """
DROP TRIGGER audit_event_append_only ON flagship_auditevent;
DROP FUNCTION flagship_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("flagship", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
