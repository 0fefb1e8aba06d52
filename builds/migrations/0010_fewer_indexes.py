"""Drop the indexes whose columns others begin with: a build writes five entries fewer.

By name, since altering a foreign key would drop its constraint and check every row anew.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

DROPPED = {
    "builds_build_organization_id_e55cf25c": "builds_build (organization_id)",
    "builds_build_project_id_5c35b3fd": "builds_build (project_id)",
    "builds_buildevent_build_id_a347eea6": "builds_buildevent (build_id)",
    "builds_buildlogline_build_id_42a64fa6": "builds_buildlogline (build_id)",
    "builds_buildtransition_build_id_37356e38": "builds_buildtransition (build_id)",
}


def _of_build(name: str) -> models.ForeignKey:  # type: ignore[type-arg]
    """Return the foreign key of a table that lies below a build."""
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=name,
        to="builds.build",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("builds", "0009_wall"),
        ("flagship", "0008_store_answer"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="build", name="build_project_listing_idx"),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(f"DROP INDEX {name}", f"CREATE INDEX {name} ON {columns}")
                for name, columns in DROPPED.items()
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="build",
                    name="organization",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="flagship.organization",
                    ),
                ),
                migrations.AlterField(
                    model_name="build",
                    name="project",
                    field=models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="builds",
                        to="builds.project",
                    ),
                ),
                migrations.AlterField("buildevent", "build", _of_build("events")),
                migrations.AlterField("buildlogline", "build", _of_build("log_lines")),
                migrations.AlterField("buildtransition", "build", _of_build("transitions")),
            ],
        ),
    ]
