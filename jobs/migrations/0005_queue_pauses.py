from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_schedule_runs")]

    operations = [
        migrations.CreateModel(
            name="QueuePause",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("queue", models.CharField(max_length=100, unique=True)),
                ("paused_at", models.DateTimeField()),
                ("paused_by", models.CharField(max_length=150)),
                ("reason", models.CharField(max_length=500)),
                ("resume_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("queue",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("paused_by", ""), _negated=True),
                            models.Q(("reason", ""), _negated=True),
                        ),
                        name="queue_pause_has_actor_and_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("resume_at__isnull", True),
                            ("resume_at__gt", models.F("paused_at")),
                            _connector="OR",
                        ),
                        name="queue_pause_ends_after_it_begins",
                    ),
                ],
            },
        ),
    ]
