"""One factory per model: the smallest valid row."""

from __future__ import annotations
