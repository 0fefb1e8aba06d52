"""Sources out of git repositories: real ones, hostile ones, and what a failure leaves. # B-05"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from builds.clients.archives import ArchiveLimits, extract_archive
from builds.clients.storage import source_path
from builds.models import Fetch, Project, Source
from builds.payloads import FetchSource
from flagship.models import AuditEvent
from jobs.ids import parse_public_id, public_id
from jobs.models import FailedJob, Job
from jobs.services import dead_letters
from jobs.worker.execute import Executor
from tests.asserts import assert_refused, wait_until
from tests.clients import ApiCaller, make_client
from tests.factories import make_project
from tests.gitserver import HOST, GitServer, Names, serve, visitors

SITE: dict[str, Any] = {"index.html": b"<h1>Hi</h1>\n", "css/site.css": b"p{}\n"}
LIMITS = ArchiveLimits(archive_bytes=10**7, unpacked_bytes=10**8, files=100)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    yield from serve(tmp_path_factory.mktemp("server"))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def server(running: GitServer, names: Names, settings: Any) -> GitServer:
    """A server with one site on it that fetches are let through to."""
    names.set(HOST, ["127.0.0.1"])
    settings.OUTGOING_PORTS = [443, running.port]
    settings.OUTGOING_CA_FILE = str(running.certificate)
    settings.OUTGOING_TEST_ADDRESSES = ["127.0.0.1"]
    running.instead = None
    running.commit(SITE)
    running.asked.clear()
    return running


@pytest.fixture
def api(executor: Executor) -> ApiCaller:
    """A caller whose rows are committed, as the executor needs them."""
    return make_client()


@pytest.fixture
def project(api: ApiCaller) -> Project:
    return make_project(api.organization.id)


def path_of(project: Project) -> str:
    return f"/v1/projects/{public_id('proj', project.id)}/fetches"


def start(api: ApiCaller, project: Project, url: str, **more: str) -> Any:
    response = api.post(path_of(project), {"url": url, **more})
    assert response.status_code == 202, response.json()
    return response.json()


def run(api: ApiCaller, executor: Executor, project: Project, url: str, **more: str) -> Any:
    """Start a fetch, run its job once, and ask how it stands."""
    started = start(api, project, url, **more)
    fetch = Fetch.objects.get(id=parse_public_id("fetch", started["id"]))
    executor.run(fetch.job_id)
    return api.get(f"{path_of(project)}/{started['id']}").json()


def assert_failed(api: ApiCaller, told: Any, code: str, said: str = "") -> None:
    """Failed with this code; the job has done its work and nothing was kept."""
    assert (told["state"], told["error"]["code"]) == ("failed", code), told
    assert said in told["error"]["message"]
    assert (told["sourceId"], told["commit"]) == (None, None)
    assert Source.objects.count() == 0
    assert Job.objects.get(kind=FetchSource.KIND).state == "succeeded"
    assert FailedJob.objects.count() == 0


def files_of(told: Any, directory: Any) -> dict[str, bytes]:
    source = Source.objects.get(id=parse_public_id("src", told["sourceId"]))
    directory.mkdir()
    extract_archive(source_path(source.sha256), directory, LIMITS)
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


# --- what works -------------------------------------------------------------------------------


def test_fetch__of_the_default_branch__is_a_source_that_builds(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer, tmp_path: Any
) -> None:
    # B-05
    commit = server.git("rev-parse", "main")

    told = run(api, executor, project, server.url())

    assert (told["state"], told["commit"], told["error"]) == ("ready", commit, None), told
    assert files_of(told, tmp_path / "site") == SITE
    assert [asked.split("?")[0] for asked in server.asked] == [
        "GET /site.git/info/refs",
        "POST /site.git/git-upload-pack",
        "POST /site.git/git-upload-pack",
    ]
    actions = AuditEvent.objects.filter(organization_id=api.organization.id)
    assert {"source.fetch_started", "source.fetch_ready", "source.added"} <= set(
        actions.values_list("action", flat=True)
    )
    order = {"projectId": public_id("proj", project.id), "sourceId": told["sourceId"]}
    build = api.post("/v1/builds", order).json()
    executor.run(parse_public_id("job", build["jobId"]))
    assert api.get(f"/v1/builds/{build['id']}").json()["state"] == "deployed"


def test_fetch__of_a_branch_a_tag_and_a_commit__is_that_one(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer
) -> None:
    # B-05
    first = server.git("rev-parse", "main")
    other = server.commit({"index.html": b"other"}, ref="refs/heads/next/one")
    server.git("tag", "-a", "-m", "One", "v1.0", other)
    server.git("tag", "light", first)

    refs = {"next/one": other, "v1.0": other, "light": first, first: first, other: other}
    found = {ref: run(api, executor, project, server.url(), ref=ref)["commit"] for ref in refs}

    assert found == refs
    assert Source.objects.count() == 2


def test_fetch__of_the_same_commit_again__is_the_same_source(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer
) -> None:
    # B-05
    first = run(api, executor, project, server.url())
    again = run(api, executor, project, server.url())

    assert first["id"] != again["id"]
    assert first["sourceId"] == again["sourceId"]
    listed = api.get(path_of(project)).json()["items"]
    assert [item["id"] for item in listed] == [again["id"], first["id"]]


def test_fetch__of_a_history__brings_one_commit_alone(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer, settings: Any
) -> None:
    # B-05: what was deleted long ago does not count against the bound.
    noise = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(8000))
    old = server.commit({"old.bin": noise})
    tree = server.git("rev-parse", server.commit(SITE) + "^{tree}")
    new = server.git("commit-tree", tree, "-p", old, "-m", "Without it")
    server.git("update-ref", "refs/heads/main", new)
    settings.GIT_PACK_BYTES = len(noise) // 4

    told = run(api, executor, project, server.url())

    assert (told["state"], told["commit"]) == ("ready", new), told


def test_fetch__of_links_submodules_and_lfs__takes_files_as_they_are_stored(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer, tmp_path: Any
) -> None:
    # B-05: no link, no submodule, no filter, no attribute, no hook.
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n"
    with visitors() as (port, came):
        modules = f'[submodule "x"]\n\tpath = x\n\turl = https://127.0.0.1:{port}/x\n'
        server.commit(
            {
                **SITE,
                ".gitattributes": b"* export-ignore\n*.bin filter=lfs\n*.html ident eol=crlf\n",
                ".gitmodules": modules.encode(),
                "big.bin": pointer,
                "link": ("120000", "/etc/passwd"),
                "x": ("160000", "1" * 40),
            }
        )

        told = run(api, executor, project, server.url())
        assert came == []

    assert told["state"] == "ready", told
    assert told["leftOut"] == ["'link': a symbolic link", "'x': a submodule"]
    found = files_of(told, tmp_path / "site")
    assert found["big.bin"] == pointer
    assert found["index.html"] == SITE["index.html"]
    assert "link" not in found and "x" not in found


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "/etc/passwd", "ext::sh -c touch% /tmp/x", "ssh://a.example.org/x"),
        *("git@a.example.org:x", "http://a.example.org/x", "git://a.example.org/x"),
        *("--upload-pack=touch x", "https://a:b@a.example.org/x", "https://127.0.0.1/x"),
        *("https://[::1]/x", "https://2130706433/x", "https://localhost/x", "https://a.org:22/x"),
        *(
            "https://a.example.org/x?y",
            "https://a.example.org/x\n-c",
            "fd::17",
            "https://a.org/`id`",
        ),
    ],
)
def test_url__of_another_kind__is_refused_at_once(
    url: str, api: ApiCaller, project: Project, names: Names
) -> None:
    # B-05, E-08
    assert_refused(api.post(path_of(project), {"url": url}), 422, "URL_NOT_ALLOWED")

    assert (Fetch.objects.count(), Job.objects.count(), names.asked) == (0, 0, [])


@pytest.mark.parametrize(
    "ref", ["--upload-pack=touch x", "-x", "a..b", "a b", "a\nwant x", "a//b", "a/", "@{1}", "a:b"]
)
def test_ref__that_is_no_plain_name__is_refused_at_once(
    ref: str, api: ApiCaller, project: Project
) -> None:
    # B-05, E-08
    body = {"url": "https://a.example.org/x", "ref": ref}
    assert_refused(api.post(path_of(project), body), 422, "REF_INVALID")

    assert Fetch.objects.count() == 0


def test_fetch__without_the_allowance__reaches_nothing_of_this_machine(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer, settings: Any
) -> None:
    # B-05: as shipped.
    settings.OUTGOING_TEST_ADDRESSES = []

    told = run(api, executor, project, server.url())

    assert_failed(api, told, "ADDRESS_NOT_ALLOWED")
    assert server.asked == []


def test_fetch__name_that_is_rebound__stays_where_it_was_checked(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer, names: Names
) -> None:
    # B-05
    names.set(HOST, ["127.0.0.1"], ["169.254.169.254"])
    names.asked.clear()

    assert run(api, executor, project, server.url())["state"] == "ready"
    assert names.asked == [HOST]
    told = run(api, executor, project, server.url())
    assert told["error"]["code"] == "ADDRESS_NOT_ALLOWED"


def test_fetch__redirect_inside__is_not_followed(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer
) -> None:
    # B-05
    with visitors() as (port, came):
        location = f"http://127.0.0.1:{port}/site.git/info/refs"
        server.instead = lambda handler: handler.reply(302, b"", Location=location)

        told = run(api, executor, project, server.url())

        assert_failed(api, told, "REMOTE_ANSWER_REFUSED", "redirect")
        assert came == []


def test_fetch__huge_repository__is_cut_at_its_bound(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer, settings: Any
) -> None:
    # B-05
    noise = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(8000))
    server.commit({**SITE, "noise.bin": noise})
    settings.GIT_PACK_BYTES = 100_000

    told = run(api, executor, project, server.url())

    assert_failed(api, told, "REMOTE_ANSWER_REFUSED", "more than 100000 bytes")


def test_fetch__bomb__is_refused_before_its_files_are_read(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer, settings: Any
) -> None:
    # B-05
    server.commit({**SITE, "zeros.bin": bytes(30 * 2**20)})
    settings.SOURCE_UNPACKED_BYTES = 20 * 2**20

    told = run(api, executor, project, server.url())

    assert_failed(api, told, "REPOSITORY_REFUSED", "more than 20971520")


def test_fetch__slow_server__is_left_in_time_and_tried_again(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer, settings: Any
) -> None:
    # B-05: three runs, then the fetch says what was wrong.
    def dribble(handler: Any) -> None:
        try:
            kind = b"Content-Type: application/x-git-upload-pack-advertisement\r\n"
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + kind + b"Content-Length: 9999\r\n\r\n")
            while True:
                handler.wfile.write(b"0")
                time.sleep(0.1)
        except OSError:
            handler.close_connection = True

    server.instead = dribble
    settings.GIT_FETCH_TIMEOUT_S = 1.0
    started = start(api, project, server.url())
    fetch = Fetch.objects.get()

    for _ in range(3):
        wait_until(lambda: executor.run(fetch.job_id), 15)

    fetch.refresh_from_db()
    assert (fetch.state, fetch.error_code) == ("failed", "REMOTE_UNREACHABLE")
    assert HOST in fetch.error_message
    assert len(server.asked) == 3
    letter = FailedJob.objects.get(job_id=fetch.job_id)
    with pytest.raises(Exception, match="cannot run again"):
        dead_letters.requeue(failed_job_id=letter.id, actor="test")
    assert start(api, project, server.url())["id"] != started["id"]


HELLO = b"001e# service=git-upload-pack\n0000000eversion 2\n0000"


@pytest.mark.parametrize(
    ("advertised", "answered", "code", "said"),
    [
        (b"<html>Sign in</html>", b"", "REPOSITORY_REFUSED", "not git's protocol"),
        (b"", b"", "REPOSITORY_REFUSED", "version 2"),
        (b"0009ab\n", b"", "REPOSITORY_REFUSED", "cut off"),
        (b"ffff", b"", "REPOSITORY_REFUSED", "cut off"),
        (b"0003", b"", "REPOSITORY_REFUSED", "not git's protocol"),
        (b"-001", b"", "REPOSITORY_REFUSED", "not git's protocol"),
        (b"000eversion 1\n0000", b"", "REPOSITORY_REFUSED", "version 2"),
        (b"0010ERR Go away\n", b"", "REPOSITORY_REFUSED", "Go away"),
        (b"0" * 100_000, b"", "REMOTE_ANSWER_REFUSED", "more than"),
        (HELLO, b"0000", "REPOSITORY_REFUSED", "no branch and no tag `HEAD`"),
        (HELLO, b"0012--upload HEAD\n0000", "REPOSITORY_REFUSED", "no branch"),
        (HELLO, b"0032" + b"1" * 40 + b" HEAD\n0000", "REPOSITORY_REFUSED", "no pack"),
    ],
)
def test_fetch__server_that_speaks_otherwise__fails_with_a_reason(
    advertised: bytes,
    answered: bytes,
    code: str,
    said: str,
    api: ApiCaller,
    executor: Executor,
    project: Project,
    server: GitServer,
) -> None:
    # B-05
    def speak(handler: Any) -> None:
        if handler.command == "GET":
            kind = "application/x-git-upload-pack-advertisement"
            handler.reply(200, advertised, Content_Type=kind)
        else:
            handler.reply(200, answered, Content_Type="application/x-git-upload-pack-result")

    server.instead = speak

    assert_failed(api, run(api, executor, project, server.url()), code, said)


def pack_of(*objects: tuple[int, bytes]) -> bytes:
    """A pack of these objects, as a server without scruples would make it."""
    body = b"PACK" + (2).to_bytes(4, "big") + len(objects).to_bytes(4, "big")
    for kind, data in objects:
        size, first = len(data), True
        while first or size:
            low = size & (15 if first else 127)
            size >>= 4 if first else 7
            body += bytes([low | (kind << 4 if first else 0) | (128 if size else 0)])
            first = False
        body += zlib.compress(data)
    return body + hashlib.sha1(body).digest()


def named(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (b"../evil.html", "ARCHIVE_UNSAFE_ENTRY"),
        (b"/etc/evil", "ARCHIVE_UNSAFE_ENTRY"),
        (b"a\nb.html", "ARCHIVE_UNSAFE_ENTRY"),
        (b"\xff.html", "ARCHIVE_UNSAFE_ENTRY"),
        (None, "REPOSITORY_REFUSED"),
        (b"", "REPOSITORY_REFUSED"),
    ],
)
def test_fetch__hostile_pack__leaves_nothing(
    path: bytes | None,
    code: str,
    api: ApiCaller,
    executor: Executor,
    project: Project,
    server: GitServer,
) -> None:
    # B-05: None is a pack that is no pack, an empty path one whose commit is not in it.
    blob = b"evil"
    tree = b"100644 " + (path or b"x") + b"\0" + bytes.fromhex(named("blob", blob))
    commit = f"tree {named('tree', tree)}\nauthor A <a> 0 +0000\ncommitter A <a> 0 +0000\n\nx\n"
    name = named("commit", commit.encode())
    objects = [(2, tree), (3, blob)] + ([(1, commit.encode())] if path else [])
    pack = b"PACK nonsense" if path is None else pack_of(*objects)

    def speak(handler: Any) -> None:
        kind = "advertisement" if handler.command == "GET" else "result"
        body = HELLO
        if b"command=ls-refs" in handler.body:
            body = b"0032" + name.encode() + b" HEAD\n0000"
        elif b"command=fetch" in handler.body:
            line = b"\x01" + pack
            body = b"000dpackfile\n" + f"{len(line) + 4:04x}".encode() + line + b"0000"
        handler.reply(200, body, Content_Type=f"application/x-git-upload-pack-{kind}")

    server.instead = speak

    assert_failed(api, run(api, executor, project, server.url()), code)


def test_fetch__worker_without_git__is_a_matter_of_the_operator(
    api: ApiCaller,
    executor: Executor,
    project: Project,
    server: GitServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # B-05
    from builds.clients.sandbox import plans

    monkeypatch.setattr(plans, "_PATH", "/nowhere")
    start(api, project, server.url())
    fetch = Fetch.objects.get()

    for _ in range(3):
        wait_until(lambda: executor.run(fetch.job_id), 15)

    fetch.refresh_from_db()
    assert (fetch.state, fetch.error_code) == ("failed", "GIT_UNAVAILABLE")


# --- one at a time, and whose it is -----------------------------------------------------------


def test_fetch__second_of_a_project__waits_for_the_first(
    api: ApiCaller, executor: Executor, project: Project, server: GitServer
) -> None:
    # B-05
    first = start(api, project, server.url())

    busy = api.post(path_of(project), {"url": server.url()})

    assert assert_refused(busy, 429, "FETCH_ALREADY_RUNNING")["data"] == {"fetchId": first["id"]}
    assert busy.headers["Retry-After"] == "10"
    assert Fetch.objects.count() == 1
    executor.run(Fetch.objects.get().job_id)
    start(api, project, server.url())


def test_fetch__of_another_organization__does_not_exist(
    api: ApiCaller, project: Project, server: GitServer
) -> None:
    # P24
    fetch = start(api, project, server.url())
    stranger = make_client()
    own = make_project(stranger.organization.id)

    for path, code in (
        (path_of(project), "PROJECT_NOT_FOUND"),
        (f"{path_of(project)}/{fetch['id']}", "PROJECT_NOT_FOUND"),
        (f"{path_of(own)}/{fetch['id']}", "FETCH_NOT_FOUND"),
        (f"{path_of(own)}/nonsense", "FETCH_NOT_FOUND"),
    ):
        assert_refused(stranger.get(path), 404, code)
    refused = stranger.post(path_of(project), {"url": server.url()})
    assert_refused(refused, 404, "PROJECT_NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("UPDATE builds_fetch SET state = 'queued', finished_at = NULL, error_code = NULL", "ends"),
        ("UPDATE builds_fetch SET error_message = 'x'", "ends_once"),
        ("UPDATE builds_fetch SET url = 'x'", "ends_once"),
        ("DELETE FROM builds_fetch", "fetch_kept"),
        (
            "INSERT INTO builds_fetch SELECT (jsonb_populate_record(f, jsonb_build_object("
            "'id', uuidv7(), 'job_id', uuidv7()))).* FROM builds_fetch AS f",
            "fetch_starts_queued",
        ),
    ],
)
def test_fetch__that_has_ended__cannot_be_changed_by_raw_sql(
    change: str,
    rule: str,
    api: ApiCaller,
    executor: Executor,
    project: Project,
    server: GitServer,
    owner_db: psycopg.Connection[Any],
) -> None:
    # B-05
    run(api, executor, project, server.url(), ref="gone")
    before = Fetch.objects.values().get()

    with pytest.raises(psycopg.errors.CheckViolation, match=rule):
        owner_db.execute(change)

    assert Fetch.objects.values().get() == before


def test_lines__however_they_are_split__are_the_same() -> None:
    # B-05
    from builds.clients.git.lines import packets

    said = b"0009hello0000000cone\ntwo\n0001" + b"0005x"
    expected = [b"hello", None, b"one\ntwo\n", None, b"x"]
    for size in range(1, len(said)):
        pieces = [said[start : start + size] for start in range(0, len(said), size)]
        assert list(packets(pieces)) == expected
