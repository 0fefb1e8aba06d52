"""Run Sphinx on a site: python -I build_sphinx.py DIRECTORY OUTPUT [--fail-on-warning].

Runs in the sandbox. A Sphinx configuration is a program from its first line, and its directives
read any file that they can: only bubblewrap keeps that to the site's own business.
"""

from __future__ import annotations

import os
import sys

NOT_HERE = "conf.py is a program: Sphinx sites are only built under bubblewrap.\n"


def main(arguments: list[str]) -> int:
    """Become Sphinx; return the exit code of a refusal."""
    directory, output, *flags = arguments
    if os.environ.get("FLAGSHIP_ISOLATION") != "bubblewrap":
        sys.stderr.write(NOT_HERE)
        return 1
    # Its cache stays out of what is published; one process: builds share the machine.
    doctrees = os.path.join(os.environ["TMPDIR"], "doctrees")
    command = ["-m", "sphinx", "--builder", "html", "--jobs", "1", "--no-color"]
    command += ["--doctree-dir", doctrees, *flags, directory, output]
    os.execv(sys.executable, [sys.executable, "-I", "-B", *command])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
