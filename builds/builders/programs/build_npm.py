"""Build a site with npm: python build_npm.py SOURCE OUTPUT SCRIPT DIRECTORY.

Runs in the sandbox with the standard library alone. Packages come from the source: as files that
package-lock.json names, or from the cache in `.npm-cache` that an `npm ci --cache .npm-cache` has
filled. There is no network, and npm is told so, or it would wait for one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

CACHE: Final = ".npm-cache"
NOT_HERE: Final = "npm runs a site's own programs: such sites are only built under bubblewrap.\n"
# Node collects its garbage in time when it knows how much there is, and says so when it is not
# enough, instead of being killed.
HEAP_MIB: Final = 1024


def environment(site: Path) -> dict[str, str]:
    """Return what npm and the site's programs see."""
    settings = {
        "cache": str(site / CACHE),
        "offline": "true",
        "audit": "false",
        "fund": "false",
        "progress": "false",
        "update_notifier": "false",
        "logs_max": "0",
    }
    told = {f"npm_config_{name}": value for name, value in settings.items()}
    return os.environ | told | {"CI": "true", "NODE_OPTIONS": f"--max-old-space-size={HEAP_MIB}"}


def main(arguments: list[str]) -> int:
    """Install, run the script, hand over what it built; return the first exit code that is not 0.

    npm writes beside package.json, and the source cannot be written: it works on a copy.
    """
    source, output, script, directory = arguments
    if os.environ.get("FLAGSHIP_ISOLATION") != "bubblewrap":
        sys.stderr.write(NOT_HERE)
        return 1
    site = Path(os.environ["HOME"]) / "site"
    shutil.copytree(source, site)
    for command in (["npm", "ci"], ["npm", "run", script]):
        done = subprocess.run(command, cwd=site, env=environment(site), check=False)  # noqa: S603
        if done.returncode:
            return done.returncode if done.returncode > 0 else 128 - done.returncode
    built = site / directory
    if not built.is_dir():
        sys.stderr.write(f"`npm run {script}` left no directory `{directory}`\n")
        return 1
    shutil.copytree(built, output, symlinks=True, dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
