"""The builder `sphinx`: the real Sphinx on a source with a `conf.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from builds.builders.builder import PROGRAMS, Builder, Options
from builds.errors import SiteConfigurationRefused

# Where projects keep it; the first that is there counts.
_USUAL: Final = (".", "docs", "docs/source", "doc", "doc/source", "source")


class SphinxBuilder(Builder):
    """Builds documentation with Sphinx, as HTML.

    Options: `directory`, the directory with `conf.py` where it is not a usual one; `strict`,
    whether Sphinx's warnings fail the build (its own --fail-on-warning).
    """

    name = "sphinx"
    OPTION_TYPES = {"directory": str, "strict": bool}

    def validate_options(self, options: Options) -> Options:
        """See Builder; `directory` has to be a plain relative path."""
        valid = super().validate_options(options)
        self._check_directory(valid.get("directory", "."))
        return valid

    def prepare(self, source: Path, output: Path, options: Options) -> list[str]:
        """Look for the configuration, which is a program and runs inside the sandbox alone."""
        found = _directory(source, options)
        return [] if found == source else [f"conf.py is in {found.relative_to(source).as_posix()}"]

    def command(self, source: Path, output: Path, options: Options) -> list[str]:
        """Run Sphinx through the program that first looks at the isolation.

        -I: neither the source's directory nor the environment adds modules to the interpreter.
        """
        command = [sys.executable, "-I", "-B", str(PROGRAMS / "build_sphinx.py")]
        command += [str(_directory(source, options)), str(output)]
        return [*command, "--fail-on-warning"] if options.get("strict") else command


def _directory(source: Path, options: Options) -> Path:
    named = options.get("directory")
    for name in _USUAL if named is None else (named,):
        if (source / name / "conf.py").is_file():
            return source / name
    where = "in a usual directory of the source" if named is None else f"in `{named}`"
    raise SiteConfigurationRefused(f"There is no conf.py {where}.", data={"field": "conf.py"})


BUILDER = SphinxBuilder()
