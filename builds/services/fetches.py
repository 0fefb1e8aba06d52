"""Fetch a commit of a public git repository and keep its files as a source (B-05)."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from builds.clients import git, storage
from builds.errors import (
    ArchiveRefused,
    FetchAlreadyRunning,
    FetchFinished,
    FetchNotFound,
    GitUnavailable,
    RepositoryRefused,
)
from builds.models import Fetch, Source
from builds.payloads import FetchSource
from builds.selectors.projects import get_project
from builds.services.sources import add_source
from builds.states import FetchState
from flagship.clients.outgoing import parse_url
from flagship.errors import AddressNotAllowed, RemoteAnswerRefused, RemoteUnreachable
from flagship.services import audit
from jobs.context import JobContext
from jobs.errors import GiveUp, Refusal
from jobs.ids import new_id, public_id
from jobs.services.enqueue import enqueue

WORKER: Final = "worker"
RETRY_AFTER_S: Final = 10
MESSAGE_LENGTH: Final = 2000
CHUNK_BYTES: Final = 64 * 1024
# What another attempt would not change.
_FINAL: Final = (AddressNotAllowed, RemoteAnswerRefused, RepositoryRefused, ArchiveRefused)


def start_fetch(
    *, organization_id: uuid.UUID, project_id: uuid.UUID, url: str, ref: str = "", actor: str
) -> Fetch:
    """Accept a fetch: it is queued and will end. Nothing is resolved or called yet.

    Raises: ProjectNotFound, UrlNotAllowed, RefInvalid, FetchAlreadyRunning. Nothing is stored then.
    """
    parse_url(url)
    git.check_ref(ref)
    get_project(organization_id=organization_id, project_id=project_id)
    fetch_id = new_id()
    try:
        with transaction.atomic():
            job = enqueue(
                FetchSource(fetch_id=fetch_id),
                organization_id=organization_id,
                dedupe_key=f"{FetchSource.KIND}:{fetch_id.hex}",
            )
            fetch = Fetch.objects.create(
                id=fetch_id,
                organization_id=organization_id,
                project_id=project_id,
                url=url,
                ref=ref,
                job_id=job.id,
                created_by=actor,
            )
            _record("source.fetch_started", fetch, actor, url=url, ref=ref)
    except IntegrityError as error:
        if "fetch_one_at_a_time" in str(error):
            raise _already_running(project_id) from error
        raise
    fetch.refresh_from_db()
    return fetch


def run_fetch(*, fetch_id: uuid.UUID, context: JobContext) -> None:
    """Fetch, pack and keep; a repository that cannot be used fails the fetch, not the job.

    Nothing that another attempt could change is final: then it is raised, and the job tried again.
    """
    fetch = Fetch.objects.get(id=fetch_id)
    if fetch.state != FetchState.QUEUED.value:
        return
    try:
        source, commit, left_out = _make(fetch, context)
    except _FINAL as refusal:
        _end(fetch, context, FetchState.FAILED, **_told(refusal.code, refusal.message))
        return
    _end(fetch, context, FetchState.READY, source_id=source.id, commit=commit, left_out=left_out)


def fail_dead_fetch(*, fetch_id: uuid.UUID, error_class: str, message: str) -> None:
    """Fail the fetch of a job that died, in the transaction that buries the job."""
    codes = {kind.__name__: kind.code for kind in (RemoteUnreachable, GitUnavailable)}
    code = codes.get(error_class, "FETCH_JOB_DIED")
    told = message if error_class in codes else f"The platform could not fetch ({error_class})."
    Fetch.objects.filter(id=fetch_id, state=FetchState.QUEUED.value).update(
        state=FetchState.FAILED.value, finished_at=Now(), **_told(code, told)
    )


def refuse_requeue_of_fetch(*, fetch_id: uuid.UUID) -> None:
    """Refuse to run a dead letter's fetch again once it has ended. Raises: FetchFinished."""
    state = Fetch.objects.values_list("state", flat=True).filter(id=fetch_id).first()
    if state is None:
        raise FetchNotFound
    if state != FetchState.QUEUED.value:
        raise FetchFinished(data={"fetchId": public_id("fetch", fetch_id), "state": state})


def _make(fetch: Fetch, context: JobContext) -> tuple[Source, str, list[str]]:
    """Return the source, the commit it was made of and what was left out."""
    with storage.workspace() as workspace:
        for name in ("source", "output"):
            (workspace / name).mkdir(mode=0o755)
        context.rest()
        fetched = git.fetch_pack(
            parse_url(fetch.url),
            fetch.ref,
            workspace / "source" / "pack",
            max_bytes=settings.GIT_PACK_BYTES,
            timeout_s=settings.GIT_FETCH_TIMEOUT_S,
            check=context.check,
        )
        packed = git.pack_commit(
            fetched,
            workspace,
            max_bytes=settings.SOURCE_UNPACKED_BYTES,
            timeout_s=settings.GIT_FETCH_TIMEOUT_S,
            memory_bytes=settings.BUILD_MEMORY_BYTES,
            stop=context.stop,
        )
        context.check()
        with packed.open() as file:
            source, _ = add_source(
                organization_id=fetch.organization_id,
                project_id=fetch.project_id,
                chunks=iter(lambda: file.read(CHUNK_BYTES), b""),
                actor=fetch.created_by,
            )
        return source, fetched.commit, packed.left_out


def _end(fetch: Fetch, context: JobContext, state: FetchState, **columns: Any) -> None:
    """Move a fetch to its end and complete its job: both or neither.

    Raises: LeaseLost; GiveUp when the fetch has ended meanwhile.
    """
    with transaction.atomic():
        moved = Fetch.objects.filter(id=fetch.id, state=FetchState.QUEUED.value).update(
            state=state.value, finished_at=Now(), **columns
        )
        if not moved:
            raise GiveUp("the fetch has ended already")
        told = {name: columns[name] for name in ("commit", "error_code") if name in columns}
        _record(f"source.fetch_{state.value}", fetch, WORKER, **told)
        context.complete({"state": state.value})


def _told(code: str, message: str) -> dict[str, str]:
    return {"error_code": code, "error_message": message.replace("\x00", "")[:MESSAGE_LENGTH]}


def _already_running(project_id: uuid.UUID) -> Refusal:
    running = Fetch.objects.filter(project_id=project_id, state=FetchState.QUEUED.value).first()
    return FetchAlreadyRunning(
        fetch_id=public_id("fetch", running.id) if running else "", retry_after_s=RETRY_AFTER_S
    )


def _record(action: str, fetch: Fetch, actor: str, **data: Any) -> None:
    audit.record(
        action=action,
        subject_type="fetch",
        subject_id=public_id("fetch", fetch.id),
        organization_id=fetch.organization_id,
        actor=actor,
        data={"projectId": public_id("proj", fetch.project_id), **data},
    )
