"""SQL of 0004: guards of lots, and the operations that lapse, reverse, freeze and state."""

from __future__ import annotations

import re
from pathlib import Path

SQL = Path(__file__).parent / "sql"
FUNCTION = re.compile(r"^CREATE FUNCTION (\w+)\(.*?^(?:END )?\$\$;$", re.M | re.S)
# Guards of 0002 that have a new body here; the operations are dropped and made anew as a whole.
REPLACED = (
    "credits_account_starts_empty",
    "credits_account_moves_with_entry",
    "credits_entry_fill",
    "credits_entry_moves_account",
)


def _read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


def _functions(name: str) -> dict[str, str]:
    return {found[1]: found[0] for found in FUNCTION.finditer(_read(name))}


def do() -> str:
    """Guards, lots of what was granted before, operations."""
    return _read("lots.sql") + _read("operations_lots.sql")


def undo() -> str:
    """Take away what is new, then write the functions of 0002 as they were."""
    new = {**_functions("lots.sql"), **_functions("operations_lots.sql")}
    keys = (
        "ALTER TABLE credits_entry DROP CONSTRAINT credits_entry_names_its_original;"
        "ALTER TABLE credits_lot DROP CONSTRAINT credits_lot_names_its_grant CASCADE;"
        "ALTER TABLE credits_draw DROP CONSTRAINT credits_draw_names_its_entry,"
        " DROP CONSTRAINT credits_draw_names_its_lot;"
        "ALTER TABLE credits_statement DROP CONSTRAINT credits_statement_follows_previous;"
    )
    guards, operations = _functions("guards.sql"), _functions("operations.sql")
    old = [guards[name] for name in REPLACED]
    old += [operations[name] for name in new if name in operations]
    rights = _read("operations.sql").partition("-- Who may call")[2].partition("\n")[2]
    return "\n".join(
        [
            keys,
            *(f"DROP FUNCTION {name} CASCADE;" for name in new),
            *(text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1) for text in old),
            rights,
        ]
    )
