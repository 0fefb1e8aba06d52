"""Dead letters for export: all of them, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobs.clients.wall import outside
from jobs.models import FailedJob
from jobs.selectors.letters import LetterFilter, matching

PAGE: Final = 500


def newest_first(wanted: LetterFilter) -> Iterator[FailedJob]:
    """Yield what a filter matches, without tracebacks; what dies meanwhile is not among it.

    They are sent behind the request: each page is a query of its own, however many there are, and
    begins where the one before ended.
    """
    letters = matching(wanted).defer("traceback").order_by("-died_at", "-id")
    behind = letters
    while True:
        with outside():
            page = list(behind[:PAGE])
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]
        behind = letters.filter(died_at__lte=last.died_at)
        behind = behind.exclude(died_at=last.died_at, id__gte=last.id)
