"""Lines of CSV: what Python writes and what the database writes read alike."""

from __future__ import annotations

import csv
import io

import pytest
from django.db import connection

from jobs.selectors.sheets import FORMULA, csv_line, csv_quoted, csv_sql

TEXTS = [
    *("", "plain", "it's", 'a "word"', "a,b", "two\nlines", "é\u2028", "'quoted'", " =1", "%s %"),
    *(f"{first}1+1" for first in FORMULA),
    *FORMULA,
]


@pytest.mark.parametrize("text", TEXTS)
def test_cell__written_by_python_or_by_the_database__reads_alike(db: None, text: str) -> None:
    # D-07
    line = csv_sql(["%(number)s::int", csv_quoted("%(text)s::text"), "NULL::text"])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {line}", {"number": -5, "text": text})
        written = cursor.fetchone()[0]

    (row,) = csv.reader(io.StringIO(written, newline=""))
    assert [row] == list(csv.reader(io.StringIO(csv_line([-5, text, None]), newline="")))
    assert row == ["-5", f"'{text}" if text.startswith(FORMULA) else text, ""]
    assert written.endswith("\r\n")
