"""The list of dead letters: pages by place, however many there are (D-02)."""

from __future__ import annotations

from typing import Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from jobs.admin.base import NamedChangeList, name_rows
from jobs.admin.filters.letters import UnclearFilter, describe, given, id_search
from jobs.models import FailedJob
from jobs.selectors.letter_pages import (
    OLDEST,
    LetterCount,
    LetterPage,
    Place,
    Walk,
    read_page,
    straight_to,
    walk_to,
)
from jobs.selectors.letters import matching

PLACES: Final = ("before", "after")


class LetterChangeList(NamedChangeList):
    """Dead letters, the newest first, from a place on that the query string names.

    Reads what `letter_filter_of` reads, and so shows what an action on all of it takes. What is
    asked for and cannot be meant is `unclear`, in words, and nothing is listed.
    """

    unclear = ""
    is_of_one_job = False
    walk: Walk
    page: LetterPage

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[FailedJob]:
        """Find the way to the letters that are asked for."""
        for name in PLACES:
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        super().get_queryset(request, exclude_parameters)  # What the sidebar shows.
        # The theme's form of filters sends on whatever no filter has used.
        self.filter_specs[0].used_parameters |= dict.fromkeys(PLACES, "")
        try:
            self.walk = self._walk(request)
        except UnclearFilter as unclear:
            self.unclear = str(unclear)
            self.walk = straight_to(FailedJob.objects.none())
        return self.walk.letters

    def _walk(self, request: HttpRequest) -> Walk:
        """Read the query string; an id leads straight to its letters."""
        text = given(request.GET, "q")
        found = id_search(text)
        self.is_of_one_job = found is not None
        if found is None:
            return walk_to(describe(request.GET, text))
        return straight_to(matching(describe(request.GET, "")).filter(found))

    def get_results(self, request: HttpRequest) -> None:
        """Read one page."""
        before, after = (Place.parse(given(request.GET, name)) for name in PLACES)
        limit = self.list_per_page
        self.page = read_page(self.walk, limit=limit, before=before, after=after)
        self.result_list = self.page.letters
        self.result_count = self.full_result_count = self.count.letters
        self.paginator = self.model_admin.get_paginator(request, self.result_list, limit)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        name_rows(self.result_list, getattr(self.model_admin, "named_by", {}))

    @property
    def count(self) -> LetterCount:
        """How many letters match, as far as they were counted."""
        return self.walk.count

    @property
    def looked_at(self) -> str:
        """How many letters a page looks at, as it is told."""
        return f"{self.walk.looked_at:,}"

    @property
    def places(self) -> list[tuple[str, str]]:
        """The other pages: what each is called, and its address."""
        newer, older = self.page.newer, self.page.older
        there: list[tuple[str, dict[str, str]]] = []
        if newer is not None:
            there += [("Newest", {}), ("Newer", {"after": str(newer)})]
        if older is not None:
            there += [("Older", {"before": str(older)}), ("Oldest", {"after": str(OLDEST)})]
        return [(title, self.get_query_string(place)) for title, place in there]

    @property
    def redrive_url(self) -> str:
        """Where all that the filter matches is answered; empty where that makes no sense."""
        if self.unclear or self.is_of_one_job or not self.result_count:
            return ""
        try:
            return reverse("admin:jobs_redrive_plan") + self.get_query_string()
        except NoReverseMatch:
            return ""
