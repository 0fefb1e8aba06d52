"""/sites/<project>/: the published files and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from builds.clients.storage import store_artifact
from builds.models import Build, Project
from builds.services.moves import mark_deployed, start_build
from jobs.ids import public_id
from tests.factories import make_account, make_build, make_project
from tests.integration.builds.runs import claim_run

pytestmark = pytest.mark.django_db

FILES = {
    "index.html": b"<h1>Home</h1>",
    "style.css": b"p { color: red }",
    "docs/index.html": b"<h1>Docs</h1>",
    "docs/caf\xc3\xa9.html".encode("latin-1").decode("utf-8"): b"caf",
    "font.woff2": b"wOF2",
    "data.unknown": b"\x00\x01",
    "bundle.tar.gz": b"\x1f\x8b",
}


def deploy(project: Project, files: dict[str, bytes], directory: Path) -> Build:
    """Publish files as a build of the project."""
    for name, content in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    build = make_build(project)
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    stored = store_artifact(directory)
    mark_deployed(build_id=build.id, artifact=stored, duration_s=0.1, context=context)
    return build


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one deployed site."""
    project = make_project(make_account(credits=1000))
    deploy(project, FILES, tmp_path / "site")
    project.refresh_from_db()
    return project


def get(path: str, **options: Any) -> Any:
    response: Any = Client().get(path, **options)
    if response.streaming:
        response.body = b"".join(response.streaming_content)
    return response


@pytest.mark.parametrize(
    ("path", "content", "content_type"),
    [
        ("", FILES["index.html"], "text/html; charset=utf-8"),
        ("index.html", FILES["index.html"], "text/html; charset=utf-8"),
        ("style.css", FILES["style.css"], "text/css; charset=utf-8"),
        ("docs/", FILES["docs/index.html"], "text/html; charset=utf-8"),
        ("docs/caf%C3%A9.html", b"caf", "text/html; charset=utf-8"),
        ("font.woff2", b"wOF2", "font/woff2"),
        ("data.unknown", b"\x00\x01", "application/octet-stream"),
        ("bundle.tar.gz", b"\x1f\x8b", "application/gzip"),
    ],
)
def test_site__file_that_was_published__is_served(
    path: str, content: bytes, content_type: str, project: Project
) -> None:
    # B-05
    version = f"@{public_id('build', project.live_build_id)}/"  # type: ignore[arg-type] # deployed
    for name in (project.site_name, public_id("proj", project.id)):
        for prefix in ("", version):
            response = get(f"/sites/{name}/{prefix}{path}")

            assert (response.status_code, response.body) == (200, content)
            assert response.headers["Content-Type"] == content_type
            assert response.headers["Content-Length"] == str(len(content))
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("sandbox ")
            assert "allow-same-origin" not in policy
            assert not response.cookies
            is_version = "immutable" in response.headers["Cache-Control"]
            assert is_version == bool(prefix)


def test_site__known_to_the_caller__is_not_sent_again(project: Project, tmp_path: Path) -> None:
    # B-05
    path = f"/sites/{project.site_name}/"
    etag = get(path).headers["ETag"]

    unchanged = get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["ETag"] == etag
    # A browser gives what it has kept these headers: the sandbox must not be lost on the way.
    assert unchanged.headers["Content-Security-Policy"].startswith("sandbox ")

    deploy(project, {"index.html": b"<h1>New</h1>"}, tmp_path / "new")
    assert get(path, headers={"If-None-Match": etag}).body == b"<h1>New</h1>"


def test_answer__of_any_kind__is_sandboxed_and_has_no_opener_policy(project: Project) -> None:
    # B-05: with an opener policy a browser refuses to show what is sandboxed.
    base = f"/sites/{project.site_name}"
    answers = [get(f"{base}/"), get(f"{base}/docs"), get(f"{base}/no"), Client().head(f"{base}/")]

    assert [answer.status_code for answer in answers] == [200, 302, 404, 200]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox ") and "allow-same-origin" not in policy
        assert answer.headers["Cross-Origin-Opener-Policy"] == "unsafe-none"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_site__head__answers_the_headers_of_get(project: Project) -> None:
    # B-05
    path = f"/sites/{project.site_name}/style.css"

    head = Client().head(path)

    assert (head.status_code, head.content) == (200, b"")
    for header in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
        assert head.headers[header] == get(path).headers[header]


def test_site__directory_without_a_slash__is_redirected_to_itself(project: Project) -> None:
    # B-05
    version = public_id("build", project.live_build_id)  # type: ignore[arg-type] # deployed
    for path in ("docs", f"@{version}", f"@{version}/docs"):
        response = get(f"/sites/{project.site_name}/{path}?a=b")
        assert response.status_code == 302
        assert response.headers["Location"] == f"/sites/{project.site_name}/{path}/?a=b"


@pytest.mark.parametrize(
    "path",
    [
        "missing.html",
        "style.css/",
        "style.css/x",
        "docs//index.html",
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc/passwd",
        "%2e%2e/%2e%2e/secrets.json",
        "docs/../../index.html",
        "docs/./index.html",
        "/etc/passwd",
        "%00",
        "index.html%00.css",
        "a" * 5000,
        "@build_00000000000000000000000000000000/",
        "@nonsense/",
        "@/",
    ],
)
def test_site__anything_else__is_not_found(path: str, project: Project) -> None:
    # B-05 P31
    response = get(f"/sites/{project.site_name}/{path}")

    assert response.status_code == 404


def test_site__link_smuggled_into_the_storage__is_not_followed(
    project: Project, tmp_path: Path
) -> None:
    # B-05
    build = project.live_build
    assert build is not None and build.artifact_sha256
    root = Path(settings.STORAGE_DIR) / "artifacts" / build.artifact_sha256[:2]
    (root / build.artifact_sha256 / "passwd").symlink_to("/etc/passwd")
    (root / build.artifact_sha256 / "up").symlink_to("/etc")

    assert get(f"/sites/{project.site_name}/passwd").status_code == 404
    assert get(f"/sites/{project.site_name}/up/passwd").status_code == 404


def test_site__own_page_for_what_is_missing__is_shown_with_404(tmp_path: Path) -> None:
    # B-05
    project = make_project(make_account(credits=1000))
    files = {"index.html": b"x", "404.html": b"<h1>Lost?</h1>"}
    deploy(project, files, tmp_path / "site")

    response = get(f"/sites/{project.site_name}/nowhere", headers={"If-None-Match": "*"})

    assert (response.status_code, response.body) == (404, files["404.html"])
    assert response.headers["Content-Security-Policy"].startswith("sandbox ")


def test_site__nothing_deployed_or_no_such_project__answers_alike() -> None:
    # P24
    project = make_project(make_account(credits=1000))
    build = make_build(project)

    answers = [
        get(f"/sites/{project.site_name}/"),
        get("/sites/nobody-12345678/"),
        get(f"/sites/{project.site_name}/@{public_id('build', build.id)}/"),
    ]

    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b"Nothing is published here.\n")
    }


def test_site__build_of_another_project__is_not_found_there(
    project: Project, tmp_path: Path
) -> None:
    # P24
    other = make_project(make_account(credits=1000))
    deploy(other, {"index.html": b"other"}, tmp_path / "other")
    version = public_id("build", project.live_build_id)  # type: ignore[arg-type] # deployed

    assert get(f"/sites/{other.site_name}/@{version}/").status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_site__written_to__is_refused(method: str, project: Project) -> None:
    # E-08
    response = getattr(Client(), method)(f"/sites/{project.site_name}/index.html")

    assert response.status_code == 405


@pytest.mark.parametrize("path", ["/sites/%00/", "/sites/a%00b/x", "/sites/%ff/", "/sites/@x/"])
def test_site__of_a_name_that_cannot_be__is_not_there(path: str) -> None:
    # P31
    assert get(path).status_code == 404
