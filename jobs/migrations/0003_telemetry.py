"""Telemetry events, numbered in the order of their commits; heartbeats of workers (O-02, O-03)."""

import django.contrib.postgres.fields
from django.db import migrations, models

# Taken before the first row gets its number and held until the transaction ends: a number that
# can be seen has no smaller one still to come. The key is any constant nobody else uses.
IN_ORDER = """
CREATE FUNCTION jobs_telemetry_in_order() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(7307201902);
    RETURN NULL;
END
$body$;

CREATE TRIGGER telemetry_in_order
    BEFORE INSERT ON jobs_telemetryevent
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_telemetry_in_order();
ALTER TABLE jobs_telemetryevent ENABLE ALWAYS TRIGGER telemetry_in_order;
"""
OUT_OF_ORDER = """
DROP TRIGGER telemetry_in_order ON jobs_telemetryevent;
DROP FUNCTION jobs_telemetry_in_order();
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_shapes")]

    operations = [
        migrations.CreateModel(
            name="TelemetryEvent",
            fields=[
                ("sequence", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.UUIDField(unique=True)),
                ("name", models.CharField(max_length=100)),
                ("at", models.DateTimeField()),
                ("organization_id", models.UUIDField(blank=True, null=True)),
                ("source", models.CharField(max_length=150)),
                ("request_id", models.CharField(blank=True, default="", max_length=100)),
                ("correlation_id", models.CharField(blank=True, default="", max_length=100)),
                ("data", models.JSONField(default=dict)),
            ],
            options={
                "ordering": ("-sequence",),
                "indexes": [
                    models.Index(
                        fields=["organization_id", "-sequence"], name="telemetry_organization_idx"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True),
                        name="telemetry_event_has_a_name",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WorkerHeartbeat",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("host", models.CharField(max_length=100)),
                ("pid", models.PositiveIntegerField()),
                ("role", models.CharField(max_length=20)),
                (
                    "queues",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), default=list, size=None
                    ),
                ),
                ("slots", models.PositiveIntegerField(default=0)),
                ("busy", models.PositiveIntegerField(default=0)),
                ("jobs_done", models.PositiveBigIntegerField(default=0)),
                ("memory_bytes", models.PositiveBigIntegerField(default=0)),
                ("version", models.CharField(blank=True, default="", max_length=50)),
                ("started_at", models.DateTimeField()),
                ("beat_at", models.DateTimeField()),
                ("stopping", models.BooleanField(default=False)),
                ("stopped_at", models.DateTimeField(blank=True, null=True)),
                ("stale_reported_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("role", "started_at", "name"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ["worker", "scheduler"])),
                        name="worker_heartbeat_role_known",
                    )
                ],
            },
        ),
        migrations.RunSQL(IN_ORDER, OUT_OF_ORDER),
    ]
