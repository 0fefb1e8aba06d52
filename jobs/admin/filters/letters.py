"""What an operator asks of the list of dead letters, read from its query string.

The filters in here only offer: what they narrow is read by `letter_filter_of`, so that whatever
acts on all that the list shows reads the same, and acts on what is seen.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from django.contrib.admin.options import ModelAdmin
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, QueryDict
from unfold.contrib.filters.admin import TextFilter

from jobs.admin import subjects
from jobs.admin.display import SECRET_KEY
from jobs.admin.filters.lists import (
    AGES,
    AgeFilter,
    OpenFirstFilter,
    OrganizationFilter,
    SeenValuesFilter,
)
from jobs.ids import MalformedId, parse_public_id
from jobs.models import FailedJob, FailureGroup
from jobs.selectors.failure_groups import counted_groups
from jobs.selectors.letters import ANY, LetterFilter

NOBODY: Final = uuid.UUID(int=0)
"""The organization of no letter: of a name that nobody has."""

_FIELD: Final = re.compile(r'(?:^|(?<=\s))([A-Za-z_]\w*)=("[^"]*"|\S+)')
_FINGERPRINT: Final = re.compile(r"(v\d+-)?[0-9a-f]{6,64}")


class UnclearFilter(ValueError):
    """What is asked for cannot be meant; says in words for the operator why."""


def letter_filter_of(request: HttpRequest) -> LetterFilter:
    """Read the query string of the list of dead letters.

    Ages are counted back from now, once: the filter that is returned stays what it is.
    Raises: UnclearFilter, also for a search by id, which is no filter of many.
    """
    text = given(request.GET, "q")
    if id_search(text) is not None:
        raise UnclearFilter("A search by id finds one job's letters: answer them on their pages.")
    return describe(request.GET, text)


def given(asked: QueryDict, name: str) -> str:
    """Return what a query string says, without what no text in PostgreSQL holds."""
    return asked.get(name, "").replace("\x00", "").strip()


def id_search(text: str) -> Q | None:
    """Return which letters a search by job id or request id asks for; None for any other."""
    try:
        return Q(job_id=parse_public_id("job", text))
    except MalformedId:
        pass
    try:
        return Q(job_id=uuid.UUID(text))
    except ValueError:
        pass
    if text and " " not in text and FailedJob.objects.filter(request_id=text).exists():
        return Q(request_id=text)
    return None


def describe(asked: QueryDict, text: str) -> LetterFilter:
    """Read filters and a search text. Raises: UnclearFilter."""
    state = given(asked, "state") or OpenFirstFilter.default
    since, until = _died_between(asked)
    fields, words, fingerprint = _searched(text)
    return LetterFilter(
        state=ANY if state == "all" else state,
        queue=given(asked, "queue"),
        kind=given(asked, "kind"),
        organization_id=_organization(given(asked, "organization")),
        error_class=given(asked, "error_class"),
        fingerprint=given(asked, "fingerprint") or fingerprint,
        died_since=since,
        died_until=until,
        fields=fields,
        text=words,
    )


def _died_between(asked: QueryDict) -> tuple[datetime | None, datetime | None]:
    """Return from when and until when, by age or by the two moments; the narrower one counts."""
    since, until = _moment(given(asked, "died_since")), _moment(given(asked, "died_until"))
    if given(asked, "age") in AGES:
        _, age, is_younger = AGES[given(asked, "age")]
        at = datetime.now(UTC) - age
        if is_younger:
            since = max(since or at, at)
        else:
            until = min(until or at, at)
    return since, until


def _moment(text: str) -> datetime | None:
    """Read a moment; UTC where it has no zone of its own."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UnclearFilter(f"“{text}” is no time: write 2026-01-31 14:00, in UTC.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _organization(text: str) -> uuid.UUID | None:
    """Resolve an id, a slug, a name or a part of one that no other organization has."""
    if not text:
        return None
    ids = subjects.find("organization", text)
    if len(ids) < 2:
        return ids[0] if ids else NOBODY
    names = subjects.names("organization", ids)
    exact = [found for found, name in names.items() if name.casefold() == text.casefold()]
    if len(exact) == 1:
        return exact[0]
    some = ", ".join(sorted(names.values())[:5])
    raise UnclearFilter(f"“{text}” may be {len(ids)} organizations: {some}. Write the whole name.")


def _searched(text: str) -> tuple[tuple[tuple[str, str], ...], str, str]:
    """Take a search apart: fields of the payload, words of the message, a fingerprint."""
    if _FINGERPRINT.fullmatch(text):
        groups = FailureGroup.objects.filter(fingerprint__startswith=text)
        found = list(groups.values_list("fingerprint", flat=True)[:2])
        if len(found) > 1:
            raise UnclearFilter(f"Several fingerprints begin with {text}: write more of it.")
        if found:
            return (), "", found[0]
    fields = tuple((name, value.strip('"')) for name, value in _FIELD.findall(text))
    for name, _ in fields:
        if SECRET_KEY.search(name):
            raise UnclearFilter(f"{name} looks secret: such fields are not searched.")
    return fields, _FIELD.sub("", text).strip(), ""


class _Offered(TextFilter):
    """A text that is read by `letter_filter_of`."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Leave the rows as they are."""
        return queryset


class LetterOrganizationFilter(_Offered, OrganizationFilter):
    """By organization: its id, its slug, its name or a part of it."""


class FingerprintFilter(_Offered):
    """By failure group."""

    title = "fingerprint"
    parameter_name = "fingerprint"


class DiedSinceFilter(_Offered):
    """Died at or after a moment."""

    title = "died since (UTC, 2026-01-31 14:00)"
    parameter_name = "died_since"


class DiedUntilFilter(_Offered):
    """Died before a moment."""

    title = "died before (UTC)"
    parameter_name = "died_until"


class DiedFilter(AgeFilter):
    """By time of death."""

    title = "time of death"
    column = "died_at"


class _GroupedFilter(SeenValuesFilter):
    """By a column of the failure groups, with how many letters are open: every value, not the
    newest rows' only, and no letter is read for it.
    """

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the values, the most frequent first, and the chosen one in any case."""
        counted = (
            counted_groups()
            .order_by()
            .values_list(self.column)
            .annotate(rows=Sum("open_now"))
            .order_by("-rows", self.column)[:200]
        )
        offered = [(value, f"{value} ({rows:,} open)") for value, rows in counted]
        chosen = request.GET.get(str(self.parameter_name), "")
        if chosen and chosen not in {value for value, _ in offered}:
            offered.append((chosen, chosen))
        return offered


class LetterKindFilter(_GroupedFilter):
    """By kind of job."""

    title = "kind"
    parameter_name = "kind"
    column = "kind"


class LetterErrorFilter(_GroupedFilter):
    """By class of the error."""

    title = "error class"
    parameter_name = "error_class"
    column = "error_class"
