"""The catalogue: every refusal of every app, from the classes themselves (E-03)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from jobs.errors import Refusal

APPS = ("jobs", "flagship", "credits", "builds")


def all_refusals() -> list[type[Refusal]]:
    """Return every refusal class of the apps, by status and code.

    A base that only groups others, under the code of one of them, is left out.
    """
    for app in APPS:
        if find_spec(f"{app}.errors"):
            import_module(f"{app}.errors")
    every = {kind for kind in _below(Refusal) if kind.__module__.split(".")[0] in APPS}
    found = {kind for kind in every if not any(child.code == kind.code for child in _below(kind))}
    return sorted(found, key=lambda kind: (kind.status, kind.code))


def catalogue() -> list[dict[str, Any]]:
    """Return the catalogue as the API gives it."""
    return [
        {
            "code": kind.code,
            "status": kind.status,
            "title": kind.title,
            "nextStep": kind.next_step,
            "exampleData": kind.example,
        }
        for kind in all_refusals()
    ]


def catalogue_page() -> str:
    """Return the catalogue as the Markdown of docs/errors.md."""
    rows = [
        f"| `{kind.code}` | {kind.status} | {kind.title} | {kind.next_step} |"
        for kind in all_refusals()
    ]
    return "\n".join([_HEAD, *rows, ""])


def _below(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    """Yield every subclass, at any depth."""
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


_HEAD = """# Errors

Written by `manage.py write_error_catalogue`; the same list is served at `GET /v1/errors`.

Every refusal has one shape:

```json
{
  "error": "VALIDATION_FAILED",
  "message": "The request is not valid: name: This field is required.",
  "data": {"fields": {"name": ["This field is required."]}},
  "requestId": "req_0193a1b2c3d4e5f60718293a4b5c6d7e",
  "correlationId": "nextjs_1735689600000_a1b2c3d4",
  "timestamp": "2026-01-15T10:30:00.000Z"
}
```

`error` is stable and is what a program should look at; `message` is for people and may change;
`data` depends on the code. A refusal has changed nothing. With an Idempotency-Key the same request
may be sent again once its cause is gone.

## Problem details

A request with `Accept: application/problem+json` is refused in the shape of RFC 9457: the members
of the envelope, and beside them `type` (the address of the code, which tells what is in the table
below), `title`, `status`, `detail` (what `message` says), `instance` and `nextStep`. Answers that
are no refusals are not changed by it. A request that likes `application/json` better (by its `q`)
or does not name problem details gets the envelope.

```json
{
  "type": "https://flagship.example/v1/errors/VALIDATION_FAILED",
  "title": "Fields of the request are not valid.",
  "status": 422,
  "detail": "The request is not valid: name: This field is required.",
  "instance": "urn:flagship:request:req_0193a1b2c3d4e5f60718293a4b5c6d7e",
  "nextStep": "Correct the fields named in `data.fields`.",
  "error": "VALIDATION_FAILED",
  "message": "The request is not valid: name: This field is required.",
  "data": {"fields": {"name": ["This field is required."]}},
  "requestId": "req_0193a1b2c3d4e5f60718293a4b5c6d7e",
  "correlationId": "nextjs_1735689600000_a1b2c3d4",
  "timestamp": "2026-01-15T10:30:00.000Z"
}
```

## Where it is otherwise

- The console (`/admin`), static files and published sites are pages for people.
- What is no HTTP at all is refused by the server before FlagShip sees it: 400, 413, 414 or 431
  without a body, or a connection that is closed.

## Codes

| code | status | what it means | what to do |
| --- | --- | --- | --- |"""
