"""The locks that services take themselves, found in their source, and what they are for."""

from __future__ import annotations

import ast
import re
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection, connections, transaction

from builds.models import Build
from builds.services.submit import BuildOrder, create_build
from jobs.clients.rows import fetch
from tests.factories import make_account, make_project, make_source

ROOT: Final = Path(__file__).resolve().parents[2]
TIMEOUT_S: Final = 20.0
_LOCKING: Final = re.compile(r"\bFOR (NO KEY )?(UPDATE|SHARE)\b|\bLOCK TABLE\b|pg_advisory")


def locking_functions() -> set[str]:
    """Return every function of builds and credits that locks, as `path:name`."""
    found = set()
    for path in sorted([*(ROOT / "builds").rglob("*.py"), *(ROOT / "credits").rglob("*.py")]):
        if "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and _locks(node):
                found.add(f"{path.relative_to(ROOT)}:{node.name}")
    return found


def _locks(function: ast.FunctionDef) -> bool:
    docstring = ast.get_docstring(function, clean=False)
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and node.attr == "select_for_update":
            return True
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and text != docstring and _LOCKING.search(text):
            return True
    return False


def unlock(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a function of `builds.services.projects` read what it would lock."""
    original = fetch

    def bare(model: type[Any], condition: str, parameters: Sequence[Any]) -> list[Any]:
        if sys._getframe(1).f_code.co_name == function:
            condition = _LOCKING.sub("", condition)
        return original(model, condition, parameters)

    monkeypatch.setattr("builds.services.projects.fetch", bare)


def two_builds_at_once() -> object:
    """Submit a build while another of its project is submitted; return what the second got."""
    organization_id = make_account(credits=1000)
    project = make_project(organization_id)
    order = BuildOrder(project_id=project.id, source_id=make_source(project).id)
    ended: list[object] = []

    def second() -> None:
        try:
            ended.append(create_build(organization_id=organization_id, order=order, actor="b"))
        except Exception as error:
            ended.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        create_build(organization_id=organization_id, order=order, actor="a")
        thread.start()
        _until_blocked(thread)
    thread.join(TIMEOUT_S)
    assert Build.objects.filter(project=project).count() == 1
    return ended[0]


def _until_blocked(thread: threading.Thread) -> None:
    until = time.monotonic() + TIMEOUT_S
    while thread.is_alive() and time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks"
                " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            )
            if cursor.fetchone() != (0,):
                return
        thread.join(0.005)
