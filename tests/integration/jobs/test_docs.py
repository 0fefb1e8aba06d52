"""The examples of docs/engine.md, taken out of it and run; its lists, held against the code."""

from __future__ import annotations

import math
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs import registry
from jobs.models import Job
from jobs.states import JobState
from jobs.worker.execute import Executor
from jobs.worker.transactor import Transactor
from tests.drills.models import Effect

ROOT = Path(__file__).resolve().parents[3]
ENGINE = (ROOT / "docs" / "engine.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", ENGINE, re.M | re.S)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """All the page's examples, run as one module; their kinds are forgotten afterwards."""
    models = types.ModuleType("shop.models")
    models.Receipt = Effect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", types.ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.models", models)
    known = dict(registry._handlers), dict(registry._names)
    module = types.ModuleType("shop.handlers")
    monkeypatch.setitem(sys.modules, "shop.handlers", module)
    try:
        for block in blocks("python"):
            exec(compile(block, "docs/engine.md", "exec"), module.__dict__)
        yield module.__dict__
    finally:
        for names, before in zip((registry._handlers, registry._names), known, strict=True):
            names.clear()
            names.update(before)


def carrier(monkeypatch: pytest.MonkeyPatch, status: int, **answer: Any) -> list[Any]:
    """A stranger that gives one answer; returns the requests it gets."""
    requests: list[Any] = []

    def post(url: str, **request: Any) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, request=httpx.Request("POST", url), **answer)

    monkeypatch.setattr(httpx, "post", post)
    return requests


def states() -> dict[str, str]:
    """The states of jobs by kind."""
    return dict(Job.objects.values_list("kind", "state"))


def keys() -> list[str]:
    """What was written."""
    return sorted(Effect.objects.values_list("key", flat=True))


def test_docs__enqueue_example__stores_its_jobs_once(live_db: None, shop: dict[str, Any]) -> None:
    shop["check_out"]("ada", ["one", "two"])
    shop["check_out"]("ada", [])

    assert Job.objects.filter(kind="shop.open_account").count() == 1
    assert Job.objects.filter(kind="shop.send_parcel").count() == 2


def test_docs__stepwise_example__calls_with_the_jobs_id_and_completes(
    executor: Executor, shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = carrier(monkeypatch, 200, json={"order": "o-1"})
    shop["check_out"]("ada", ["one"])
    job = Job.objects.get(kind="shop.send_parcel")

    assert executor.run(job.id)

    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", {"order": "o-1"})
    assert requests[0]["headers"] == {"Idempotency-Key": job.id.hex}
    assert keys() == ["o-1"]


@pytest.mark.parametrize(
    ("status", "state", "outcome", "failures"),
    [
        (429, "retry_wait", "throttled", 0),
        (422, "dead", "failed", 1),
        (500, "retry_wait", "failed", 1),
    ],
)
def test_docs__stepwise_example__treats_each_refusal_as_it_says(
    executor: Executor,
    shop: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    state: str,
    outcome: str,
    failures: int,
) -> None:
    carrier(monkeypatch, status, headers={"Retry-After": "7"})
    shop["check_out"]("ada", ["one"])
    job = Job.objects.get(kind="shop.send_parcel")

    executor.run(job.id)

    job.refresh_from_db()
    (attempt,) = job.attempt_set.all()
    assert (job.state, attempt.outcome, job.failures) == (state, outcome, failures)
    if outcome == "throttled":
        assert attempt.retry_at and attempt.ended_at
        assert (attempt.retry_at - attempt.ended_at).total_seconds() == 7.0


def test_docs__transactional_example__writes_with_the_end_or_not_at_all(
    executor: Executor, shop: dict[str, Any]
) -> None:
    shop["check_out"]("ada", [])
    job = Job.objects.get(kind="shop.open_account")

    assert Transactor(executor).run(job.id)
    assert not Transactor(executor).run(job.id)

    job.refresh_from_db()
    assert job.state == "succeeded"
    assert job.result == {"receipt": Effect.objects.get(key="ada").pk}


def test_docs__batch_example__counts_many_in_one(executor: Executor, shop: dict[str, Any]) -> None:
    pages = [f"page-{n}" for n in range(5)]
    ids = shop["enqueue_many"]([shop["CountView"](page=page) for page in pages])

    assert Transactor(executor).run_batch(ids) == 5

    assert set(states().values()) == {"succeeded"}
    assert keys() == pages


def test_docs__diagram__has_every_state_and_no_other() -> None:
    (diagram,) = blocks("mermaid")
    names = set(re.findall(r"\b([a-z_]+)(?= -->|:|$)", diagram, re.M)) & set(
        re.findall(r"^ *(?:\[\*\]|([a-z_]+)) --> ", diagram, re.M)
        + re.findall(r" --> ([a-z_]+)", diagram)
    )

    assert names == {str(state) for state in JobState}


def test_docs__settings__are_those_of_the_engine_with_their_defaults() -> None:
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| ([0-9.]+) \|", ENGINE, re.M))
    source = (ROOT / "config" / "settings.py").read_text()
    found = re.findall(
        r'env\.(?:int|float)\(\s*"((?:WORKER|JOBS?|SWEEP|DEAD_LETTER|TOMBSTONE)_[A-Z_]+)",'
        r" ([0-9. *]+)",
        source,
    )

    assert {name: float(value) for name, value in told.items()} == {
        name: math.prod(map(float, value.split("*"))) for name, value in found
    }
