"""Check that the links of a static site lead somewhere: python check_links.py DIRECTORY.

Runs in the sandbox with the standard library alone: HTML written by strangers can make a parser
slow, and slow is a matter for the build's own deadline. Exit code 1 when a link is broken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from posixpath import normpath
from typing import Final
from urllib.parse import unquote, urlsplit

LINKS: Final = {
    "href": frozenset({"a", "area", "link"}),
    "src": frozenset(
        {"audio", "embed", "iframe", "img", "input", "script", "source", "track", "video"}
    ),
    "poster": frozenset({"video"}),
    "data": frozenset({"object"}),
    "srcset": frozenset({"img", "source"}),
}
PAGES: Final = frozenset({".html", ".htm"})
MAX_PROBLEMS: Final = 100


class LinkParser(HTMLParser):
    """Collects the links of one page, and its <base> if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.links: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note every attribute of the tag that is a link."""
        for name, value in attrs:
            if value is None:
                continue
            if tag == "base" and name == "href" and not self.base:
                self.base = value.strip()
            elif tag in LINKS.get(name, ()):
                urls = _srcset(value) if name == "srcset" else [value.strip()]
                self.links += [(self.getpos()[0], url) for url in urls]


def broken_links(site: Path) -> Iterator[str]:
    """Yield a line for every local link of the site that leads nowhere.

    Links with a scheme or a host are other people's; fragments and queries are not looked at.
    An absolute path starts at the site's root; a directory counts by its index.html.
    """
    for page in sorted(site.rglob("*")):
        if page.suffix.lower() not in PAGES or not page.is_file():
            continue
        name = page.relative_to(site).as_posix()
        parser = LinkParser()
        parser.feed(page.read_text(encoding="utf-8", errors="replace"))
        parser.close()
        base = _path(parser.base)
        if base is None:
            continue
        start = _join(f"/{name}", base)
        for line, url in parser.links:
            reason = _judge(site, start, url)
            if reason:
                yield f"{name}:{line}: {url[:200]!r} {reason}"


def _judge(site: Path, start: str, url: str) -> str:
    path = _path(url)
    if not path:
        return ""
    joined = _join(start, path)
    if _climbs(joined):
        return "leads out of the site"
    if "\0" in joined:
        return "is not a path"
    target = site / normpath(joined).lstrip("/")
    if target.is_dir():
        return "" if (target / "index.html").is_file() else "is a directory without index.html"
    if joined.endswith("/") or not target.is_file():
        return "does not exist"
    return ""


def _path(url: str) -> str | None:
    """Return the decoded path of a local link, "" for the page itself, None for other hosts."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme or parts.netloc:
        return None
    return unquote(parts.path)


def _join(start: str, path: str) -> str:
    return path if path.startswith("/") else f"{start.rpartition('/')[0]}/{path}"


def _climbs(path: str) -> bool:
    depth = 0
    for part in path.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False


def _srcset(value: str) -> list[str]:
    return [words[0] for entry in value.split(",") if (words := entry.split())]


def main(arguments: list[str]) -> int:
    """Print what is broken, up to a number of lines; return the exit code."""
    count = 0
    for problem in broken_links(Path(arguments[0])):
        count += 1
        if count <= MAX_PROBLEMS:
            sys.stderr.write(f"{problem}\n")
    if count:
        sys.stderr.write(f"{count} broken links\n")
        return 1
    sys.stdout.write("all local links resolve\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
