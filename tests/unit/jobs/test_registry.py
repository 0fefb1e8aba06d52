"""Declarations that are wrong fail at import."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.test import override_settings

from jobs.checks import check_classes, check_leases, check_queues, check_schedules
from jobs.context import JobContext
from jobs.errors import InvalidPayload, UnknownKind
from jobs.payloads import Payload, Probe
from jobs.queues import AUDIT, BUILDS, QUEUES
from jobs.registry import all_handlers, get_handler, handler, schedule
from jobs.retry import RetryPolicy, exponential, linear, never


class Nothing(Payload):
    """A payload of these tests."""

    KIND: ClassVar[str] = "tests.nothing"


def run(payload: Any, context: JobContext) -> None:
    """Do nothing."""


def test_policies__of_the_queues__are_those_of_the_rows() -> None:
    # W-01, W-02
    waits = {name: queue.retry.backoff_s for name, queue in QUEUES.items()}
    assert waits["flagship:audit"] == waits["flagship:usage"] == (1, 2, 4, 8, 16)
    assert waits["flagship:notifications"] == (5, 10, 15)
    assert waits["flagship:auto-actions"] == (1, 2, 4)
    assert waits["flagship:maintenance"] == ()
    assert waits["flagship:content"] == (60, 300, 900)
    assert (exponential(5).max_attempts, linear(3).max_attempts, never().max_attempts) == (6, 4, 1)


def test_handler__of_a_kind_declared_already__is_refused() -> None:
    with pytest.raises(ValueError, match=r"jobs\.probe is declared twice"):
        handler(Probe, queue=AUDIT, timeout_s=1)(run)
    with pytest.raises(ValueError, match=r"jobs\.probe is declared twice"):
        handler(Nothing, queue=AUDIT, timeout_s=1, aliases=("jobs.probe",))(run)
    with pytest.raises(UnknownKind):
        get_handler("tests.nothing")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"queue": "flagship:nowhere", "timeout_s": 1}, "unknown queue"),
        ({"queue": BUILDS, "timeout_s": 0}, "timeout_s must be positive"),
    ],
)
def test_handler__declared_wrongly__is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        handler(Nothing, **options)


@pytest.mark.parametrize(
    "rhythm", [{}, {"every_s": 1.0, "cron": "* * * * *"}, {"every_s": 0.0}, {"every_s": -1.0}]
)
def test_schedule__without_one_rhythm__is_refused(rhythm: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either every_s or cron"):
        schedule("tests.nothing", Nothing(), **rhythm)


def test_payload__that_does_not_fit__is_refused_with_every_field_named() -> None:
    # W-03
    with pytest.raises(InvalidPayload) as refused:
        get_handler("jobs.probe").load({"steps": 0, "nonsense": 1})

    assert refused.value.data["kind"] == "jobs.probe"
    assert {each["field"] for each in refused.value.data["problems"]} == {"steps", "nonsense"}


def test_kinds__offered_to_clients__are_the_probe_only() -> None:
    offered = {each.kind: each.scope for each in all_handlers() if each.scope}
    assert offered == {"jobs.probe": "jobs:probe"}


@pytest.mark.parametrize("wait_s", [-1.0, float("inf"), float("nan"), 1e300])
def test_wait__in_a_policy_that_no_job_could_wait__is_refused(wait_s: float) -> None:
    # W-02
    with pytest.raises(ValueError, match="from zero to a year"):
        RetryPolicy((1.0, wait_s))


def test_checks__of_the_settings__name_what_is_wrong(settings: Any) -> None:
    assert check_queues() == check_classes() == check_leases() == check_schedules() == []
    with override_settings(
        RQ_QUEUES={}, RQ={}, RQ_SHOW_ADMIN_LINK=True, JOB_LEASE_S=1.0, JOB_LEASE_RENEWAL_S=1.0
    ):
        assert {each.id for each in check_queues()} == {"jobs.E001"}
        assert {each.id for each in check_classes()} == {"jobs.E002", "jobs.E003"}
        assert {each.id for each in check_leases()} == {"jobs.E004"}
