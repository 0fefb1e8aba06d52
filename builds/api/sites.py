"""/sites/<project>/: what was published, as it was published."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Final

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from builds.clients.storage import artifact_path
from builds.models import Build
from builds.selectors.builds import find_deployed_build
from builds.selectors.projects import find_published_project
from jobs.ids import MalformedId, parse_public_id

# Strangers' pages on the console's own origin. `sandbox` gives them an origin of their own: their
# scripts run, but see no cookie of ours and cannot call the API as the operator who looks at
# them. Resources are readable across origins, since even a page's own fonts are to it now. A
# browser shows no page that is both sandboxed and has an opener policy, so they have none.
# On every answer, a 304 included: the browser gives what it has kept the headers of the newest.
HEADERS: Final = {
    "Content-Security-Policy": "sandbox allow-scripts allow-forms allow-popups allow-modals",
    "Cross-Origin-Opener-Policy": "unsafe-none",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
}
LIVE: Final = "no-cache"
FOREVER: Final = "public, max-age=31536000, immutable"

# The machine's own table would make the answer depend on the machine.
_TYPES: Final = mimetypes.MimeTypes()
for _suffix, _type in {
    ".avif": "image/avif",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}.items():
    _TYPES.add_type(_type, _suffix)


@require_safe
def serve_site(request: HttpRequest, name: str, path: str = "") -> HttpResponseBase:
    """Answer one file of a project's live site, or of `@<build>` of it."""
    response = find_answer(request, name, path)
    for header, value in HEADERS.items():
        response.headers[header] = value
    return response


def find_answer(request: HttpRequest, name: str, path: str) -> HttpResponseBase:
    """Return a published file, the site's page for what it does not have, or nothing."""
    build, inner = find_version(name, path)
    if build is None or build.artifact_sha256 is None:
        return nothing_here()
    root = artifact_path(build.artifact_sha256)
    is_directory = request.path.endswith("/")
    file = find_file(root, inner, is_directory=is_directory)
    if file is not None and file.is_dir():
        return HttpResponseRedirect(request.get_full_path(force_append_slash=True))
    status = 200
    if file is None:
        # The site's own page for what it does not have, as static hosts do.
        file, status = find_file(root, "404.html", is_directory=False), 404
        if file is None:
            return nothing_here()
    cache_control = FOREVER if path.startswith("@") and status == 200 else LIVE
    return answer_file(request, file, build.artifact_sha256, status, cache_control)


def find_version(name: str, path: str) -> tuple[Build | None, str]:
    """Return the build behind an address, and the path inside of it."""
    # No name has a NUL, and no database can be asked for one.
    project = None if "\x00" in name else find_published_project(name=name)
    if project is None:
        return None, path
    if not path.startswith("@"):
        return project.live_build, path
    version, _, inner = path[1:].partition("/")
    try:
        build_id = parse_public_id("build", version)
    except MalformedId:
        return None, inner
    return find_deployed_build(project_id=project.id, build_id=build_id), inner


def find_file(root: Path, path: str, *, is_directory: bool) -> Path | None:
    """Return the file (or directory) of an artifact that a path names, its index for a directory.

    None where there is none, and for every path that is not plainly below the artifact: a real
    path that differs from the one asked for went through a link or out of the directory.
    """
    names = [name for name in path.removesuffix("/").split("/") if path.strip("/")]
    if any(name in {"", ".", ".."} for name in names):
        return None
    wanted = root.resolve().joinpath(*names, *(["index.html"] if is_directory else []))
    try:
        real = wanted.resolve(strict=True)
    except (OSError, ValueError):
        return None
    return real if real == wanted and (real.is_file() or not is_directory) else None


def answer_file(
    request: HttpRequest, file: Path, artifact_sha256: str, status: int, cache_control: str
) -> HttpResponseBase:
    """Return a file; 304 where the caller has it, no body for HEAD."""
    digest = hashlib.sha256(f"{artifact_sha256} {file}".encode()).hexdigest()
    headers = {
        "Cache-Control": cache_control,
        "Content-Length": str(file.stat().st_size),
        "ETag": quote_etag(digest[:32]),
    }
    bare = HttpResponse(status=status, content_type=content_type(file.name), headers=headers)
    if status == 200:
        unchanged = get_conditional_response(request, etag=headers["ETag"], response=bare)
        if unchanged is not bare and unchanged is not None:
            return unchanged
    if request.method == "HEAD":
        return bare
    response = FileResponse(file.open("rb"), content_type=content_type(file.name), status=status)
    for header, value in headers.items():
        response.headers[header] = value
    return response


def content_type(name: str) -> str:
    """Return the media type of a file by its name; text is UTF-8."""
    kind, encoding = _TYPES.guess_type(name)
    if encoding is not None:
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    if kind is None:
        return "application/octet-stream"
    is_text = kind.startswith("text/") or kind in {"application/json", "image/svg+xml"}
    return f"{kind}; charset=utf-8" if is_text else kind


def nothing_here() -> HttpResponse:
    """Return the answer for an address where nothing is published."""
    return HttpResponse("Nothing is published here.\n", status=404, content_type="text/plain")
