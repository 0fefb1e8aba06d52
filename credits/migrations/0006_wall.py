"""Row-level security of the ledger, also in the functions that run as its owner (P24, ADR 0015)."""

from __future__ import annotations

from django.db import migrations

from jobs.migrations._wall import MINE, wall

# Every operation begins here with the organization it is for. The owner, as whom they run, is
# bound by no policy: so what the policies compare is compared here.
LOCK = f"""
CREATE OR REPLACE FUNCTION credits_lock_account(p_organization uuid)
RETURNS credits_account LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_account credits_account;
BEGIN
    IF p_organization = coalesce({MINE}, p_organization) THEN
        SELECT * INTO v_account FROM credits_account
         WHERE organization_id = p_organization FOR NO KEY UPDATE;
    END IF;
    IF v_account.id IS NULL THEN
        PERFORM credits_refuse('credits_account_not_found', 'the organization has no account');
    END IF;
    RETURN v_account;
END $$;
"""  # noqa: S608 (no input)
LOCK_BEFORE = """
CREATE OR REPLACE FUNCTION credits_lock_account(p_organization uuid)
RETURNS credits_account LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_account credits_account;
BEGIN
    SELECT * INTO v_account FROM credits_account
     WHERE organization_id = p_organization FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_account_not_found', 'the organization has no account');
    END IF;
    RETURN v_account;
END $$;
"""

# One row at most, looked up once for each statement.
ACCOUNT = f"(SELECT id FROM credits_account WHERE organization_id = {MINE})"  # noqa: S608


class Migration(migrations.Migration):
    dependencies = [("credits", "0005_entry_times"), ("flagship", "0006_wall")]

    operations = [
        wall("credits_account"),
        *(
            wall(f"credits_{name}", f"account_id = {ACCOUNT}")
            for name in ("reservation", "entry", "lot", "draw", "freeze")
        ),
        migrations.RunSQL(LOCK, LOCK_BEFORE),
    ]
