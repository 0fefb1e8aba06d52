"""Models whose rows belong to organizations."""

from __future__ import annotations

import uuid
from typing import TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)


class TenantManager(models.Manager[M]):
    """The manager of a model whose rows belong to organizations (P24, docs/isolation.md).

    `path` leads from a row to the id of its organization. Such a model's table has policies of
    row-level security; whoever answers a client begins with `for_organization` all the same, and
    `tests/house` sees to both.
    """

    def __init__(self, path: str = "organization_id") -> None:
        super().__init__()
        self.path = path

    def for_organization(self, organization_id: uuid.UUID) -> models.QuerySet[M]:
        """Return the rows of one organization."""
        return self.filter(**{self.path: organization_id})
