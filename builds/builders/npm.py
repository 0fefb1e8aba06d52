"""The builder `npm`: a site that a script of its own package.json builds."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

from builds.builders.builder import PROGRAMS, Builder, BuilderLimits, Options
from builds.errors import SiteConfigurationRefused

# What a build sees of the machine; Node elsewhere could not be started there.
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_SCRIPT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,63}")


class NpmBuilder(Builder):
    """Installs what package-lock.json names, without a network, and runs a script.

    Options: `script`, the script of package.json that builds the site (`build`); `directory`,
    where it leaves the site (`dist`).
    """

    name = "npm"
    OPTION_TYPES = {"script": str, "directory": str}
    # Node starts about a dozen threads before the site's first line runs, bundlers many more; a
    # bundler that takes longer than this is stuck.
    LIMITS = BuilderLimits(timeout_s=300.0, memory_bytes=2 * 1024**3, processes=256)

    @property
    def is_offered(self) -> bool:
        """See Builder; Node and npm are the machine's, not ours."""
        return all(shutil.which(program, path=_PATH) for program in ("node", "npm"))

    def validate_options(self, options: Options) -> Options:
        """See Builder; `script` is a name, `directory` a plain relative path below the source."""
        valid = super().validate_options(options)
        self._check_directory(valid.get("directory", "dist"))
        if not _SCRIPT.fullmatch(valid.get("script", "build")):
            raise self._invalid("script", "expected the name of a script in package.json")
        return valid

    def prepare(self, source: Path, output: Path, options: Options) -> list[str]:
        """Look for what `npm ci` needs; what it says is npm's to judge, in the sandbox."""
        for name in ("package.json", "package-lock.json"):
            if not (source / name).is_file():
                raise SiteConfigurationRefused(
                    f"There is no {name} at the top of the source.", data={"field": name}
                )
        return []

    def command(self, source: Path, output: Path, options: Options) -> list[str]:
        """Run npm through the program that copies the source to where npm may write."""
        command = [sys.executable, "-I", "-S", str(PROGRAMS / "build_npm.py")]
        command += [str(source), str(output)]
        return [*command, options.get("script", "build"), options.get("directory", "dist")]


BUILDER = NpmBuilder()
