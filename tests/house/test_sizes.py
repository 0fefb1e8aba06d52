"""The size habits: hard stops, so that review need not count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("config", "builds", "credits", "flagship", "jobs")
FILE_STOP = 400
FUNCTION_STOP = 60
ENTRANCE_STOP = 20
ENTRANCES = ("admin", "api", "handlers", "schedules", "subscribers", "middleware")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[Path]:
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def functions(path: Path) -> Iterator[tuple[Function, int]]:
    """Yield each function and its lines, without its docstring and decorators."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            first = node.body[0]
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            yield node, (node.end_lineno or 0) - node.lineno + 1 - docstring


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_file__of_any_app__stops_at_400_lines() -> None:
    sizes = {name(path): len(path.read_text().splitlines()) for path in modules()}

    assert {path: size for path, size in sizes.items() if size > FILE_STOP} == {}
    assert len(sizes) > 20


def test_function__of_any_app__stops_at_60_lines() -> None:
    long = {
        f"{name(path)}:{node.name}": size
        for path in modules()
        for node, size in functions(path)
        if size > FUNCTION_STOP
    }

    assert long == {}


def test_entrance_function__of_any_app__stops_at_20_lines() -> None:
    long = {
        f"{name(path)}:{node.name}": size
        for path in modules()
        if any(room in path.with_suffix("").parts for room in ENTRANCES)
        for node, size in functions(path)
        if size > ENTRANCE_STOP
    }

    assert long == {}
