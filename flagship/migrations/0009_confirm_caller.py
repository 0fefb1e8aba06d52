from django.db import migrations

# Whether an API key is still what a process remembers of it, sent together with BEGIN: what must
# not go on has to be an error of the database then. Runs as the caller, behind the wall: a key of
# another organization is not there. A client with a stage signs, or is about to: it is looked up.
FORWARD = """
CREATE FUNCTION flagship_confirm_caller(p_api_key_id uuid, p_key_hash text, p_scopes text[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM flagship_apikey AS client
    WHERE client.id = p_api_key_id AND client.blocked_at IS NULL
      AND client.key_hash = p_key_hash AND client.scopes = p_scopes::varchar[]
      AND NOT EXISTS (
          SELECT FROM flagship_signaturerollout AS rollout WHERE rollout.api_key_id = client.id
      );
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the API key is not what it was' USING
            ERRCODE = 'invalid_authorization_specification',
            CONSTRAINT = 'flagship_caller_unchanged';
    END IF;
END $$;
"""
BACKWARD = "DROP FUNCTION flagship_confirm_caller(uuid, text, text[]);"


class Migration(migrations.Migration):
    dependencies = [("flagship", "0008_store_answer")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
