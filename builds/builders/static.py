"""The builder `static`: files are published as they are, after a check of the links."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from builds.builders.builder import PROGRAMS, Builder, Options
from builds.errors import SiteConfigurationRefused

# Never published: version control, environment files and the litter of archivers. RFC 8615
# reserves the one dotted directory that belongs to a site.
_PUBLISHED_DOTTED: Final = frozenset({".well-known", ".nojekyll"})
_LITTER: Final = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


class StaticBuilder(Builder):
    """Publishes the files of a source, or of one directory of it.

    Options: `directory`, the directory of the source that holds the site.
    """

    name = "static"
    OPTION_TYPES = {"directory": str}

    def validate_options(self, options: Options) -> Options:
        """See Builder; `directory` has to be a plain relative path."""
        valid = super().validate_options(options)
        self._check_directory(valid.get("directory", "."))
        return valid

    def prepare(self, source: Path, output: Path, options: Options) -> list[str]:
        """Move the site's files to the output; hidden files and archiver litter stay behind."""
        root = source / options.get("directory", ".")
        if not root.is_dir():
            raise SiteConfigurationRefused(
                f"The source has no directory `{options['directory']}`.",
                data={"field": "options.directory"},
            )
        left_out = _move(root, output)
        return [f"left out {name}" for name in sorted(left_out)]

    def command(self, source: Path, output: Path, options: Options) -> list[str]:
        """Check the links: broken HTML is read in the sandbox, not in the worker."""
        return [sys.executable, "-I", "-S", str(PROGRAMS / "check_links.py"), str(output)]


def _move(source: Path, output: Path) -> list[str]:
    left_out: list[str] = []
    pending = [Path()]
    while pending:
        directory = pending.pop()
        for entry in sorted((source / directory).iterdir()):
            relative = directory / entry.name
            if entry.name in _LITTER or (
                entry.name.startswith(".") and entry.name not in _PUBLISHED_DOTTED
            ):
                left_out.append(relative.as_posix())
            elif entry.is_dir():
                (output / relative).mkdir(exist_ok=True)
                pending.append(relative)
            else:
                entry.rename(output / relative)
    return left_out


BUILDER = StaticBuilder()
