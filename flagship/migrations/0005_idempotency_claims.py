"""A key is held by a lock from its request's first statement to its end (E-01)."""

from django.db import migrations

# The lock is on 64 bits of the hash: two keys that share them wait for each other and no more. What
# decides is the primary key of the answers.
FORWARD = """
CREATE FUNCTION flagship_key_lock(key_hash bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT ('x' || encode(substring(key_hash FROM 1 FOR 8), 'hex'))::bit(64)::bigint
$$;

-- Each statement in here sees what was committed before it began: what the twin that was waited
-- for has left behind is seen.
CREATE FUNCTION flagship_claim_key(wanted bytea, lock_timeout_ms integer)
RETURNS TABLE (
    fingerprint bytea, request_id varchar, status smallint, headers jsonb, body bytea,
    created_at timestamptz, expires_at timestamptz
)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM set_config('lock_timeout', lock_timeout_ms || 'ms', true);
    PERFORM pg_advisory_xact_lock(flagship_key_lock(wanted));
    RETURN QUERY
        SELECT kept.fingerprint, kept.request_id, kept.status, kept.headers, kept.body,
               kept.created_at, kept.expires_at
        FROM flagship_idempotencyrecord AS kept
        WHERE kept.key_hash = wanted AND kept.expires_at > clock_timestamp();
END $$;

-- Looks by trying: the shared lock is gone with the statement that asked.
CREATE FUNCTION flagship_key_is_held(wanted bytea) RETURNS boolean
LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT NOT pg_try_advisory_xact_lock_shared(flagship_key_lock(wanted))
$$;
"""
BACKWARD = """
DROP FUNCTION flagship_key_is_held(bytea);
DROP FUNCTION flagship_claim_key(bytea, integer);
DROP FUNCTION flagship_key_lock(bytea);
"""


class Migration(migrations.Migration):
    dependencies = [("flagship", "0004_limits")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
