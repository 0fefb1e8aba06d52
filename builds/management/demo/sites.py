"""What the demo builds: real sites that ship with the project, and what becomes of them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

SITES: Final = Path(__file__).resolve().parent.parent.parent / "fixtures" / "sites"
# A build of so many editions takes tens of seconds on any machine, for MkDocs writes a menu of all
# pages into each of them; its builder speaks in the first, and is stopped then.
EDITIONS: Final = 40


@dataclass(frozen=True, slots=True)
class Site:
    """A site, how it is built, what becomes of it, and what its published pages must say."""

    name: str
    builder: str
    archive: bytes
    pages: Mapping[str, str]
    end: str = "deployed"


def real_sites() -> list[Site]:
    """Return the two sites that are built one by one, on any machine."""
    return [_mdn(), _starlette()]


def batch_sites(*, builders: Collection[str]) -> list[Site]:
    """Return five sites: three to be deployed, one that cannot be built, one to be cancelled.

    `builders` are those that work where they are built: sites that need another one give way to
    plain Markdown.
    """
    return [
        _mdn(),
        _alabaster() if "sphinx" in builders else _own_docs(),
        _marked() if "npm" in builders else _starlette(),
        _themeless(),
        _endless(),
    ]


def _mdn() -> Site:
    return Site(
        "MDN beginner site",
        "static",
        (SITES / "mdn-beginner-site.tar.gz").read_bytes(),
        {"": "Mozilla is cool", "styles/style.css": "font-family"},
    )


def _starlette() -> Site:
    return Site(
        "Starlette documentation",
        "mkdocs",
        (SITES / "starlette-docs.tar.gz").read_bytes(),
        {"": "The little ASGI framework that shines", "routing/": "Routing"},
    )


def _alabaster() -> Site:
    return Site(
        "Alabaster documentation",
        "sphinx",
        (SITES / "alabaster-docs.tar.gz").read_bytes(),
        {"": "Alabaster: a Sphinx theme", "installation.html": "Installation"},
    )


def _marked() -> Site:
    return Site(
        "Marked manual",
        "npm",
        (SITES / "marked-manual.tar.gz").read_bytes(),
        {"": "a javascript markdown parser"},
    )


def _own_docs() -> Site:
    """Return the documentation of this project, its README as the first page."""
    docs = settings.BASE_DIR / "docs"
    files = {
        f"docs/{path.relative_to(docs).as_posix()}": path.read_bytes()
        for path in sorted(docs.rglob("*.md"))
    }
    files["docs/index.md"] = (settings.BASE_DIR / "README.md").read_bytes()
    files["mkdocs.yml"] = b"site_name: FlagShip\ndocs_dir: docs\ntheme: mkdocs\n"
    return Site(
        "FlagShip documentation",
        "mkdocs",
        _packed(files),
        {"": "The worker platform behind a website builder", "credits/": "Credits"},
    )


def _themeless() -> Site:
    """Return Starlette's documentation with its authors' theme, which is not installed here."""
    files = _unpacked("starlette-docs")
    files["mkdocs.yml"] = files["mkdocs.yml"].replace(b"theme: mkdocs", b"theme: material")
    return Site("Starlette in Material", "mkdocs", _packed(files), {}, "failed")


def _endless() -> Site:
    """Return many editions of Starlette's documentation in one site."""
    files = _unpacked("starlette-docs")
    pages = {name: text for name, text in files.items() if name.startswith("docs/")}
    for number in range(1, EDITIONS + 1):
        for name, text in pages.items():
            files[f"docs/edition-{number:02}/{name.removeprefix('docs/')}"] = text
    return Site(f"{EDITIONS} editions of Starlette", "mkdocs", _packed(files), {}, "cancelled")


def _unpacked(name: str) -> dict[str, bytes]:
    """Return the files of a site that ships with the project, by their paths."""
    files = {}
    with tarfile.open(SITES / f"{name}.tar.gz") as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            if content is not None:
                files[entry.name.removeprefix("./")] = content.read()
    return files


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), compresslevel=1, mtime=0)
