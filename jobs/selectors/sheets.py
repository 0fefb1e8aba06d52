"""Lines of files that people open in spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins like this is a formula to a spreadsheet."""


def csv_line(cells: Iterable[Any]) -> str:
    """Write one line of CSV; a text that would be taken for a formula begins with an apostrophe."""
    line = io.StringIO()
    csv.writer(line).writerow([_cell(cell) for cell in cells])
    return line.getvalue()


def csv_sql(cells: Iterable[str]) -> str:
    """Return the SQL expression of a line of CSV from those of its cells; NULL is an empty cell."""
    line = ", ',', ".join(cells)
    return f"concat({line}, E'\\r\\n')"


def csv_quoted(text: str) -> str:
    """Return the SQL expression of a cell that holds a text from that of the text."""
    # Each character that begins a formula is an element of its own.
    starts = "".join(FORMULA)
    is_formula = f"left({text}, 1) = ANY(string_to_array(E'{starts}', NULL))"
    safe = f"CASE WHEN {is_formula} THEN chr(39) || {text} ELSE {text} END"
    return f"""'"' || replace({safe}, '"', '""') || '"'"""


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
