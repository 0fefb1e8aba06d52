"""Every kind of job has a stored sample of every version that today's class still reads."""

from __future__ import annotations

import json
from pathlib import Path

from jobs.registry import all_handlers, get_handler

SAMPLES = Path(__file__).parent / "samples"


def test_kind__every_registered_one__has_a_sample_of_its_version() -> None:
    # W-03
    current = {f"{h.payload.KIND}.v{h.payload.VERSION}.json" for h in all_handlers()}

    assert {path.name for path in SAMPLES.glob("*.json")} >= current


def test_sample__of_any_version__is_read_by_the_current_class() -> None:
    # W-03
    for path in sorted(SAMPLES.glob("*.json")):
        kind = path.name.rsplit(".v", 1)[0]
        payload = get_handler(kind).payload.model_validate_json(path.read_text())

        stored = json.loads(path.read_text())
        assert stored.items() <= payload.to_json().items()
