"""The builder `mkdocs`: the real MkDocs on a source with a `mkdocs.yml`."""

from __future__ import annotations

import sys
from pathlib import Path

from builds.builders.builder import PROGRAMS, Builder, Options
from builds.errors import SiteConfigurationRefused

CONFIGURATIONS = ("mkdocs.yml", "mkdocs.yaml")


class MkDocsBuilder(Builder):
    """Builds Markdown documentation with MkDocs.

    Options: `strict`, whether MkDocs's warnings fail the build (its own --strict).
    A link that MkDocs only warns about is not a problem here either: its warnings are in the log.
    """

    name = "mkdocs"
    OPTION_TYPES = {"strict": bool}

    def prepare(self, source: Path, output: Path, options: Options) -> list[str]:
        """Look for the configuration; what it says is judged inside the sandbox."""
        _configuration(source)
        return []

    def command(self, source: Path, output: Path, options: Options) -> list[str]:
        """Run MkDocs through the program that first judges the site's configuration.

        -I: neither the source's directory nor the environment adds modules to the interpreter.
        """
        command = [sys.executable, "-I", str(PROGRAMS / "build_mkdocs.py")]
        command += [str(_configuration(source)), str(output)]
        return [*command, "--strict"] if options.get("strict") else command


def _configuration(source: Path) -> Path:
    for name in CONFIGURATIONS:
        if (source / name).is_file():
            return source / name
    raise SiteConfigurationRefused(
        "There is no mkdocs.yml at the top of the source.", data={"field": "mkdocs.yml"}
    )


BUILDER = MkDocsBuilder()
