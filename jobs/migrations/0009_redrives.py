"""Redrives: one answer to everything a filter matches (D-03, D-07)."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.functions.datetime
from django.db import migrations, models

import jobs.ids

SQL = Path(__file__).parent / "sql"


def _read(name):
    return (SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [("jobs", "0008_failure_groups")]

    operations = [
        migrations.CreateModel(
            name="Redrive",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=jobs.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("proposed", "proposed"),
                            ("running", "running"),
                            ("finished", "finished"),
                            ("stopped", "stopped"),
                            ("aborted", "aborted"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[("requeue", "requeue"), ("discard", "discard")], max_length=20
                    ),
                ),
                ("wanted", models.JSONField()),
                ("queue", models.CharField(blank=True, max_length=100)),
                ("bound_died_at", models.DateTimeField()),
                ("bound_id", models.BigIntegerField()),
                ("size", models.IntegerField()),
                ("rate_per_s", models.FloatField()),
                ("ramp_s", models.FloatField()),
                ("canary_size", models.IntegerField()),
                ("canary_wait_s", models.FloatField()),
                ("returns_max", models.IntegerField()),
                ("reason", models.CharField(max_length=500)),
                ("requested_by", models.CharField(max_length=150)),
                (
                    "requested_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("is_approval_needed", models.BooleanField()),
                (
                    "approved_by",
                    models.CharField(blank=True, db_default="", default="", max_length=150),
                ),
                ("job_id", models.UUIDField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("free_at", models.DateTimeField(blank=True, null=True)),
                ("at_died_at", models.DateTimeField(blank=True, null=True)),
                ("at_id", models.BigIntegerField(blank=True, null=True)),
                ("done", models.IntegerField(db_default=0, default=0)),
                ("refused", models.IntegerField(db_default=0, default=0)),
                ("refusals", models.JSONField(default=dict)),
                ("returned", models.IntegerField(db_default=0, default=0)),
                (
                    "canary_jobs",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(), default=list, size=None
                    ),
                ),
                ("canary_sent_at", models.DateTimeField(blank=True, null=True)),
                ("canary_passed_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "ended_by",
                    models.CharField(blank=True, db_default="", default="", max_length=150),
                ),
                ("note", models.CharField(blank=True, db_default="", default="", max_length=500)),
            ],
            options={
                "ordering": ("-id",),
                "permissions": [
                    ("start_redrive", "Can answer everything a filter matches"),
                    ("approve_redrive", "Can approve what another has asked for"),
                    ("abort_redrive", "Can abort a redrive"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "running")),
                        fields=("queue",),
                        name="redrive_one_running_per_queue",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("action__in", ["requeue", "discard"])),
                        name="redrive_action_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("reason", ""), _negated=True),
                            models.Q(("requested_by", ""), _negated=True),
                        ),
                        name="redrive_has_actor_and_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("canary_size__gte", 0),
                            ("ramp_s__gte", 0),
                            ("rate_per_s__gt", 0),
                            ("size__gt", 0),
                            ("canary_wait_s__gt", 0),
                            ("done__gte", 0),
                            ("refused__gte", 0),
                            ("returns_max__gte", 0),
                            ("returned__gte", 0),
                        ),
                        name="redrive_numbers_sane",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("is_approval_needed", False),
                            ("state__in", ["proposed", "aborted"]),
                            models.Q(("approved_by", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="redrive_approved_where_needed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("approved_by", ""),
                            models.Q(("approved_by", models.F("requested_by")), _negated=True),
                            _connector="OR",
                        ),
                        name="redrive_approved_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("ended_at__isnull", True),
                                ("ended_by", ""),
                                ("state__in", ["proposed", "running"]),
                            ),
                            models.Q(
                                models.Q(("state__in", ["proposed", "running"]), _negated=True),
                                ("ended_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="redrive_ended_at_when_over",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("job_id__isnull", True),
                                ("started_at__isnull", True),
                                ("state", "proposed"),
                            ),
                            models.Q(
                                ("job_id__isnull", True),
                                ("started_at__isnull", True),
                                ("state", "aborted"),
                            ),
                            models.Q(
                                models.Q(("state", "proposed"), _negated=True),
                                ("job_id__isnull", False),
                                ("started_at__isnull", False),
                                ("due_at__isnull", False),
                                ("free_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="redrive_has_a_job_once_started",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("at_died_at__isnull", True),
                                ("at_id__isnull", True),
                                ("done", 0),
                                ("refused", 0),
                            ),
                            models.Q(("at_died_at__isnull", False), ("at_id__isnull", False)),
                            _connector="OR",
                        ),
                        name="redrive_counts_what_it_passed",
                    ),
                ],
            },
        ),
        migrations.AlterModelOptions(
            name="failedjob",
            options={
                "ordering": ("-died_at", "-id"),
                "permissions": [
                    ("requeue_failedjob", "Can requeue a dead letter"),
                    ("discard_failedjob", "Can discard a dead letter"),
                    ("edit_failedjob", "Can edit the payload of a dead letter and requeue it"),
                    ("clean_failedjob", "Can clean up old dead letters"),
                    ("export_failedjob", "Can export dead letters"),
                ],
                "verbose_name": "dead letter",
            },
        ),
        migrations.RunSQL(_read("redrives.sql"), _read("undo_redrives.sql")),
    ]
