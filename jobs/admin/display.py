"""How the console writes things: ages, states, payloads, tracebacks."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

PAYLOAD_CHARACTERS: Final = 2_000
VALUE_CHARACTERS: Final = 400
MESSAGE_CHARACTERS: Final = 120
MASK: Final = "********"
SECRET_KEY: Final = re.compile(
    r"pass(word|wd|phrase)|secret|token|api_?key|authori[sz]ation|cookie|credential|signature"
    r"|private_?key",
    re.IGNORECASE,
)
TONES: Final = {
    "danger": {"open", "dead", "failed", "lost", "expired", "blocked"},
    "warning": {"retry_wait", "cancelling", "snoozed", "handed_back", "discarded", "released"},
    "info": {"pending", "queued", "running", "building", "deploying", "requeued", "held"},
    "success": {"succeeded", "deployed", "committed", "enabled", "active", "ready"},
}


@lru_cache(maxsize=256)
def badge(value: str, tone: str = "") -> SafeString:
    """Write a state as a coloured label; made once, for lists are full of the same."""
    if not tone:
        tone = next((name for name, values in TONES.items() if value in values), "")
    context = {"text": value.replace("_", " "), "variant": tone}
    return SafeString(render_to_string("unfold/helpers/label.html", context).strip())


def span(seconds: float) -> str:
    """Write a length of time in its two largest units: `3 d 4 h`, `12.4 s`, `10 s`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = int(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts = []
    for name, size in units:
        count, whole = divmod(whole, size)
        parts.append(f"{count} {name}" if count else "")
    first = next(index for index, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


def age(seconds: float) -> str:
    """Write how long ago something was, in whole seconds: it is longer by the time it is read."""
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else span(whole)


def count(rows: int, *, is_exact: bool = True) -> str:
    """Write a number of rows, counted to its end or up to a limit: `1,204`, `10,000+`."""
    return f"{rows:,}" if is_exact else f"{rows:,}+"


def size(amount_bytes: int) -> str:
    """Write an amount of memory: `48 MB`."""
    return f"{amount_bytes / 1_000_000:,.0f} MB"


def moment(at: datetime | None, empty: str = "-") -> SafeString | str:
    """Write a point in time as how long ago or ahead it is; the exact one on hover."""
    if at is None:
        return empty
    seconds = int((datetime.now(UTC) - at).total_seconds())
    length = age(abs(seconds))
    text = f"{length} ago" if seconds >= 0 else f"in {length}"
    stamp = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}" class="whitespace-nowrap">{}</time>',
        stamp.isoformat(),
        f"{stamp:%Y-%m-%d %H:%M:%S.%f} UTC",
        text,
    )


def duration(started_at: datetime | None, ended_at: datetime | None) -> str:
    """Write how long something took."""
    if started_at is None or ended_at is None:
        return "-"
    return span((ended_at - started_at).total_seconds())


def cut(text: str, characters: int = MESSAGE_CHARACTERS) -> str:
    """Return the first line, cut."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= characters else f"{line[: characters - 1]}…"


def masked(value: Any) -> Any:
    """Copy a JSON value: secret-looking keys masked, long texts cut, at any depth."""
    if isinstance(value, dict):
        return {
            key: MASK if SECRET_KEY.search(str(key)) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, str) and len(value) > VALUE_CHARACTERS:
        return f"{value[:VALUE_CHARACTERS]}… ({len(value)} characters)"
    return value


def pretty_json(value: Any, characters: int = PAYLOAD_CHARACTERS) -> SafeString | str:
    """Write a JSON value for reading: masked, indented, cut, escaped."""
    if value is None:
        return "-"
    text = json.dumps(masked(value), indent=2, ensure_ascii=False, sort_keys=True)
    note = ""
    if len(text) > characters:
        note = f"cut: {characters} of {len(text)} characters"
        text = text[:characters]
    return format_html('<pre class="fs-code">{}</pre><p class="fs-note">{}</p>', text, note)


def mono(text: str) -> SafeString | str:
    """Write an identifier."""
    return format_html('<code class="fs-mono">{}</code>', text) if text else "-"
