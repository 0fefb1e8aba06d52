"""What the overview is made of: each app registers its panels, and the page shows them.

The engine knows no domain: a panel of credits lives in `credits/admin` and is found here by name,
as subjects are, without an import upward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.urls import reverse


@dataclass(frozen=True, slots=True)
class Alarm:
    """One line about something that needs somebody, and the page where it is seen to."""

    text: str
    href: str
    tone: str = "danger"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a panel has read: what its template shows, and what is not as it should be."""

    shown: dict[str, Any]
    alarms: list[Alarm] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the overview for those who may view `model` (`jobs.queuepause`).

    `read` makes a bounded number of queries whatever the tables hold. Panels stand in the order of
    `place`; a wide one takes the whole width. The heading links to the model's list.
    """

    name: str
    title: str
    icon: str
    model: str
    template: str
    read: Callable[[], Reading]
    place: int
    is_wide: bool = False

    @property
    def href(self) -> str:
        """Where all of it is."""
        return reverse(f"admin:{self.model.replace('.', '_')}_changelist")

    def is_shown_to(self, request: HttpRequest) -> bool:
        """May this operator see it?"""
        app, model = self.model.split(".")
        return bool(request.user.has_perm(f"{app}.view_{model}"))


_panels: dict[str, Panel] = {}


def register(panel: Panel) -> None:
    """Make a panel known; called once, when its admin package is imported."""
    _panels[panel.name] = panel


def panels_for(request: HttpRequest) -> list[Panel]:
    """Return what this operator may see, in its order."""
    ordered = sorted(_panels.values(), key=lambda panel: panel.place)
    return [panel for panel in ordered if panel.is_shown_to(request)]
