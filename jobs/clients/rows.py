"""Rows of a model by prepared statements.

Writing a statement of sixty columns and planning it again costs Django and the server several times
what running it does. For the few places that every request to make something goes through.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model
from django.db.models.expressions import DatabaseDefault

from jobs.clients.postgres import run

M = TypeVar("M", bound=Model)


def fetch(model: type[M], condition: str, parameters: Sequence[Any]) -> list[M]:
    """Return the rows that meet a condition, which is SQL of ours from WHERE on.

    Raises: django.db.DatabaseError and its subclasses.
    """
    _, columns = _names(model)
    statement = f'SELECT {columns} FROM "{model._meta.db_table}" {condition}'  # noqa: S608
    return _models(model, run(statement, parameters))


def update(model: type[M], change: str, parameters: Sequence[Any]) -> list[M]:
    """Change rows and return them as they are then; the change is SQL of ours from SET on.

    Raises: django.db.DatabaseError and its subclasses.
    """
    _, columns = _names(model)
    statement = f'UPDATE "{model._meta.db_table}" {change} RETURNING {columns}'
    return _models(model, run(statement, parameters))


def _models(model: type[M], rows: Sequence[Sequence[Any]]) -> list[M]:
    """Return rows of all columns as a query of Django's would."""
    names, _ = _names(model)
    converted, connection = _converted(model), connections[DEFAULT_DB_ALIAS]
    found = []
    for row in rows:
        values = list(row)
        for place, field in converted:
            if values[place] is not None:
                values[place] = field.from_db_value(values[place], None, connection)
        found.append(model.from_db(DEFAULT_DB_ALIAS, names, values))
    return found


def insert(rows: Sequence[M]) -> None:
    """Insert new rows of one model, in their order and in one statement.

    All rows leave the same columns to the database's defaults, and have them afterwards. Nothing
    of Django's happens by the way: no signals, no `auto_now`.
    Raises: django.db.DatabaseError and its subclasses; nothing was inserted then.
    """
    fields = type(rows[0])._meta.concrete_fields
    given = [each for each in fields if not _is_left(rows[0], each)]
    left = [each for each in fields if _is_left(rows[0], each)]
    if any(_is_left(row, each) for row in rows for each in given):
        raise ValueError("the rows leave different columns to the database")
    told = [{each.column: getattr(row, each.attname) for each in given} for row in rows]
    statement = _insertion(
        rows[0]._meta.db_table,
        tuple(each.column for each in given),
        tuple(each.column for each in left),
    )
    made = run(statement, [json.dumps(told, cls=DjangoJSONEncoder)])
    for row, values in zip(rows, made, strict=True):
        for each, value in zip(left, values, strict=False):
            setattr(row, each.attname, value)
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


@cache
def _names(model: type[Model]) -> tuple[list[str], str]:
    """Return a model's attributes, and its columns in SQL."""
    fields = model._meta.concrete_fields
    return [each.attname for each in fields], _listed(each.column for each in fields)


@cache
def _converted(model: type[Model]) -> list[tuple[int, Any]]:
    """Return the fields whose values are not those of the columns, with their places."""
    fields = enumerate(model._meta.concrete_fields)
    return [(place, each) for place, each in fields if hasattr(each, "from_db_value")]


def _is_left(row: Model, field: Field[Any, Any]) -> bool:
    return isinstance(getattr(row, field.attname), DatabaseDefault)


@cache
def _insertion(table: str, given: tuple[str, ...], left: tuple[str, ...]) -> str:
    columns = _listed(given)
    return (
        f'INSERT INTO "{table}" ({columns}) SELECT {columns}'  # noqa: S608
        f' FROM jsonb_populate_recordset(NULL::"{table}", %s::jsonb)'
        f" RETURNING {_listed(left) or 'true'}"
    )


def _listed(columns: Any) -> str:
    return ", ".join(f'"{each}"' for each in columns)
