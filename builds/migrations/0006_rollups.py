"""The rows of analytics, one a day, and what finds the builds they are made from (B-10)."""

from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("builds", "0005_limit_while_active"),
        ("credits", "0003_packages"),
        ("flagship", "0002_append_only"),
    ]

    operations = [
        migrations.CreateModel(
            name="BuildDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("builder", models.CharField(max_length=50)),
                ("queued", models.PositiveIntegerField()),
                ("building", models.PositiveIntegerField()),
                ("deployed", models.PositiveIntegerField()),
                ("failed", models.PositiveIntegerField()),
                ("cancelled", models.PositiveIntegerField()),
                ("charged_credits", models.PositiveBigIntegerField()),
                ("duration_s", models.FloatField()),
                (
                    "duration_buckets",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.SmallIntegerField(), size=None
                    ),
                ),
                (
                    "duration_counts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), size=None
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CreditDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("operation", models.CharField(max_length=20)),
                ("entries", models.PositiveIntegerField()),
                ("credits", models.PositiveBigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="RolledDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("rolled_at", models.DateTimeField()),
                ("active_builds", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="SegmentDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("segment", models.CharField(max_length=20)),
                ("operation", models.CharField(max_length=20)),
                ("organizations", models.PositiveIntegerField()),
                ("entries", models.PositiveIntegerField()),
                ("credits", models.PositiveBigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="UserDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("user", models.CharField(max_length=200)),
                ("charges", models.PositiveIntegerField()),
                ("credits", models.PositiveBigIntegerField()),
            ],
        ),
        migrations.AddIndex(
            model_name="build",
            index=models.Index(
                condition=models.Q(("state", "deployed")),
                fields=["project", "builder", "-id"],
                name="build_history_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="build",
            index=models.Index(fields=["queued_at"], name="build_queued_at_idx"),
        ),
        migrations.AddField(
            model_name="buildday",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="flagship.organization",
            ),
        ),
        migrations.AddField(
            model_name="creditday",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="flagship.organization",
            ),
        ),
        migrations.AddConstraint(
            model_name="segmentday",
            constraint=models.UniqueConstraint(
                fields=("day", "segment", "operation"), name="segment_day_unique"
            ),
        ),
        migrations.AddField(
            model_name="userday",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="flagship.organization",
            ),
        ),
        migrations.AddIndex(
            model_name="buildday",
            index=models.Index(fields=["day"], name="build_day_day_idx"),
        ),
        migrations.AddConstraint(
            model_name="buildday",
            constraint=models.UniqueConstraint(
                fields=("organization", "day", "builder"), name="build_day_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="buildday",
            constraint=models.CheckConstraint(
                condition=models.Q(("duration_s__gte", 0)), name="build_day_duration_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="buildday",
            constraint=models.CheckConstraint(
                condition=models.Q(("duration_buckets__len", models.F("duration_counts__len"))),
                name="build_day_histogram_complete",
            ),
        ),
        migrations.AddIndex(
            model_name="creditday",
            index=models.Index(fields=["day"], name="credit_day_day_idx"),
        ),
        migrations.AddConstraint(
            model_name="creditday",
            constraint=models.UniqueConstraint(
                fields=("organization", "day", "operation"), name="credit_day_unique"
            ),
        ),
        migrations.AddIndex(
            model_name="userday",
            index=models.Index(fields=["day"], name="user_day_day_idx"),
        ),
        migrations.AddConstraint(
            model_name="userday",
            constraint=models.UniqueConstraint(
                fields=("organization", "day", "user"), name="user_day_unique"
            ),
        ),
    ]
