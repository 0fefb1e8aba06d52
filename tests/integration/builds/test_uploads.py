"""POST /v1/projects/{id}/sources: good archives are kept, bad ones leave nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from builds.clients.storage import source_path
from builds.models import Source
from flagship.models import AuditEvent
from jobs.ids import public_id
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.factories import make_project
from tests.integration.builds.archives import INDEX, MULTIPART, link, multipart, tar_gz, zipped

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(api: ApiCaller) -> str:
    """Where the caller uploads to."""
    return f"/v1/projects/{public_id('proj', make_project(api.organization.id).id)}/sources"


def upload(api: ApiCaller, path: str, body: bytes, content_type: str, **options: Any) -> Any:
    return api.post(path, body, content_type=content_type, **options)


def stored_files() -> set[Path]:
    return {path for path in Path(settings.STORAGE_DIR).rglob("*") if path.is_file()}


TAR = tar_gz({"index.html": INDEX, "a/b.css": b"p{}"})
ZIP = zipped({"index.html": INDEX})


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (TAR, "application/gzip", "tar.gz"),
        (TAR, "application/x-gzip", "tar.gz"),
        (TAR, "application/octet-stream", "tar.gz"),
        (ZIP, "application/zip", "zip"),
        (ZIP, "application/octet-stream", "zip"),
        (multipart([("archive", ZIP)]), MULTIPART, "zip"),
        (multipart([("archive", TAR)]), MULTIPART, "tar.gz"),
    ],
)
def test_upload__good_archive__is_kept_under_its_digest(
    body: bytes, content_type: str, kind: str, api: ApiCaller, path: str
) -> None:
    # B-05
    archive = TAR if kind == "tar.gz" else ZIP

    response = upload(api, path, body, content_type)

    answer = response.json()
    assert response.status_code == 201, answer
    assert answer["kind"] == kind
    assert answer["sha256"] == hashlib.sha256(archive).hexdigest()
    assert answer["sizeBytes"] == len(archive)
    assert source_path(answer["sha256"]).read_bytes() == archive
    assert AuditEvent.objects.filter(action="source.added").count() == 1


def test_upload__same_bytes_again__is_the_same_source(api: ApiCaller, path: str) -> None:
    # B-05
    first = upload(api, path, TAR, "application/gzip")
    again = upload(api, path, TAR, "application/octet-stream")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert Source.objects.count() == 1
    assert AuditEvent.objects.filter(action="source.added").count() == 1


def test_upload__larger_than_memory_allows__is_streamed(api: ApiCaller, path: str) -> None:
    # B-05
    noise = os.urandom(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1000)
    archive = tar_gz({"index.html": INDEX, "noise.bin": noise})

    for body, content_type in (
        (archive, "application/gzip"),
        (multipart([("archive", archive)]), MULTIPART),
    ):
        response = upload(api, path, body, content_type)
        assert response.status_code in (200, 201), response.json()
        assert response.json()["sha256"] == hashlib.sha256(archive).hexdigest()


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (TAR[:-20], "application/gzip", 422, "ARCHIVE_INVALID"),
        (b"plain text", "application/gzip", 422, "ARCHIVE_INVALID"),
        (ZIP[:40], "application/zip", 422, "ARCHIVE_INVALID"),
        (tar_gz({"../evil.html": INDEX}), "application/gzip", 422, "ARCHIVE_UNSAFE_ENTRY"),
        (tar_gz({"/etc/evil": INDEX}), "application/gzip", 422, "ARCHIVE_UNSAFE_ENTRY"),
        (zipped({"a/../../evil": INDEX}), "application/zip", 422, "ARCHIVE_UNSAFE_ENTRY"),
        (
            tar_gz({"index.html": INDEX}, link("passwd", "/etc/passwd")),
            "application/gzip",
            422,
            "ARCHIVE_UNSAFE_ENTRY",
        ),
        (tar_gz({"zeros": bytes(64 * 1024**2)}), "application/gzip", 422, "ARCHIVE_BOMB"),
        (b"", "application/gzip", 400, "UPLOAD_INVALID"),
        (b"{}", "application/json", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (multipart([("file", ZIP)]), MULTIPART, 400, "UPLOAD_INVALID"),
        (multipart([("archive", ZIP), ("archive", ZIP)]), MULTIPART, 400, "UPLOAD_INVALID"),
        (multipart([("archive", ZIP)], {"name": "x"}), MULTIPART, 400, "UPLOAD_INVALID"),
        (multipart([], {"archive": "text"}), MULTIPART, 400, "UPLOAD_INVALID"),
        (b"no boundary in here", MULTIPART, 400, "UPLOAD_INVALID"),
        (b"--xyz", "multipart/form-data", 400, "MALFORMED_REQUEST"),
    ],
)
def test_upload__bad_archive__is_refused_and_leaves_nothing(
    body: bytes, content_type: str, status: int, code: str, api: ApiCaller, path: str
) -> None:
    # B-05 E-08
    events = AuditEvent.objects.count()

    assert_refused(upload(api, path, body, content_type), status, code)

    assert Source.objects.count() == 0
    assert AuditEvent.objects.count() == events


def test_upload__more_files_than_allowed__is_refused(
    api: ApiCaller, path: str, settings: Any
) -> None:
    # B-05
    settings.SOURCE_FILES = 3
    body = tar_gz({f"{number}.html": INDEX for number in range(4)})

    assert_refused(upload(api, path, body, "application/gzip"), 422, "ARCHIVE_TOO_MANY_FILES")

    assert Source.objects.count() == 0


def test_upload__larger_than_an_archive_may_be__is_refused_and_no_file_is_left(
    api: ApiCaller, path: str, settings: Any
) -> None:
    # B-05
    settings.SOURCE_ARCHIVE_BYTES = 1000
    before = stored_files()
    body = tar_gz({"index.html": os.urandom(5000)})

    refused = assert_refused(upload(api, path, body, "application/gzip"), 413, "ARCHIVE_TOO_LARGE")

    assert refused["data"]["maxBytes"] == 1000
    assert stored_files() == before


def test_upload__stated_length_over_the_limit__is_refused_before_it_is_read(
    api: ApiCaller, path: str
) -> None:
    # B-05 P31
    from builds.api.sources import SourceList

    response = api.client.generic(
        "POST",
        path,
        b"x",
        content_type="application/gzip",
        headers={"Authorization": f"Bearer {api.secret}"},
        CONTENT_LENGTH=str(SourceList.body_limit_bytes + 1),
    )

    assert_refused(response, 413, "PAYLOAD_TOO_LARGE")
