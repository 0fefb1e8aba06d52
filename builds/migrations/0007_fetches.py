"""Sources that are fetched from git repositories (B-05)."""

from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import jobs.ids


class Migration(migrations.Migration):
    dependencies = [
        ("builds", "0006_rollups"),
        ("flagship", "0002_append_only"),
    ]

    operations = [
        migrations.CreateModel(
            name="Fetch",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=jobs.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("url", models.CharField(max_length=500)),
                ("ref", models.CharField(blank=True, default="", max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[("queued", "queued"), ("ready", "ready"), ("failed", "failed")],
                        default="queued",
                        max_length=10,
                    ),
                ),
                ("job_id", models.UUIDField(unique=True)),
                ("commit", models.CharField(blank=True, max_length=40, null=True)),
                (
                    "left_out",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=400),
                        blank=True,
                        default=list,
                        size=None,
                    ),
                ),
                ("error_code", models.CharField(blank=True, max_length=60, null=True)),
                ("error_message", models.CharField(blank=True, default="", max_length=2000)),
                ("created_by", models.CharField(max_length=150)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="flagship.organization",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="fetches",
                        to="builds.project",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="builds.source",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "fetches",
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["project", "-id"], name="fetch_listing_idx")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state", "queued"),
                            ("state", "ready"),
                            ("state", "failed"),
                            _connector="OR",
                        ),
                        name="fetch_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("state", "ready"),
                                ("commit__isnull", False),
                                ("source__isnull", False),
                            ),
                            models.Q(
                                models.Q(("state", "ready"), _negated=True),
                                ("commit__isnull", True),
                                ("source__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="fetch_source_of_ready",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "failed"), ("error_code__isnull", False)),
                            models.Q(
                                models.Q(("state", "failed"), _negated=True),
                                ("error_code__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="fetch_error_of_failed",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "queued"), ("finished_at__isnull", True)),
                            models.Q(
                                models.Q(("state", "queued"), _negated=True),
                                ("finished_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="fetch_finished_at_once_ended",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "queued")),
                        fields=("project",),
                        name="fetch_one_at_a_time",
                    ),
                ],
            },
        ),
    ]
