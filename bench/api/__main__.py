"""`python -m bench.api`: the same as `python -m bench api`."""

from __future__ import annotations

import sys

from bench.api import main

main(sys.argv[1:])
