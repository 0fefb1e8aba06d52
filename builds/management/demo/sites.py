"""What the demo builds: two real sites, and one that cannot be built."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

SITES = Path(__file__).resolve().parent.parent.parent / "fixtures" / "sites"


@dataclass(frozen=True, slots=True)
class Site:
    """A site, how it is built, and what its published pages must say."""

    name: str
    builder: str
    archive: bytes
    pages: dict[str, str]


def real_sites() -> list[Site]:
    """Return the two sites that ship with the project."""
    return [
        Site(
            "MDN beginner site",
            "static",
            (SITES / "mdn-beginner-site.tar.gz").read_bytes(),
            {"": "Mozilla is cool", "styles/style.css": "font-family"},
        ),
        Site(
            "Starlette documentation",
            "mkdocs",
            (SITES / "starlette-docs.tar.gz").read_bytes(),
            {"": "The little ASGI framework that shines", "routing/": "Routing"},
        ),
    ]


def broken_site() -> Site:
    """Return an MkDocs site whose configuration names a theme that does not exist."""
    files = {
        "mkdocs.yml": "site_name: Broken\ntheme:\n  name: no-such-theme\n",
        "docs/index.md": "# This page is never published\n",
    }
    return Site("Broken site", "mkdocs", _archive(files), {})


def _archive(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(packed.getvalue(), mtime=0)
