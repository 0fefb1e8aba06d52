"""/v1/projects/{projectId}/sources: archives come in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from builds.api.fields import parse_path_id
from builds.api.serializers import SourceSerializer
from builds.errors import (
    ArchiveBomb,
    ArchiveInvalid,
    ArchiveTooLarge,
    ArchiveTooManyFiles,
    ArchiveUnsafeEntry,
    ProjectNotFound,
    UploadInvalid,
)
from builds.services.sources import add_source
from flagship.api.authentication import caller_of

CHUNK_BYTES: Final = 64 * 1024
MULTIPART_BYTES: Final = 64 * 1024
FIELD: Final = "archive"


class RawParser(BaseParser):
    """Hands the body on as a stream: an archive is never held in memory."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the stream itself."""
        return stream


class GzipParser(RawParser):
    """A .tar.gz."""

    media_type = "application/gzip"


class LegacyGzipParser(RawParser):
    """A .tar.gz under its name from before RFC 6713."""

    media_type = "application/x-gzip"


class ZipParser(RawParser):
    """A .zip."""

    media_type = "application/zip"


class BinaryParser(RawParser):
    """Either; the bytes tell which."""

    media_type = "application/octet-stream"


class SourceList(APIView):
    """The archives of a project."""

    scopes = {"POST": "builds:write"}
    refusals = {
        "POST": (
            ProjectNotFound,
            UploadInvalid,
            ArchiveTooLarge,
            ArchiveInvalid,
            ArchiveUnsafeEntry,
            ArchiveTooManyFiles,
            ArchiveBomb,
        )
    }
    parser_classes = [GzipParser, LegacyGzipParser, ZipParser, BinaryParser, MultiPartParser]
    # Read by the edge: other routes take far less.
    body_limit_bytes = settings.SOURCE_ARCHIVE_BYTES + MULTIPART_BYTES

    @extend_schema(
        request={
            "application/gzip": OpenApiTypes.BINARY,
            "application/zip": OpenApiTypes.BINARY,
            "application/octet-stream": OpenApiTypes.BINARY,
            "multipart/form-data": {
                "type": "object",
                "properties": {FIELD: {"type": "string", "format": "binary"}},
                "required": [FIELD],
                "additionalProperties": False,
            },
        },
        responses={200: SourceSerializer, 201: SourceSerializer},
    )
    def post(self, request: Request, project_id: str) -> Response:
        """Upload a .tar.gz or .zip; bytes the project already has answer 200 with their source."""
        source, is_new = add_source(
            organization_id=caller_of(request).organization_id,
            project_id=parse_path_id("proj", project_id, ProjectNotFound),
            chunks=chunks_of(request),
            actor=caller_of(request).actor,
        )
        return Response(SourceSerializer(source).data, status=201 if is_new else 200)


def chunks_of(request: Request) -> Iterator[bytes]:
    """Return the archive in the body, piece by piece.

    Raises: UploadInvalid unless there is exactly one.
    """
    body: Any = request.data
    if not isinstance(body, Mapping):
        return iter(lambda: body.read(CHUNK_BYTES), b"")
    # A form, or the empty mapping that REST framework makes of an empty body.
    files = body.getlist(FIELD) if isinstance(body, QueryDict) else []
    if set(body) != {FIELD} or len(files) != 1 or not isinstance(files[0], UploadedFile):
        raise UploadInvalid
    return files[0].chunks(CHUNK_BYTES)
