"""Rows of a model by prepared statements: the same as Django's own."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Model

from builds.models import Build, Project
from jobs.clients.rows import fetch, insert
from jobs.ids import new_id
from tests.drills.models import Effect
from tests.factories import make_account, make_build, make_project

pytestmark = pytest.mark.django_db


def columns_of(row: Model) -> dict[str, Any]:
    return {each.attname: getattr(row, each.attname) for each in row._meta.concrete_fields}


def test_fetch__of_rows__gives_what_django_gives() -> None:
    build = make_build(make_project(make_account()))

    for model, row_id in ((Build, build.id), (Project, build.project_id)):
        ours = fetch(model, "WHERE id = %s", [row_id])
        theirs = list(model.objects.filter(id=row_id))

        assert [columns_of(each) for each in ours] == [columns_of(each) for each in theirs]
        assert (ours[0]._state.adding, ours[0]._state.db) == (False, "default")
    assert fetch(Build, "WHERE id = %s", [new_id()]) == []


def test_insert__of_a_row__leaves_it_as_it_was_stored() -> None:
    # The build is stored by `insert`: JSON, ids, numbers, NULLs and a time of the database's.
    build = make_build(make_project(make_account()))

    assert columns_of(build) == columns_of(Build.objects.get(id=build.id))
    assert (build._state.adding, build._state.db) == (False, "default")


def test_insert__of_rows_of_which_one_is_refused__inserts_none() -> None:
    key = "with 'quotes', a \\ and ünïcödé\n"
    insert([Effect(id=1, key=key, attempt=1), Effect(id=2, key="", attempt=0)])
    assert list(Effect.objects.order_by("id").values_list("key", "attempt")) == [(key, 1), ("", 0)]

    with pytest.raises(IntegrityError), transaction.atomic():
        insert([Effect(id=3, key="third", attempt=1), Effect(id=2, key="again", attempt=1)])
    assert Effect.objects.count() == 2


def test_insert__of_rows_that_leave_different_columns__is_refused() -> None:
    given = make_build(make_project(make_account()))
    left = Build(id=new_id())

    with pytest.raises(ValueError, match="different columns"):
        insert([given, left])
