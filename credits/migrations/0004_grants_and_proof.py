"""Lots of grants, reversals, daily statements and freezes: tables, checks, guards, operations.

One transaction: the release before goes on working right up to it and behind it.
"""

from __future__ import annotations

import datetime

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
import django.db.models.functions.datetime
from django.db import migrations, models

from credits.migrations import _lots

# Every grant before this one has the same terms. Nothing else may touch the ledger's history.
GIVE_TERMS = """
ALTER TABLE credits_entry DISABLE TRIGGER credits_entry_append_only;
UPDATE credits_entry SET priority = 100 WHERE kind = 'grant';
ALTER TABLE credits_entry ENABLE ALWAYS TRIGGER credits_entry_append_only;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("credits", "0003_packages"),
        ("flagship", "0002_append_only"),
    ]

    operations = [
        migrations.CreateModel(
            name="Draw",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField()),
                ("lot_seq", models.BigIntegerField()),
                ("number", models.BigIntegerField()),
                ("amount", models.BigIntegerField()),
                ("remaining_after", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Freeze",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("findings", models.JSONField()),
                (
                    "frozen_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("lifted_at", models.DateTimeField(blank=True, null=True)),
                ("lifted_by", models.TextField(blank=True, db_default="", default="")),
                ("lift_reason", models.TextField(blank=True, db_default="", default="")),
            ],
            options={
                "permissions": [("lift_freeze", "Can lift the freeze of a credit account")],
            },
        ),
        migrations.CreateModel(
            name="Lot",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField()),
                ("amount", models.BigIntegerField()),
                ("remaining", models.BigIntegerField(db_default=0, default=0)),
                ("draws", models.BigIntegerField(db_default=0, default=0)),
                ("priority", models.SmallIntegerField()),
                ("lapses_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(editable=False)),
            ],
            options={"verbose_name": "grant"},
        ),
        migrations.CreateModel(
            name="Statement",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.BigIntegerField(unique=True)),
                (
                    "previous_number",
                    models.GeneratedField(
                        db_persist=True,
                        expression=django.db.models.expressions.CombinedExpression(
                            django.db.models.functions.comparison.NullIf(
                                models.F("number"), models.Value(0)
                            ),
                            "-",
                            models.Value(1),
                        ),
                        output_field=models.BigIntegerField(null=True),
                    ),
                ),
                ("day", models.DateField(unique=True)),
                ("accounts", models.BigIntegerField()),
                ("entries", models.BigIntegerField()),
                ("balance", models.BigIntegerField()),
                ("reserved", models.BigIntegerField()),
                ("issued", models.BigIntegerField()),
                ("charged", models.BigIntegerField()),
                ("lapsed", models.BigIntegerField()),
                ("drifting", models.BigIntegerField()),
                ("digest", models.TextField()),
                ("previous_hash", models.TextField()),
                ("hash", models.TextField()),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
        ),
        migrations.AlterModelOptions(
            name="account",
            options={"permissions": [("grant_credits", "Can grant credits to an account")]},
        ),
        migrations.AlterModelOptions(
            name="entry",
            options={
                "permissions": [("reverse_entry", "Can reverse a grant or a charge")],
                "verbose_name_plural": "entries",
            },
        ),
        migrations.RemoveConstraint(
            model_name="account",
            name="credits_account_books_cancel",
        ),
        migrations.RemoveConstraint(
            model_name="entry",
            name="credits_entry_books_cancel",
        ),
        migrations.RemoveConstraint(
            model_name="entry",
            name="credits_entry_kind_moves_its_books",
        ),
        migrations.AddField(
            model_name="account",
            name="lapsed",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="entry",
            name="lapsed_delta",
            field=models.BigIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="entry",
            name="lapses_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="entry",
            name="original_seq",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="entry",
            name="priority",
            field=models.SmallIntegerField(blank=True, null=True),
        ),
        migrations.RunSQL(GIVE_TERMS, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="entry",
            name="kind",
            field=models.TextField(
                choices=[
                    ("open", "Open"),
                    ("grant", "Grant"),
                    ("reserve", "Reserve"),
                    ("commit", "Commit"),
                    ("release", "Release"),
                    ("expire", "Expire"),
                    ("lapse", "Lapse"),
                    ("reversal", "Reversal"),
                ]
            ),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(fields=["account", "created_at", "seq"], name="credits_entry_at"),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(
                condition=models.Q(("original_seq__isnull", False)),
                fields=["account", "original_seq"],
                name="credits_entry_about",
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "balance",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("issued"), "-", models.F("charged")
                            ),
                            "-",
                            models.F("lapsed"),
                        ),
                    ),
                    ("charged__gte", 0),
                    ("issued__gte", 0),
                    ("lapsed__gte", 0),
                ),
                name="credits_account_books_cancel",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("kind", "reversal"), models.Q(("reference", ""), _negated=True)
                ),
                fields=("account", "reference"),
                name="credits_entry_reversal_reference_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "balance_delta",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("issued_delta"), "-", models.F("charged_delta")
                            ),
                            "-",
                            models.F("lapsed_delta"),
                        ),
                    )
                ),
                name="credits_entry_books_cancel",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("kind", "grant"),
                        ("priority__gte", 0),
                        ("priority__isnull", False),
                        ("priority__lte", 1000),
                        models.Q(
                            ("lapses_at__isnull", True),
                            ("lapses_at__gt", models.F("created_at")),
                            _connector="OR",
                        ),
                    ),
                    models.Q(
                        models.Q(("kind", "grant"), _negated=True),
                        ("lapses_at__isnull", True),
                        ("priority__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="credits_entry_grant_has_terms",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("kind__in", ("lapse", "reversal")),
                        ("original_seq__isnull", False),
                        ("original_seq__lt", models.F("seq")),
                    ),
                    models.Q(
                        models.Q(("kind__in", ("lapse", "reversal")), _negated=True),
                        ("original_seq__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="credits_entry_original_named",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("balance_delta", 0),
                        ("charged_delta", 0),
                        ("hold__isnull", True),
                        ("issued_delta", 0),
                        ("kind", "open"),
                        ("lapsed_delta", 0),
                        ("reservation__isnull", True),
                        ("reserved_delta", 0),
                    ),
                    models.Q(
                        ("balance_delta__gte", 1),
                        ("charged_delta", 0),
                        ("hold__isnull", True),
                        ("issued_delta__gte", 1),
                        ("kind", "grant"),
                        ("lapsed_delta", 0),
                        ("reservation__isnull", True),
                        ("reserved_delta", 0),
                    ),
                    models.Q(
                        ("balance_delta", 0),
                        ("charged_delta", 0),
                        ("hold__gte", 1),
                        ("hold__isnull", False),
                        ("issued_delta", 0),
                        ("kind", "reserve"),
                        ("lapsed_delta", 0),
                        ("reservation__isnull", False),
                        ("reserved_delta", models.F("hold")),
                    ),
                    models.Q(
                        ("balance_delta__lte", 0),
                        ("charged_delta__gte", 0),
                        ("hold__gte", 1),
                        ("hold__isnull", False),
                        ("issued_delta", 0),
                        ("kind", "commit"),
                        ("lapsed_delta", 0),
                        ("reservation__isnull", False),
                        (
                            "reserved_delta",
                            django.db.models.expressions.CombinedExpression(
                                models.F("hold"), "*", models.Value(-1)
                            ),
                        ),
                    ),
                    models.Q(
                        ("balance_delta", 0),
                        ("charged_delta", 0),
                        ("hold__gte", 1),
                        ("hold__isnull", False),
                        ("issued_delta", 0),
                        ("kind", "release"),
                        ("lapsed_delta", 0),
                        ("reservation__isnull", False),
                        (
                            "reserved_delta",
                            django.db.models.expressions.CombinedExpression(
                                models.F("hold"), "*", models.Value(-1)
                            ),
                        ),
                    ),
                    models.Q(
                        ("balance_delta", 0),
                        ("charged_delta", 0),
                        ("hold__gte", 1),
                        ("hold__isnull", False),
                        ("issued_delta", 0),
                        ("kind", "expire"),
                        ("lapsed_delta", 0),
                        ("reservation__isnull", False),
                        (
                            "reserved_delta",
                            django.db.models.expressions.CombinedExpression(
                                models.F("hold"), "*", models.Value(-1)
                            ),
                        ),
                    ),
                    models.Q(
                        ("balance_delta__lte", -1),
                        ("charged_delta", 0),
                        ("hold__isnull", True),
                        ("issued_delta", 0),
                        ("kind", "lapse"),
                        ("lapsed_delta__gte", 1),
                        ("reservation__isnull", True),
                        ("reserved_delta", 0),
                    ),
                    models.Q(
                        ("balance_delta__lte", -1),
                        ("charged_delta", 0),
                        ("hold__isnull", True),
                        ("issued_delta__lte", -1),
                        ("kind", "reversal"),
                        ("lapsed_delta", 0),
                        ("reservation__isnull", True),
                        ("reserved_delta", 0),
                    ),
                    models.Q(
                        ("balance_delta__gte", 1),
                        ("charged_delta__lte", -1),
                        ("hold__isnull", True),
                        ("issued_delta", 0),
                        ("kind", "reversal"),
                        ("lapsed_delta", 0),
                        ("reservation__isnull", True),
                        ("reserved_delta", 0),
                    ),
                    _connector="OR",
                ),
                name="credits_entry_kind_moves_its_books",
            ),
        ),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "expires_at__lte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("created_at"), "+", models.Value(datetime.timedelta(days=7))
                        ),
                    )
                ),
                name="credits_reservation_life_bounded",
            ),
        ),
        migrations.AddField(
            model_name="draw",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="credits.account",
            ),
        ),
        migrations.AddField(
            model_name="freeze",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="freezes",
                to="credits.account",
            ),
        ),
        migrations.AddField(
            model_name="lot",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lots",
                to="credits.account",
            ),
        ),
        migrations.AddConstraint(
            model_name="statement",
            constraint=models.UniqueConstraint(
                fields=("number", "hash"), name="credits_statement_link"
            ),
        ),
        migrations.AddConstraint(
            model_name="statement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "balance",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("issued"), "-", models.F("charged")
                            ),
                            "-",
                            models.F("lapsed"),
                        ),
                    )
                ),
                name="credits_statement_books_cancel",
            ),
        ),
        migrations.AddConstraint(
            model_name="draw",
            constraint=models.UniqueConstraint(
                fields=("account", "seq", "lot_seq"), name="credits_draw_each_lot_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="draw",
            constraint=models.UniqueConstraint(
                fields=("account", "lot_seq", "number"), name="credits_draw_number_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="draw",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount", 0), _negated=True), name="credits_draw_moves"
            ),
        ),
        migrations.AddConstraint(
            model_name="freeze",
            constraint=models.UniqueConstraint(
                condition=models.Q(("lifted_at__isnull", True)),
                fields=("account",),
                name="credits_freeze_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="freeze",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lift_reason", ""), ("lifted_at__isnull", True), ("lifted_by", "")),
                    models.Q(
                        ("lifted_at__isnull", False),
                        models.Q(("lifted_by", ""), _negated=True),
                        models.Q(("lift_reason", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="credits_freeze_lifted_by_somebody",
            ),
        ),
        migrations.AddIndex(
            model_name="lot",
            index=models.Index(
                condition=models.Q(("remaining__gt", 0)),
                fields=["account", "priority", "lapses_at", "seq"],
                name="credits_lot_live",
            ),
        ),
        migrations.AddIndex(
            model_name="lot",
            index=models.Index(
                condition=models.Q(("lapses_at__isnull", False), ("remaining__gt", 0)),
                fields=["lapses_at"],
                name="credits_lot_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="lot",
            constraint=models.UniqueConstraint(
                fields=("account", "seq"), name="credits_lot_of_its_grant"
            ),
        ),
        migrations.AddConstraint(
            model_name="lot",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 1)), name="credits_lot_amount_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="lot",
            constraint=models.CheckConstraint(
                condition=models.Q(("remaining__gte", 0), ("remaining__lte", models.F("amount"))),
                name="credits_lot_remaining_in_range",
            ),
        ),
        migrations.RunSQL(_lots.do(), _lots.undo()),
    ]
