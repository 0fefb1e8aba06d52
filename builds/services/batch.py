"""Accept many builds at once: all of them or none (B-07)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import IntegrityError, transaction

from builds.builders import get_builder
from builds.errors import BatchExceedsMaxActive, ProjectNotFound
from builds.models import Build, Project
from builds.selectors.builds import find_builds_of_keys
from builds.selectors.keys import PLACES, hash_key, hash_place
from builds.services.projects import lock_project
from builds.services.submit import BuildOrder, Remembered, draft_build, place, store
from credits.errors import InsufficientCredits
from credits.services import reserve_credits
from flagship.errors.idempotency import IdempotencyKeyExpired, IdempotencyKeyReused
from jobs.errors import Refusal
from jobs.ids import public_id

MAX_ITEMS: Final = PLACES
TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One build of a batch, and the key that makes it once; without one the batch's key does."""

    order: BuildOrder
    key: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """What an item has become: a new build, or the one that its key has made before."""

    build: Build
    is_new: bool


class _TooFewCredits(Exception):
    """The credits ran out at one of the items. Units: `total` in whole credits, for all."""

    def __init__(self, total: int, refusal: InsufficientCredits) -> None:
        self.total = total
        self.refusal = refusal
        super().__init__(total)


def create_batch(
    *, organization_id: uuid.UUID, items: Sequence[BatchItem], actor: str, idempotency_key: str
) -> list[Placed]:
    """Accept every build of a batch, each with a reservation of its own, or none of them.

    Returns what became of each item, in their order. An item whose key has made the same build
    before, alone or in another batch, is answered with that build and makes no other.

    Raises: what create_build raises, for the first item that is refused, with all of them in
    `data.items`; IdempotencyKeyReused for an item's key that has made another build;
    IdempotencyKeyExpired for a batch's key that has made another batch, whose answer has gone;
    BatchExceedsMaxActive; InsufficientCredits for the whole. Nothing has changed then.
    Source: B-07, P02.
    """
    obstacle: Exception = RuntimeError("no try was made")
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                return _create(organization_id, items, actor, idempotency_key)
        except _TooFewCredits as short:
            obstacle = short.refusal
            _refuse_whole(organization_id, short.total, actor)
        except IntegrityError as error:
            # Another caller's use of the key came first: this time its build is found.
            if "build_idempotency_key_unique" not in str(error):
                raise
            obstacle = error
    raise obstacle


def _create(
    organization_id: uuid.UUID, items: Sequence[BatchItem], actor: str, idempotency_key: str
) -> list[Placed]:
    projects = _lock_projects(organization_id, items)
    places = [hash_place(idempotency_key, index) for index in range(MAX_ITEMS)]
    hashes = [hash_key(item.key) or places[index] for index, item in enumerate(items)]
    made = find_builds_of_keys(organization_id=organization_id, key_hashes={*places, *hashes})
    _refuse_other_batch(items, [made.get(place) for place in places])
    placed: dict[int, Placed] = {}
    refused: dict[int, Refusal] = {}
    known = Remembered()
    for index, item in enumerate(items):
        project, existing = projects.get(item.order.project_id), made.get(hashes[index])
        try:
            placed[index] = _resolve(project, item, existing, hashes[index], known, actor)
        except Refusal as refusal:
            refused[index] = refusal
    _raise_first(refused, items)
    for project in projects.values():
        _place(project, placed, refused, actor)
    _raise_first(refused, items)
    _store([placed[index].build for index in sorted(placed) if placed[index].is_new], actor)
    return [placed[index] for index in sorted(placed)]


def _lock_projects(
    organization_id: uuid.UUID, items: Sequence[BatchItem]
) -> dict[uuid.UUID, Project]:
    """Lock the projects in the order of their ids, before anything else; leave out missing ones."""
    projects = {}
    for project_id in sorted({item.order.project_id for item in items}):
        try:
            projects[project_id] = lock_project(
                organization_id=organization_id, project_id=project_id
            )
        except ProjectNotFound:
            continue
    return projects


def _refuse_other_batch(items: Sequence[BatchItem], made: Sequence[Build | None]) -> None:
    """Refuse a batch whose key has made builds, unless it is the very batch that they are of.

    The edge answers the key for as long as it keeps the answer: here it has gone.

    Raises: IdempotencyKeyExpired; its data names the builds.
    """
    known = {index: build for index, build in enumerate(made) if build is not None}
    asked = {index: item.order for index, item in enumerate(items) if not item.key}
    is_same = known.keys() == asked.keys() and all(
        _is_same(build, asked[index]) for index, build in known.items()
    )
    if known and not is_same:
        told = [
            {"index": index, "buildId": public_id("build", build.id)}
            for index, build in known.items()
        ]
        raise IdempotencyKeyExpired(
            "The Idempotency-Key has made another batch, whose answer is no longer kept.",
            data={"items": told},
        )


def _resolve(
    project: Project | None,
    item: BatchItem,
    existing: Build | None,
    key_hash: str,
    known: Remembered,
    actor: str,
) -> Placed:
    """Return the build that the item's key has made, or a draft of a new one."""
    if project is None:
        raise ProjectNotFound
    if existing is None:
        draft = draft_build(project, item.order, known, actor=actor, key_hash=key_hash)
        return Placed(draft, True)
    if not _is_same(existing, item.order):
        raise IdempotencyKeyReused(data={"buildId": public_id("build", existing.id)})
    return Placed(existing, False)


def _is_same(build: Build, order: BuildOrder) -> bool:
    """Tell whether a build is what an order asks for; a default may have changed since."""
    return (
        (build.project_id, build.source_id) == (order.project_id, order.source_id)
        and order.builder in ("", build.builder)
        and get_builder(build.builder).validate_options(order.options) == build.options
    )


def _place(
    project: Project, placed: Mapping[int, Placed], refused: dict[int, Refusal], actor: str
) -> None:
    """Give the project's drafts their slots, or note why there are none."""
    wanted = {
        index: item.build
        for index, item in placed.items()
        if item.is_new and item.build.project_id == project.id
    }
    if len(wanted) > project.max_active:
        raise BatchExceedsMaxActive(
            data={
                "projectId": public_id("proj", project.id),
                "asked": len(wanted),
                "maxActive": project.max_active,
                "items": sorted(wanted),
            }
        )
    if not wanted:
        return
    try:
        place(project, list(wanted.values()), actor=actor)
    except Refusal as refusal:
        refused |= dict.fromkeys(wanted, refusal)


def _store(drafts: Sequence[Build], actor: str) -> None:
    if not drafts:
        return
    try:
        store(drafts, actor=actor)
    except InsufficientCredits as refusal:
        total = sum(each.estimated_credits for each in drafts)
        raise _TooFewCredits(total, refusal) from refusal


def _refuse_whole(organization_id: uuid.UUID, total_credits: int, actor: str) -> None:
    """Let the ledger say what is missing for the whole batch; nothing is kept of the question.

    Raises: InsufficientCredits, unless the credits have come meanwhile.
    """
    with transaction.atomic():
        reserve_credits(
            organization_id=organization_id,
            amount_credits=total_credits,
            subject_type="batch",
            subject_id="whole",
            actor=actor,
        )
        transaction.set_rollback(True)


def _raise_first(refused: Mapping[int, Refusal], items: Sequence[BatchItem]) -> None:
    """Raise the refusal of the first item that has one; its data names all of them."""
    if not refused:
        return
    told = [
        {
            "index": index,
            "key": items[index].key or None,
            "error": refused[index].code,
            "message": refused[index].message,
            "data": refused[index].data,
        }
        for index in sorted(refused)
    ]
    first = refused[min(refused)]
    first.data = {**first.data, "items": told}
    raise first
