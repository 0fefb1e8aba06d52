"""What the OpenAPI document says may be asked, and answered."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from flagship.errors.catalogue import all_refusals

SLASHED: Final = frozenset({"key"})
"""Variables of paths that may hold slashes."""
ENVELOPES: Final = ("application/json", "application/problem+json")
UNROUTED: Final = frozenset({"NOT_FOUND", "METHOD_NOT_ALLOWED"})
"""Codes of requests that are for no operation."""
UNREAD: Final = frozenset(
    {"MALFORMED_REQUEST", "LENGTH_REQUIRED", "UNSUPPORTED_MEDIA_TYPE", "PAYLOAD_TOO_LARGE"}
)
"""Codes of a body that is refused before its route is looked for, so of no operation as well."""
BELOW: Final = frozenset({0, 400, 408, 413, 414, 417, 431})
"""Answers of the HTTP server itself, which have no body of ours (docs/api.md); 0 is a hang-up."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its name, how its path matches, its parameters and its answers."""

    method: str
    template: str
    pattern: re.Pattern[str]
    parameters: tuple[dict[str, Any], ...]
    responses: dict[str, dict[str, Any]]
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """Return what tallies call it."""
        return f"{self.method} {self.template}"

    def judge(self, status: int, code: str | None) -> str | None:
        """Say what is undocumented about an answer; None where nothing is."""
        documented = self.responses.get(str(status))
        if documented is None:
            return f"status {status} is not documented"
        if code is not None and code not in documented.get("x-error-codes", [code]):
            return f"code {code} is not documented for {status}"
        return None


@dataclass(slots=True)
class Document:
    """Every operation, and the names of every field."""

    operations: list[Operation] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    codes: frozenset[str] = frozenset()

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation that a request is for; a path without variables comes first."""
        found = [each for each in self.operations if each.pattern.fullmatch(path)]
        found.sort(key=lambda each: each.template.count("{"))
        at = [each for each in found if each.template == found[0].template]
        return next((each for each in at if each.method == method), None)


def read_document(raw: bytes) -> Document:
    """Read it."""
    schema = json.loads(raw)
    document = Document(codes=frozenset(refusal.code for refusal in all_refusals()))
    names = {"unknown"}
    for component in schema["components"]["schemas"].values():
        names |= component.get("properties", {}).keys()
    document.fields = sorted(names)
    for template, item in schema["paths"].items():
        for method, facts in item.items():
            pattern = re.sub(r"\\\{(\w+)\\\}", _any_of, re.escape(template))
            document.operations.append(
                Operation(
                    method=method.upper(),
                    template=template,
                    pattern=re.compile(pattern),
                    parameters=tuple(facts.get("parameters", ())),
                    responses=facts["responses"],
                    body=facts.get("requestBody", {}).get("content", {}),
                )
            )
    return document


def _any_of(variable: re.Match[str]) -> str:
    """Return the regular expression of what a path may have in the place of a variable."""
    return r"[\s\S]+" if variable[1] in SLASHED else "[^/]+"
