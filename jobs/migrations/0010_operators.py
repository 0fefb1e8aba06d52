from django.db import migrations


class Migration(migrations.Migration):
    """What operators may do to queues, jobs and schedules; the tables stay as they are."""

    dependencies = [("jobs", "0009_redrives")]

    operations = [
        migrations.AlterModelOptions(
            name="job",
            options={
                "ordering": ("-id",),
                "permissions": [("cancel_job", "Can cancel a job, or stop it")],
            },
        ),
        migrations.AlterModelOptions(
            name="queuepause",
            options={
                "ordering": ("queue",),
                "permissions": [("pause_queue", "Can pause and resume a queue")],
                "verbose_name": "queue",
            },
        ),
        migrations.AlterModelOptions(
            name="schedule",
            options={
                "ordering": ("name",),
                "permissions": [
                    ("run_schedule", "Can run a schedule now"),
                    ("pause_schedule", "Can pause and resume a schedule"),
                ],
            },
        ),
        migrations.AlterModelOptions(
            name="telemetryevent",
            options={"ordering": ("-sequence",), "verbose_name_plural": "live log"},
        ),
        migrations.AlterModelOptions(
            name="workerheartbeat",
            options={"ordering": ("role", "started_at", "name"), "verbose_name": "worker"},
        ),
    ]
