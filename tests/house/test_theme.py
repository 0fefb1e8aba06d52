"""What the console serves has nothing inline; copies of the theme's templates stay its copies."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
INLINE = re.compile(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|javascript:|srcdoc=")
# The theme's own, which a copy of ours was made of. Where one differs: compare, carry the change
# over, then write the new sum.
COPIED = {
    "admin/actions.html": "b5332aace8e69192",
    "unfold/helpers/app_list_badge.html": "bc002ff5a001fd04",
    "unfold/helpers/command.html": "ae6ce324d8536613",
    "unfold/helpers/empty_results.html": "5f4727a37a99da76",
    "unfold/helpers/header_title.html": "b126ed2ab9ca1680",
    "unfold/helpers/search.html": "91996c27181d14ad",
    "unfold/helpers/welcomemsg.html": "e8eab02522ba2319",
    "unfold/layouts/skeleton.html": "66af9f0bb45f98ba",
}


def test_template__of_ours__has_nothing_inline() -> None:
    # D-02
    pages = sorted(TEMPLATES.rglob("*.html"))
    found = {str(page): INLINE.findall(page.read_text()) for page in pages}

    assert {page: inline for page, inline in found.items() if inline} == {}
    assert len(pages) > 15


def test_inline__of_each_kind__is_seen() -> None:
    # A proof must be able to see.
    planted = (
        *("<style>", "<script>x()</script>", '<a style="color: red">', '<a onclick="x()">'),
        *('<a href="javascript:x()">', '<iframe srcdoc="x">', '<script type="module">x()'),
    )

    assert all(INLINE.search(text) for text in planted)
    assert not INLINE.search('<script src="/a.js" defer></script><a class="style" x-on:click="y">')


def test_template__copied_from_the_theme__is_of_the_theme_that_is_installed() -> None:
    # D-02
    theme = files("unfold") / "templates"
    ours = {
        str(page.relative_to(TEMPLATES))
        for page in TEMPLATES.rglob("*.html")
        if (theme / str(page.relative_to(TEMPLATES))).is_file()
    }
    sums = {name: hashlib.sha256((theme / name).read_bytes()).hexdigest()[:16] for name in COPIED}

    assert ours - {"admin/index.html"} == set(COPIED)
    assert sums == COPIED
