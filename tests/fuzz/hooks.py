"""Loaded by Schemathesis: ids that exist in half of the cases, and a line for each answer.

Reads FUZZ_IDS, a JSON object of ids by the name of a path's variable, and writes to FUZZ_LOG.
"""

from __future__ import annotations

import json
import os
import re
import threading
from typing import Any, Final

import schemathesis
from schemathesis import Case, HookContext, Response

IDS: Final[dict[str, list[str]]] = json.loads(os.environ["FUZZ_IDS"])
PATTERN: Final = re.compile(r"([a-z]+_)[0-9a-f]{31}([0-9a-f])")
_log = open(os.environ["FUZZ_LOG"], "a", encoding="utf-8")  # noqa: SIM115 (as long as the process)
_writing = threading.Lock()


def known(value: Any) -> Any:
    """Return an id that exists in the place of a made one, for every other of them.

    The made one decides, so that the same case is the same request again.
    """
    if isinstance(value, dict):
        return {name: known(each) for name, each in value.items()}
    if isinstance(value, list):
        return [known(each) for each in value]
    found = PATTERN.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[2], 16) % 2:
        return value
    ids = next((ids for ids in IDS.values() if ids[0].startswith(found[1])), [value])
    return ids[int(found[2], 16) // 2 % len(ids)]


@schemathesis.hook
def map_path_parameters(context: HookContext, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Ask for things that are there."""
    found: dict[str, Any] = known(path_parameters)
    return found


@schemathesis.hook
def filter_headers(context: HookContext, headers: dict[str, Any] | None) -> bool:
    """Leave out what the HTTP client cannot put on the wire: it would fail by itself."""
    return all(_is_latin(str(value)) for value in (headers or {}).values())


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


@schemathesis.hook
def map_body(context: HookContext, body: Any) -> Any:
    """Speak of things that are there."""
    return known(body)


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Write down what was answered."""
    line = {
        "method": case.method.upper(),
        "declared": case.operation.method.upper(),
        "path": case.operation.path,
        "status": response.status_code,
        "code": code_of(response),
        "case": case.as_curl_command()[:1500],
    }
    with _writing:
        _log.write(json.dumps(line) + "\n")
        _log.flush()


def code_of(response: Response) -> str | None:
    """Return the error code of a refusal."""
    if response.status_code < 400:
        return None
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return "(not an envelope)"
