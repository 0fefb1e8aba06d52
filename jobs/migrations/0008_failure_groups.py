"""Failure groups, counted by the database; tombstones; indexes for lists of a million (D-07)."""

from __future__ import annotations

from pathlib import Path

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import migrations, models
from django.db.models.functions import Now

from jobs.migrations._wall import wall

SQL = Path(__file__).parent / "sql"


def _read(name):
    return (SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_wall")]

    operations = [
        migrations.CreateModel(
            name="FailureGroup",
            fields=[
                (
                    "fingerprint",
                    models.CharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("kind", models.CharField(max_length=100)),
                ("error_class", models.CharField(max_length=200)),
                ("message", models.TextField(blank=True, default="")),
                ("deaths", models.BigIntegerField(default=0)),
                ("open", models.BigIntegerField(default=0)),
                ("first_seen_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                ("acknowledged_by", models.CharField(blank=True, default="", max_length=150)),
                ("acknowledged_deaths", models.BigIntegerField(blank=True, null=True)),
                ("note", models.TextField(blank=True, default="")),
            ],
            options={
                "verbose_name": "failure group",
                "ordering": ("-last_seen_at", "fingerprint"),
                "permissions": [
                    ("acknowledge_failuregroup", "Can acknowledge and annotate a failure group")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("open__gte", 0), ("open__lte", models.F("deaths"))),
                        name="failure_group_open_within_deaths",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("acknowledged_at__isnull", True),
                                ("acknowledged_by", ""),
                                ("acknowledged_deaths__isnull", True),
                            ),
                            models.Q(
                                ("acknowledged_at__isnull", False),
                                ("acknowledged_deaths__isnull", False),
                                models.Q(("acknowledged_by", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="failure_group_acknowledged_whole",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FailureHour",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("fingerprint", models.CharField(max_length=64)),
                ("hour", models.DateTimeField()),
                ("deaths", models.BigIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["hour"], name="failure_hour_idx")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("fingerprint", "hour"), name="failure_hour_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="FailureDelta",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("fingerprint", models.CharField(max_length=64)),
                ("deaths", models.BigIntegerField()),
                ("open", models.BigIntegerField()),
                ("hour", models.DateTimeField(blank=True, null=True)),
                ("first_at", models.DateTimeField(blank=True, null=True)),
                ("last_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["fingerprint"], name="failure_delta_fingerprint_idx")
                ],
            },
        ),
        migrations.CreateModel(
            name="LetterTombstone",
            fields=[
                ("letter_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("job_id", models.UUIDField()),
                ("kind", models.CharField(max_length=100)),
                ("queue", models.CharField(max_length=100)),
                ("organization_id", models.UUIDField(blank=True, null=True)),
                ("error_class", models.CharField(max_length=200)),
                ("fingerprint", models.CharField(max_length=64)),
                ("attempts", models.PositiveIntegerField()),
                ("payload_sha256", models.CharField(max_length=64)),
                ("state", models.CharField(max_length=20)),
                ("died_at", models.DateTimeField()),
                ("resolved_by", models.CharField(blank=True, default="", max_length=200)),
                ("reason", models.TextField(blank=True, default="")),
                ("request_id", models.CharField(blank=True, default="", max_length=100)),
                ("removed_at", models.DateTimeField(db_default=Now())),
                ("removed_by", models.CharField(max_length=150)),
            ],
            options={
                "verbose_name": "deleted dead letter",
                "ordering": ("-removed_at", "-letter_id"),
                "indexes": [
                    models.Index(fields=["job_id"], name="letter_tombstone_job_idx"),
                    models.Index(
                        fields=["fingerprint", "-died_at"], name="letter_tombstone_group_idx"
                    ),
                    models.Index(
                        fields=["-removed_at", "-letter_id"], name="letter_tombstone_removed_idx"
                    ),
                ],
            },
        ),
        wall("jobs_lettertombstone"),
        migrations.AlterModelOptions(
            name="failedjob",
            options={
                "ordering": ("-died_at", "-id"),
                "permissions": [
                    ("requeue_failedjob", "Can requeue a dead letter"),
                    ("discard_failedjob", "Can discard a dead letter"),
                    ("edit_failedjob", "Can edit the payload of a dead letter and requeue it"),
                    ("clean_failedjob", "Can clean up old dead letters"),
                ],
                "verbose_name": "dead letter",
            },
        ),
        migrations.AddField(
            model_name="failedjob",
            name="edited_payload",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="failedjob",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("edited_payload__isnull", True), ("state", "requeued"), _connector="OR"
                ),
                name="failed_job_edited_when_requeued",
            ),
        ),
        migrations.RemoveIndex(model_name="failedjob", name="failed_job_state_idx"),
        migrations.RemoveIndex(model_name="failedjob", name="failed_job_fingerprint_idx"),
        *(
            migrations.AddIndex(
                model_name="failedjob",
                index=models.Index(fields=[*fields, "-died_at", "-id"], name=name),
            )
            for name, fields in (
                ("failed_job_died_idx", []),
                ("failed_job_state_idx", ["state"]),
                ("failed_job_queue_idx", ["queue"]),
                ("failed_job_kind_idx", ["kind"]),
                ("failed_job_error_idx", ["error_class"]),
                ("failed_job_organization_idx", ["organization_id"]),
            )
        ),
        migrations.AddIndex(
            model_name="failedjob",
            index=models.Index(
                fields=["fingerprint", "-died_at", "-id"],
                include=("state",),
                name="failed_job_fingerprint_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="failedjob",
            index=models.Index(fields=["request_id"], name="failed_job_request_idx"),
        ),
        migrations.AddIndex(
            model_name="failedjob",
            index=GinIndex(
                fields=["payload"], opclasses=["jsonb_path_ops"], name="failed_job_payload_idx"
            ),
        ),
        migrations.AddIndex(
            model_name="failedjob",
            index=GinIndex(
                SearchVector("message", config="simple"),
                name="failed_job_message_idx",
            ),
        ),
        migrations.RunSQL(_read("failures.sql"), _read("undo_failures.sql")),
    ]
