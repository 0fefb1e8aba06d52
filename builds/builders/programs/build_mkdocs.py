"""Run MkDocs on a site: python -I build_mkdocs.py CONFIGURATION OUTPUT [--strict].

Runs in the sandbox. A MkDocs configuration is a program: hooks, template overrides, plugins,
extensions named by import path and YAML tags all run the site's own code. Where bubblewrap
isolates the build that is the site's business; elsewhere it is refused, and only text is built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

# Keys whose values are code, or paths to it.
CODE_KEYS: Final = ("hooks", "extra_templates", "INHERIT")
PLUGINS: Final = frozenset({"search"})
# Shipped with Python-Markdown and MkDocs. Any other name is an import path: `module:Class` would
# be called with arguments of the site's choice.
EXTENSIONS: Final = frozenset(
    (
        *("abbr", "admonition", "attr_list", "codehilite", "def_list", "extra", "fenced_code"),
        *("footnotes", "legacy_attrs", "legacy_em", "md_in_html", "meta", "nl2br", "sane_lists"),
        *("smarty", "tables", "toc", "wikilinks"),
    )
)
TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("bool", "float", "int", "map", "null", "omap", "seq", "set", "str", "timestamp")
)


def refusals(configuration: Path) -> Iterator[str]:
    """Yield why a configuration is not plain data; nothing of the site has run before.

    Works on YAML nodes: constructing values would already run what tags ask for.
    """
    root = yaml.compose(configuration.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        yield "is not a mapping"
        return
    yield from _odd_tags(root)
    top = _mapping(root)
    for key in CODE_KEYS:
        if key in top:
            yield f"`{key}` brings code of its own"
    if "custom_dir" in _mapping(top.get("theme")):
        yield "`theme.custom_dir` brings templates of its own"
    for name in _names(top.get("plugins")):
        if name not in PLUGINS:
            yield f"plugin `{name}` is not one of {', '.join(sorted(PLUGINS))}"
    for name in _names(top.get("markdown_extensions")):
        if name.removeprefix("markdown.extensions.") not in EXTENSIONS:
            yield f"Markdown extension `{name}` is not one that comes with MkDocs"


def outside_docs_dir(configuration: Path) -> str:
    """Return why `docs_dir` cannot be published, or nothing: it has to lie in the source."""
    root = yaml.compose(configuration.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    node = _mapping(root).get("docs_dir")
    name = node.value if isinstance(node, yaml.ScalarNode) else "docs"
    source = configuration.parent.resolve()
    if (source / name).resolve().is_relative_to(source):
        return ""
    return f"`docs_dir` leads out of the source: {name[:200]}"


def _odd_tags(root: yaml.Node) -> Iterator[str]:
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.tag not in TAGS:
            yield f"line {node.start_mark.line + 1}: tag or merge key {node.tag} is not plain data"
        if isinstance(node, yaml.MappingNode):
            pending += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value


def _mapping(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): value for key, value in node.value}


def _names(node: yaml.Node | None) -> Iterator[str]:
    """Yield the names in MkDocs's spellings of a list: scalars, one-key mappings, a mapping."""
    if isinstance(node, yaml.MappingNode):
        yield from _mapping(node)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if isinstance(item, yaml.MappingNode):
                yield from _mapping(item)
            else:
                yield str(item.value)
    elif isinstance(node, yaml.ScalarNode) and node.value:
        yield str(node.value)


def main(arguments: list[str]) -> int:
    """Judge the configuration, then become MkDocs; return the exit code of a refusal."""
    configuration, output, *flags = arguments
    isolated = os.environ.get("FLAGSHIP_ISOLATION") == "bubblewrap"
    try:
        problems = [] if isolated else list(refusals(Path(configuration)))
        problems += filter(None, [outside_docs_dir(Path(configuration))])
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        problems = [f"is not readable YAML: {error}"]
    for problem in problems:
        sys.stderr.write(f"{Path(configuration).name}: {problem}\n")
    if problems:
        if not isolated:
            sys.stderr.write("Sites that bring code are only built under bubblewrap.\n")
        return 1
    command = ["-m", "mkdocs", "build", "--config-file", configuration, "--site-dir", output]
    os.execv(sys.executable, [sys.executable, "-I", *command, *flags])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
