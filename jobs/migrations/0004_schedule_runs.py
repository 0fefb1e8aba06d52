import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_telemetry")]

    operations = [
        migrations.CreateModel(
            name="ScheduleRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("schedule", models.CharField(max_length=100)),
                ("planned_at", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("enqueued", "enqueued"),
                            ("caught_up", "caught_up"),
                            ("missed", "missed"),
                            ("by_hand", "by_hand"),
                        ],
                        max_length=10,
                    ),
                ),
                ("job_id", models.UUIDField(blank=True, null=True)),
                ("note", models.CharField(blank=True, db_default="", default="", max_length=200)),
                (
                    "decided_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={"ordering": ("-planned_at", "-id")},
        ),
        migrations.AddField(
            model_name="schedule",
            name="catch_up",
            field=models.CharField(
                choices=[("one", "one"), ("all", "all"), ("skip", "skip")],
                db_default="one",
                default="one",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="grace_s",
            field=models.FloatField(db_default=30.0, default=30.0),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("catch_up__in", ["one", "all", "skip"])),
                name="schedule_catch_up_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("grace_s__gte", 0)), name="schedule_grace_s_not_negative"
            ),
        ),
        migrations.AddIndex(
            model_name="schedulerun",
            index=models.Index(fields=["planned_at"], name="schedule_run_planned_idx"),
        ),
        migrations.AddConstraint(
            model_name="schedulerun",
            constraint=models.UniqueConstraint(
                fields=("schedule", "planned_at"), name="schedule_run_once_per_period"
            ),
        ),
        migrations.AddConstraint(
            model_name="schedulerun",
            constraint=models.CheckConstraint(
                condition=models.Q(("outcome__in", ["enqueued", "caught_up", "missed", "by_hand"])),
                name="schedule_run_outcome_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="schedulerun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("job_id__isnull", True), ("outcome", "missed")),
                    models.Q(
                        models.Q(("outcome", "missed"), _negated=True), ("job_id__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="schedule_run_job_unless_missed",
            ),
        ),
    ]
