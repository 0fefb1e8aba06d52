"""What a builder is."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from builds.errors import BuilderOptionsInvalid

PROGRAMS = Path(__file__).resolve().parent / "programs"

Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BuilderLimits:
    """What a builder's process may use; of time and memory the settings may allow less.

    Units: `timeout_s` by the clock, `memory_bytes` of all processes together, `processes` and
    threads at once.
    """

    timeout_s: float = math.inf
    memory_bytes: int = sys.maxsize
    processes: int = 64


class Builder(ABC):
    """Turns an unpacked source into a directory that is published as it is.

    The worker calls, in this order: `prepare`, the process of `command` in the sandbox, `check`.
    A builder holds no state. Whatever reads the inside of the site's files belongs into the
    process: the worker's threads must not depend on what a stranger wrote. Source: B-05.
    """

    name: ClassVar[str]
    # The type of every option; what is not listed is refused.
    OPTION_TYPES: ClassVar[dict[str, type]] = {}
    LIMITS: ClassVar[BuilderLimits] = BuilderLimits()

    @property
    def is_offered(self) -> bool:
        """Whether this machine has what the builder needs; without it there is no such builder."""
        return True

    def validate_options(self, options: Options) -> Options:
        """Return the options as they are stored with a build.

        Raises: BuilderOptionsInvalid naming the field, for an unknown one or a wrong value.
        """
        for field, value in options.items():
            expected = self.OPTION_TYPES.get(field)
            if expected is None:
                raise self._invalid(field, f"{self.name} has no option of this name")
            if type(value) is not expected:
                raise self._invalid(field, f"expected {_WORDS[expected]}")
        return dict(options)

    def prepare(self, source: Path, output: Path, options: Options) -> list[str]:
        """Check and arrange the files before the process starts; return lines for the log.

        Raises: SiteConfigurationRefused when the source cannot be built by this builder.
        """
        return []

    @abstractmethod
    def command(self, source: Path, output: Path, options: Options) -> list[str] | None:
        """Return the process that writes the site to `output`; None when there is nothing to run.

        It starts in the workspace that holds both, inside the sandbox.
        """

    def check(self, output: Path) -> list[str]:
        """Return what is wrong with the built site; an empty list lets it be published."""
        if not (output / "index.html").is_file():
            return ["index.html is missing: the site has no first page"]
        return []

    def _check_directory(self, directory: str) -> None:
        """Refuse a `directory` that is not a plain relative path inside the source.

        Raises: BuilderOptionsInvalid.
        """
        parts = directory.split("/")
        if not directory or len(directory) > 255 or directory.startswith("/") or ".." in parts:
            raise self._invalid("directory", "expected a relative path inside the source")
        if not directory.isprintable() or "\\" in directory:
            raise self._invalid("directory", "expected printable characters and forward slashes")

    def _invalid(self, field: str, reason: str) -> BuilderOptionsInvalid:
        return BuilderOptionsInvalid(
            f"Option `{field}`: {reason}.",
            data={"field": f"options.{field}", "allowed": sorted(self.OPTION_TYPES)},
        )


_WORDS = {bool: "true or false", str: "a string", int: "a whole number"}
