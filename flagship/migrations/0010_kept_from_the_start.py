from django.db import migrations

# An answer is kept from the beginning of its transaction: the request is told when that was as it
# takes its key, and need not ask until when the answer is kept as it stores it.
FORWARD = """
CREATE OR REPLACE FUNCTION flagship_store_answer(
    p_key_hash bytea, p_organization_id uuid, p_method text, p_route text, p_fingerprint bytea,
    p_request_id text, p_status integer, p_headers jsonb, p_body bytea, p_kept_s integer
) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    stored_until timestamptz;
BEGIN
    INSERT INTO flagship_idempotencyrecord AS kept
        (key_hash, organization_id, method, route, fingerprint, request_id,
         status, headers, body, expires_at)
    VALUES (p_key_hash, p_organization_id, p_method, p_route, p_fingerprint, p_request_id,
            p_status, p_headers, p_body, now() + make_interval(secs => p_kept_s))
    ON CONFLICT (key_hash) DO UPDATE SET
        fingerprint = excluded.fingerprint, request_id = excluded.request_id,
        status = excluded.status, headers = excluded.headers, body = excluded.body,
        created_at = excluded.created_at, expires_at = excluded.expires_at
    WHERE kept.expires_at <= clock_timestamp()
    RETURNING kept.expires_at INTO stored_until;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key has an answer' USING
            ERRCODE = 'unique_violation', CONSTRAINT = 'flagship_answer_once';
    END IF;
    RETURN stored_until;
END $$;
"""
BACKWARD = FORWARD.replace("now() + make_interval", "clock_timestamp() + make_interval")


class Migration(migrations.Migration):
    dependencies = [("flagship", "0009_confirm_caller")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
