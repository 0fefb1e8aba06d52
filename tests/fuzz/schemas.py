"""Schemathesis over the OpenAPI document: every operation, every phase, every check that is ours.

Its checks of conformance say what is undocumented; the answers themselves are counted by hooks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.fuzz.document import UNROUTED, Document
from tests.fuzz.ground import Ground
from tests.fuzz.sizes import SIZE
from tests.fuzz.tally import Tally

PART: Final = "schema"
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "negative_data_rejection",
    "ignored_auth",
    "use_after_free",
)
# 421: streams are refused by the process of the API whatever is asked of them.
REFUSED: Final = (400, 401, 403, 404, 405, 406, 409, 415, 421, 422, 428, 429)
CONFIG: Final = f"""[checks.negative_data_rejection]
expected-statuses = {[str(status) for status in REFUSED]}
"""
ROUNDS_MAX: Final = 60
LIMIT_S: Final = 3600


def run_schemathesis(
    *, ground: Ground, document: Document, tally: Tally, seed: int, cases: int, directory: Path
) -> None:
    """Run rounds with seeds of their own until so many requests were answered."""
    for number in range(ROUNDS_MAX):
        left = cases - tally.cases[PART]
        if left <= 0:
            return
        share = 3 if "coverage" in SIZE.phases else 1  # that phase makes thousands by itself
        examples = max(2, min(100, left // len(document.operations) // share))
        one_round(ground, document, tally, seed + number, examples, directory / f"round-{number}")
    raise AssertionError(f"{tally.cases[PART]} cases in {ROUNDS_MAX} rounds")


def one_round(
    ground: Ground, document: Document, tally: Tally, seed: int, examples: int, directory: Path
) -> None:
    """Run Schemathesis once, and add up what it has seen."""
    directory.mkdir(parents=True)
    (directory / "schemathesis.toml").write_text(CONFIG)
    log, report = directory / "answers.jsonl", directory / "report.json"
    done = subprocess.run(
        _command(ground, seed, examples, report),
        cwd=directory,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "FUZZ_IDS": json.dumps(ground.ids),
            "FUZZ_LOG": str(log),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert report.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(report.read_text())
    assert found["complete"], done.stdout[-3000:]
    for line in log.read_text().splitlines():
        judge(json.loads(line), document, tally, seed)
    for failure in found["failures"]:
        if failure["type"] != "ServerError":
            where = ", ".join(str(each) for each in failure["operations"])
            tally.undocumented.append(
                f"{PART} SEED={seed}: {failure['title']} x {failure['count']}: {where}"
            )
    for error in found["errors"]:
        tally.server_errors.append(f"{PART} SEED={seed}: {error}")
    if found["failures"] or found["errors"]:
        print(done.stdout[-20_000:])


def judge(line: dict[str, Any], document: Document, tally: Tally, seed: int) -> None:
    """Count one answer."""
    operation = next(
        each
        for each in document.operations
        if (each.method, each.template) == (line["declared"], line["path"])
    )
    is_its_own = line["method"] == line["declared"]
    tally.note(PART, operation.name if is_its_own else None, line["status"])
    told = f"{PART} SEED={seed}: {line['status']} {line['code']} to {line['case']}"
    if line["status"] >= 500:
        tally.server_errors.append(told)
    elif is_its_own and line["code"] not in UNROUTED:
        problem = operation.judge(line["status"], line["code"])
        if problem:
            tally.undocumented.append(f"{told}: {problem}")


def _command(ground: Ground, seed: int, examples: int, report: Path) -> list[str]:
    """Return the command. One worker: Hypothesis parses source in each of them, and two threads
    that do at once end in a SystemError of CPython 3.11 (ast keeps one depth for all threads).
    """
    return [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{ground.base_url()}/v1/schema"),
        *("--phases", SIZE.phases, "--checks", ",".join(CHECKS)),
        *("--max-examples", str(examples), "--seed", str(seed), "--workers", "1"),
        *("--header", f"Authorization: Bearer {ground.secret}"),
        *("--max-redirects", "0", "--request-timeout", "20", "--continue-on-failure"),
        *("--suppress-health-check", "all", "--warnings", "off", "--no-shrink"),
        *("--report", "json", "--report-json-path", str(report)),
        *("--generation-database", "none", "--no-color"),
    ]
