"""The builders, on real sites and on sites that cannot be built. # B-05"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
import yaml

from builds.builders import builder_names, get_builder, registry
from builds.builders.programs import build_mkdocs, check_links
from builds.clients.archives import ArchiveLimits, extract_archive
from builds.clients.sandbox import SandboxResult
from builds.errors import BuilderOptionsInvalid, SiteConfigurationRefused, UnknownBuilder
from tests.unit.builds.sandboxed import Sandbox

SITES = Path(__file__).parents[3] / "builds" / "fixtures" / "sites"
LIMITS = ArchiveLimits(archive_bytes=1_000_000, unpacked_bytes=2_000_000, files=100)


@pytest.fixture
def buildable(sandbox: Sandbox) -> Sandbox:
    """A sandbox whose user can reach the interpreter that holds the builders' packages."""
    if sandbox.python_path != sys.executable:
        pytest.skip("the interpreter lies below a private directory")
    return sandbox


def build(sandbox: Sandbox, name: str, **options: object) -> SandboxResult:
    builder = get_builder(name)
    for line in builder.prepare(sandbox.source, sandbox.output, options):
        sandbox.on_line("notes", line)
    command = builder.command(sandbox.source, sandbox.output, options)
    assert command is not None
    return sandbox.run([*command], memory_bytes=1024**3)


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# B-05
def test_static__real_site__is_published_as_it_is(buildable: Sandbox) -> None:
    extract_archive(SITES / "mdn-beginner-site.tar.gz", buildable.source, LIMITS)

    result = build(buildable, "static")

    assert result.outcome == "finished", buildable.lines
    assert buildable.lines == [("stdout", "all local links resolve")]
    assert get_builder("static").check(buildable.output) == []
    assert (buildable.output / "images/firefox-icon.png").stat().st_size == 55480


# B-05
def test_mkdocs__real_site__is_built(buildable: Sandbox) -> None:
    extract_archive(SITES / "starlette-docs.tar.gz", buildable.source, LIMITS)

    result = build(buildable, "mkdocs")

    assert result.outcome == "finished", buildable.lines
    assert "Documentation built" in buildable.text("stderr")
    assert get_builder("mkdocs").check(buildable.output) == []
    assert "<title>Starlette</title>" in (buildable.output / "index.html").read_text()
    assert (buildable.output / "routing/index.html").is_file()


# B-05
def test_static__broken_links__fail_with_their_places(buildable: Sandbox) -> None:
    write(
        buildable.source,
        {
            "index.html": "<h1>hi</h1>\n<a href='gone.html'>x</a><img src=/no.png>",
            "sub/page.html": '<a href="../index.html#top">ok</a><a href="../../out.html">no</a>',
        },
    )

    result = build(buildable, "static")

    assert (result.outcome, result.exit_code) == ("failed", 1)
    assert buildable.text("stderr").splitlines() == [
        "index.html:2: 'gone.html' does not exist",
        "index.html:2: '/no.png' does not exist",
        "sub/page.html:1: '../../out.html' leads out of the site",
        "3 broken links",
    ]


# B-05
def test_mkdocs__site_that_cannot_build__fails_with_a_reason(buildable: Sandbox) -> None:
    write(
        buildable.source,
        {"mkdocs.yml": "site_name: Broken\ntheme: no-such-theme\n", "docs/index.md": "# Hi"},
    )

    result = build(buildable, "mkdocs")

    assert (result.outcome, result.exit_code) == ("failed", 1)
    assert "Unrecognised theme name: 'no-such-theme'" in buildable.text("stderr")


# B-05
def test_mkdocs__strict__turns_warnings_into_failure(buildable: Sandbox) -> None:
    write(buildable.source, {"mkdocs.yml": "site_name: S", "docs/index.md": "[gone](gone.md)"})

    assert build(buildable, "mkdocs").outcome == "finished"
    assert build(buildable, "mkdocs", strict=True).outcome == "failed"


RUNS_CODE = {
    "hooks": "hooks: [hook.py]",
    "tag": "extra:\n  x: !!python/object/apply:os.system ['touch output/ran']",
    "tag-in-key": "!!python/name:os.system : 1",
    "environment-tag": "copyright: !ENV HOME",
    "extension-class": "markdown_extensions:\n  - subprocess:Popen: {args: [touch, ran]}",
    "extension-mapping": "markdown_extensions:\n  os: {}",
    "plugin": "plugins: [search, macros]",
    "templates": "theme: {name: mkdocs, custom_dir: overrides}",
    "extra-templates": "extra_templates: [page.html]",
    "inherit": "INHERIT: ../other.yml",
    "merge-key": "theme:\n  <<: {custom_dir: overrides}\n  name: mkdocs",
    "docs-outside": "docs_dir: /etc",
    "docs-upwards": "docs_dir: ../..",
}


# B-05
@pytest.mark.parametrize("name", sorted(RUNS_CODE))
def test_mkdocs__configuration_that_runs_code__is_refused_before_it_runs(
    name: str, tmp_path: Path
) -> None:
    text = f"site_name: Evil\n{RUNS_CODE[name]}\n"
    write(tmp_path, {"mkdocs.yml": text, "docs/index.md": "# Hi"})

    problems = list(build_mkdocs.refusals(tmp_path / "mkdocs.yml"))
    problems += filter(None, [build_mkdocs.outside_docs_dir(tmp_path / "mkdocs.yml")])

    assert len(problems) >= 1
    assert not (tmp_path / "output").exists()


# B-05
def test_mkdocs__ordinary_configuration__is_taken(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "mkdocs.yml": """
site_name: Ordinary
nav: [{Home: index.md}]
theme: {name: readthedocs, locale: en}
plugins: [search: {lang: en}]
markdown_extensions:
  - toc: {permalink: true}
  - markdown.extensions.admonition
  - tables
extra_css: [style.css]
strict: true
"""
        },
    )

    assert list(build_mkdocs.refusals(tmp_path / "mkdocs.yml")) == []
    assert build_mkdocs.outside_docs_dir(tmp_path / "mkdocs.yml") == ""


# B-05
def test_mkdocs__hooks__run_under_bubblewrap_only(buildable: Sandbox) -> None:
    write(
        buildable.source,
        {
            "mkdocs.yml": "site_name: Hooked\nhooks: [hook.py]",
            "docs/index.md": "# Hi",
            "hook.py": "def on_page_markdown(markdown, **_): return markdown + 'from the hook'",
        },
    )

    result = build(buildable, "mkdocs")

    if buildable.level == "bubblewrap":
        assert result.outcome == "finished", buildable.lines
        assert "from the hook" in (buildable.output / "index.html").read_text()
    else:
        assert result.outcome == "failed"
        assert "`hooks` brings code of its own" in buildable.text("stderr")
        assert not any(buildable.output.iterdir())


# B-05
@pytest.mark.parametrize("text", ["a: [", "\tx", "- a list", "\ufeffa: b: c", "[" * 5000])
def test_mkdocs__unreadable_configuration__is_a_reason(text: str, tmp_path: Path) -> None:
    write(tmp_path, {"mkdocs.yml": text})
    with contextlib.suppress(yaml.YAMLError, RecursionError):
        assert list(build_mkdocs.refusals(tmp_path / "mkdocs.yml"))


LINKS = {
    "page.html": "",
    "page.html?v=1#part": "",
    "#part": "",
    "": "",
    "sub/": "",
    "sub": "",
    "./sub/../page.html": "",
    "/page.html": "",
    "a%20b.html": "",
    "a b.html": "",
    "%C3%BC.html": "",
    "https://example.org/x": "",
    "//example.org/x": "",
    "mailto:a@example.org": "",
    "data:text/plain,x": "",
    "javascript:void(0)": "",
    "http://[broken": "",
    "gone.html": "does not exist",
    "page.html/": "does not exist",
    "Page.html": "does not exist",
    "empty/": "is a directory without index.html",
    "../page.html": "leads out of the site",
    "%2e%2e/page.html": "leads out of the site",
    "/../page.html": "leads out of the site",
    "a%00b": "is not a path",
}


# B-05
@pytest.mark.parametrize("url", sorted(LINKS))
def test_check_links__kinds_of_links(url: str, tmp_path: Path) -> None:
    write(
        tmp_path / "site",
        {"page.html": "", "sub/index.html": "", "empty/x": "", "a b.html": "", "ü.html": ""},
    )
    write(tmp_path / "site", {"index.html": f'<p>\n<a href="{url}">link</a>'})
    expected = [f"index.html:2: {url!r} {LINKS[url]}"] if LINKS[url] else []

    assert list(check_links.broken_links(tmp_path / "site")) == expected


# B-05
@pytest.mark.parametrize(
    "tag",
    [
        *("<link href=x>", "<img src=x>", "<script src=x>", "<img srcset='ok.html 1x, x 2x'>"),
        *(
            "<video poster=x>",
            "<object data=x>",
            "<IMG SRC='x'/>",
            "<source src=x>",
            "<area href=x>",
        ),
    ],
)
def test_check_links__every_tag_with_a_link(tag: str, tmp_path: Path) -> None:
    write(tmp_path, {"index.html": tag, "ok.html": ""})

    assert list(check_links.broken_links(tmp_path)) == ["index.html:1: 'x' does not exist"]


# B-05
def test_check_links__base__moves_relative_links(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a/index.html": "<base href='../b/'><a href='page.html'>",
            "b/page.html": "<base href='https://example.org/'><a href='nowhere'>",
            "c.html": "<base href='/b/x.html'><a href='page.html'><a href='gone.html'>",
        },
    )

    assert list(check_links.broken_links(tmp_path)) == ["c.html:1: 'gone.html' does not exist"]


# B-05
def test_static__hidden_files_and_litter__stay_behind(tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    names = ["index.html", ".git/config", ".env", "a/.htpasswd", "__MACOSX/x", ".well-known/x.txt"]
    write(source, dict.fromkeys(names, ""))
    output.mkdir()

    notes = get_builder("static").prepare(source, output, {})

    kept = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert kept == {"index.html", ".well-known/x.txt"}
    assert notes == [f"left out {name}" for name in (".env", ".git", "__MACOSX", "a/.htpasswd")]


# B-05
def test_static__directory_option__publishes_that_directory(tmp_path: Path) -> None:
    write(tmp_path / "source", {"public/index.html": "", "README.md": ""})
    (tmp_path / "output").mkdir()
    builder = get_builder("static")

    builder.prepare(tmp_path / "source", tmp_path / "output", {"directory": "public"})
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["index.html"]

    with pytest.raises(SiteConfigurationRefused):
        builder.prepare(tmp_path / "source", tmp_path / "output", {"directory": "gone"})


# B-05
@pytest.mark.parametrize("name", ["static", "mkdocs"])
def test_builder__no_index__is_a_problem(name: str, tmp_path: Path) -> None:
    assert get_builder(name).check(tmp_path) == [
        "index.html is missing: the site has no first page"
    ]


# B-05
def test_mkdocs__no_configuration__is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteConfigurationRefused, match=r"no mkdocs\.yml"):
        get_builder("mkdocs").prepare(tmp_path, tmp_path, {})


# B-05
@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("static", {"strict": True}, "strict"),
        ("static", {"directory": 1}, "directory"),
        ("static", {"directory": ""}, "directory"),
        ("static", {"directory": "/etc"}, "directory"),
        ("static", {"directory": "a/../.."}, "directory"),
        ("static", {"directory": "a\\b"}, "directory"),
        ("static", {"directory": "a\nb"}, "directory"),
        ("mkdocs", {"strict": "yes"}, "strict"),
        ("mkdocs", {"strict": 1}, "strict"),
        ("mkdocs", {"config": "x"}, "config"),
    ],
)
def test_builder_options__wrong__refused_naming_the_field(
    name: str, options: dict[str, object], field: str
) -> None:
    with pytest.raises(BuilderOptionsInvalid) as refused:
        get_builder(name).validate_options(options)

    assert refused.value.code == "BUILDER_OPTIONS_INVALID"
    assert refused.value.data["field"] == f"options.{field}"


# B-05
def test_builder_options__right__are_returned() -> None:
    assert get_builder("static").validate_options({"directory": "a/b"}) == {"directory": "a/b"}
    assert get_builder("mkdocs").validate_options({"strict": True}) == {"strict": True}
    assert get_builder("mkdocs").validate_options({}) == {}


# B-05
def test_get_builder__unknown__lists_the_names() -> None:
    with pytest.raises(UnknownBuilder) as refused:
        get_builder("jekyll")

    assert refused.value.code == "UNKNOWN_BUILDER"
    names = [name for name in ("mkdocs", "npm", "sphinx", "static") if name in builder_names()]
    assert refused.value.data == {"builders": names}
    assert set(builder_names()) - {"npm"} == {"mkdocs", "sphinx", "static"}


# B-05
def test_registry__a_third_builder_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        {
            "third.py": """
from builds.builders.builder import Builder
class Third(Builder):
    name = "third"
    def command(self, source, output, options): return None
BUILDER = Third()
"""
        },
    )
    import builds.builders as package

    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    registry._builders.cache_clear()
    try:
        assert set(builder_names()) >= {"mkdocs", "sphinx", "static", "third"}
    finally:
        registry._builders.cache_clear()
        sys.modules.pop("builds.builders.third", None)
