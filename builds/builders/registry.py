"""The builders there are, found by looking into the package."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from builds.builders.builder import Builder
from builds.errors import UnknownBuilder


def get_builder(name: str) -> Builder:
    """Return the builder of a name.

    Raises: UnknownBuilder listing the names there are; one that needs what this machine lacks is
    not among them.
    """
    builder = _builders().get(name)
    if builder is None or not builder.is_offered:
        raise UnknownBuilder(
            f"There is no builder `{name[:60]}`.", data={"builders": list(builder_names())}
        )
    return builder


def builder_names() -> tuple[str, ...]:
    """Return the names of the builders that this machine offers, sorted."""
    return tuple(name for name, builder in _builders().items() if builder.is_offered)


@cache
def _builders() -> dict[str, Builder]:
    """Collect the `BUILDER` of every module beside this one; a new builder is a new file."""
    package = import_module(__name__.rpartition(".")[0])
    found: dict[str, Builder] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.ispkg:
            continue
        builder = getattr(import_module(f"{package.__name__}.{module.name}"), "BUILDER", None)
        if not isinstance(builder, Builder):
            continue
        if builder.name in found:
            raise RuntimeError(f"two builders are named {builder.name}")
        found[builder.name] = builder
    return dict(sorted(found.items()))
