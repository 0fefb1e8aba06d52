"""What every page of the console stands on: rows are read here, never edited."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, ClassVar

from django.contrib.admin import ShowFacets
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.views import ChangeList

from jobs.admin import subjects
from jobs.admin.theme import row_checkbox
from jobs.ids import MalformedId, parse_public_id

COUNT_LIMIT = 10_000


def operator_of(request: HttpRequest) -> str:
    """Name the person at the console as audit events do."""
    return f"user:{request.user.get_username()}"[:150]


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Pages whose count stops at `COUNT_LIMIT`: counting a million rows is nobody's question."""

    @cached_property
    def count(self) -> int:
        """Rows that match, at most `COUNT_LIMIT`."""
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return int(rows.order_by()[:COUNT_LIMIT].count())
        return len(rows)


class NamedChangeList(ChangeList):
    """A page of rows that knows the names of what its rows point at, one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, then the names its rows need."""
        super().get_results(request)
        # Never counted: without this the page would offer to show them all.
        self.full_result_count = self.result_count
        name_rows(self.result_list, getattr(self.model_admin, "named_by", {}))


def name_rows(rows: Iterable[Model], named_by: Mapping[str, str]) -> None:
    """Put `<subject>_name` on each row, for `named_by` = {subject: field holding its id}."""
    rows = list(rows)
    for subject, field in named_by.items():
        names = subjects.names(subject, {getattr(row, field) for row in rows})
        for row in rows:
            setattr(row, f"{subject}_name", names.get(getattr(row, field), ""))


@dataclass(frozen=True, slots=True)
class Crumb:
    """Stands for a row in the breadcrumbs: the theme asks for its page and writes it as text."""

    row: Model
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def pk(self) -> Any:
        """The row's key."""
        return self.row.pk

    @property
    def _meta(self) -> Any:
        """What the row is."""
        return self.row._meta


class ReadOnlyAdmin(ModelAdmin):
    """Rows made by machines: no add, no change, no delete (D-06, C-07).

    What an operator may do to them is a named action, sent by POST, with a permission of its own.
    """

    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = CappedPaginator
    list_per_page = 50
    list_filter_submit = True
    compressed_fields = True
    show_add_link = False
    # Declared None, for what may be the name of a template.
    list_before_template: str | None = None  # type: ignore[assignment]
    list_after_template: str | None = None  # type: ignore[assignment]
    change_form_outer_before_template: str | None = None  # type: ignore[assignment]
    change_form_outer_after_template: str | None = None  # type: ignore[assignment]
    change_form_template = "admin/console/read_only.html"
    search_ids: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Public-id prefix to the fields that hold such an id; a search for one is an exact match."""
    named_by: ClassVar[Mapping[str, str]] = {}
    """Subject to the field that holds its id: `<subject>_name` is set on each listed row."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody deletes."""
        return False

    @display(description="")
    def action_checkbox(self, row: Model) -> str:
        """Let a row be chosen for an action."""
        return row_checkbox(row.pk)

    def get_changelist(  # type: ignore[override]  # the theme's annotation means the class
        self, request: HttpRequest, **kwargs: Any
    ) -> type[ChangeList]:
        """Use the list that resolves names."""
        return NamedChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model | None:
        """Read one row, with the names it needs."""
        row: Model | None = super().get_object(request, object_id, from_field)
        if row is not None:
            name_rows([row], self.named_by)
        return row

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by id when the term is one, else by text."""
        fields = self._id_fields(search_term.strip())
        if fields:
            return queryset.filter(
                reduce(or_, (Q(**{name: value}) for name, value in fields))
            ), False
        found: tuple[QuerySet[Any], bool] = super().get_search_results(
            request, queryset, search_term
        )
        return found

    def _id_fields(self, term: str) -> list[tuple[str, uuid.UUID]]:
        """Return the fields, and the id, that a search term asks for."""
        for prefix, fields in self.search_ids.items():
            try:
                return [(field, parse_public_id(prefix, term)) for field in fields]
            except MalformedId:
                continue
        try:
            value = uuid.UUID(term)
        except ValueError:
            return []
        return [(field, value) for fields in self.search_ids.values() for field in fields]

    def name_of(self, row: Any) -> str:
        """Name a row as an operator knows it, for the breadcrumbs and the browser's tab.

        A page whose rows are keyed by ids says whose or what they are: models do not, for that
        takes rows of other tables.
        """
        return str(row)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Name the row above its page."""
        name = self.name_of(context["original"])
        context["crumb"] = Crumb(context["original"], name)
        if context.get("subtitle"):
            context["subtitle"] = name
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the list, or run an action on it; one that is not permitted is refused aloud."""
        asked = request.POST.get("action", "")
        if asked and asked in self.declared_actions() and asked not in self.get_actions(request):
            raise PermissionDenied
        named = {"title": capfirst(str(self.opts.verbose_name_plural))}
        return super().changelist_view(request, named | (extra_context or {}))

    def declared_actions(self) -> set[str]:
        """Name the actions this page offers to those who may."""
        actions = self.actions or ()
        return {action if isinstance(action, str) else action.__name__ for action in actions}
