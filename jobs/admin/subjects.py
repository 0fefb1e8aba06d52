"""What the console can link to, by the name that payloads and audit events use.

The engine knows no domain: each app registers its own subjects from its admin package, and a page
of the engine links to them by name, without an import upward.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.ids import public_id

Names = Callable[[Collection[uuid.UUID]], dict[uuid.UUID, str]]
Find = Callable[[str], list[uuid.UUID]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing with a public id and a page.

    `name` is what payload fields (`<name>_id`) and audit events (`subject_type`) call it. `names`
    reads display names for many ids in one query, `find` resolves what an operator typed.
    """

    name: str
    prefix: str
    model: str
    names: Names | None = None
    find: Find | None = None

    def url(self, value: uuid.UUID) -> str:
        """Where its page is."""
        app, model = self.model.split(".")
        return reverse(f"admin:{app}_{model}_change", args=[value])


_subjects: dict[str, Subject] = {}
_trails: list[Callable[[str], str]] = []


def register(subject: Subject) -> None:
    """Make a subject known; called once, when its admin package is imported."""
    _subjects[subject.name] = subject


def register_trail(url: Callable[[str], str]) -> None:
    """Say where the record of what was done stands, by the id of a subject or of a request."""
    _trails.append(url)


def trail(public: str, label: str) -> SafeString | str:
    """Link to what was recorded under an id; the label alone where nothing is recorded."""
    if not public or not _trails:
        return label
    return format_html('<a class="fs-link" href="{}">{}</a>', _trails[0](public), label)


def names(name: str, ids: Collection[uuid.UUID | None]) -> dict[uuid.UUID, str]:
    """Read the display names of these ids: one query, none when there is nothing to ask."""
    subject = _subjects.get(name)
    asked = {value for value in ids if value is not None}
    if subject is None or subject.names is None or not asked:
        return {}
    return subject.names(asked)


def find(name: str, text: str) -> list[uuid.UUID]:
    """Resolve what an operator typed (name, slug, id) to ids."""
    subject = _subjects.get(name)
    return subject.find(text) if subject and subject.find else []


def link(name: str, value: uuid.UUID | str | None, label: str = "") -> SafeString | str:
    """Link to a subject's page; plain text where the subject is unknown."""
    if not value:
        return "-"
    subject = _subjects.get(name)
    try:
        key = value if isinstance(value, uuid.UUID) else uuid.UUID(value.rpartition("_")[2])
    except ValueError:
        return str(value)
    if subject is None:
        return label or str(value)
    text = label or public_id(subject.prefix, key)
    return format_html('<a class="fs-link" href="{}">{}</a>', subject.url(key), text)


def reference(name: str, value: str) -> SafeString | str:
    """Link to a subject named by type and id, as audit events do; the type is always said."""
    text = link(name, value)
    return text if isinstance(text, SafeString) else f"{name} {value}"


def payload_links(payload: object) -> list[tuple[str, SafeString | str]]:
    """Link the fields of a payload that name a subject: `build_id` is a build."""
    fields = payload.items() if isinstance(payload, dict) else ()
    return [
        (field.removesuffix("_id"), link(field.removesuffix("_id"), value))
        for field, value in fields
        if field.endswith("_id") and field.removesuffix("_id") in _subjects
        if isinstance(value, str)
    ]
