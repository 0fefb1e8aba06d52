"""What must hold before a process starts, and the schedule of the pruning."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.core.checks import run_checks

from flagship.checks import check_wall, refuse_to_serve
from flagship.handlers import prune
from flagship.management.embedded.home import free_port
from flagship.models import ApiKey, IdempotencyRecord
from flagship.payloads import PruneIdempotency
from jobs.registry import get_handler
from tests.processes import Processes


def found() -> set[str | None]:
    return {message.id for message in run_checks() if str(message.id).startswith("flagship.")}


def test_settings__of_the_suite__are_sound() -> None:
    assert found() == set()


@pytest.mark.parametrize("secret", ["", "short"])
def test_secret__missing_or_short__is_an_error(settings: Any, secret: str) -> None:
    settings.SECRET_KEY = secret

    assert found() == {"flagship.E001"}


def test_middleware__out_of_order__is_an_error(settings: Any) -> None:
    *others, last = settings.MIDDLEWARE
    settings.MIDDLEWARE = [last, *others]

    assert found() == {"flagship.E002", "flagship.E003"}


@pytest.mark.parametrize("layer", ["rate_limit.RateLimit", "signature.Signature"])
@pytest.mark.parametrize("place", [None, 0, -1])
def test_layer__missing_or_out_of_place__is_an_error(
    settings: Any, place: int | None, layer: str
) -> None:
    name = f"flagship.middleware.{layer}Middleware"
    settings.MIDDLEWARE = [other for other in settings.MIDDLEWARE if other != name]
    if place is not None:
        settings.MIDDLEWARE.insert(place, name)

    assert "flagship.E003" in found()


def test_atomic_requests__switched_on__is_an_error(settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ATOMIC_REQUESTS", True)

    assert found() == {"flagship.E004"}


def test_wall__switched_off__is_a_warning_of_a_deployment(settings: Any) -> None:
    # P24
    assert check_wall(None) == []
    settings.DATABASE_TENANT_ROLE = ""

    assert [message.id for message in check_wall(None)] == ["flagship.W002"]


def test_process__without_a_secret__does_not_start(servers: Any, processes: Processes) -> None:
    check = processes.start(
        "check", env={"DJANGO_SETTINGS_MODULE": "config.settings", "FLAGSHIP_SECRET_KEY": ""}
    )

    assert check.wait() == 1
    assert "SECRET_KEY" in check.output()


@pytest.mark.parametrize("command", ["rqworker", "rqscheduler"])
def test_worker__with_settings_that_are_wrong__does_not_start(
    command: str, servers: Any, processes: Processes
) -> None:
    # O-01: of the checks they leave out only those of addresses and pages, which they do not serve.
    wrong = {"FLAGSHIP_SECRET_KEY": "short", "JOB_LEASE_S": "1", "JOB_LEASE_RENEWAL_S": "1"}
    worker = processes.start(command, env={"DJANGO_SETTINGS_MODULE": "config.settings", **wrong})

    assert worker.wait() == 1
    assert "flagship.E001" in worker.output()
    assert "jobs.E004" in worker.output()


@pytest.mark.parametrize("command", ["rqworker", "rqscheduler"])
def test_worker__started__loads_no_page_and_no_address(command: str) -> None:
    # Each process that the system starts would pay for what it never shows.
    code = f"""
import sys, django
django.setup()
from django.core.checks import run_checks
from django.core.management import load_command_class
run_checks(tags=load_command_class("jobs", "{command}").requires_system_checks)
print([name for name in sys.modules if name in ("config.urls", "jobs.admin", "builds.api.urls")])
"""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings_test"}
    asked = [sys.executable, "-c", code]
    done = subprocess.run(asked, env=env, capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


def test_page__that_is_wrong__is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # D-01: the pages are loaded for the check of them.
    assert run_checks(tags=["admin"]) == []
    monkeypatch.setattr(type(site._registry[ApiKey]), "list_display", ("no_such_column",))

    assert "admin.E108" in {message.id for message in run_checks(tags=["admin"])}


@pytest.mark.parametrize("entry", ["wsgi", "asgi"])
def test_server__with_a_failed_check__refuses_to_serve(
    entry: str, servers: Any, processes: Processes
) -> None:
    # O-01: also where granian starts its workers anew.
    interface = "wsgi" if entry == "wsgi" else "asginl"
    server = processes.spawn(
        [
            *(sys.executable, "-m", "granian", "--interface", interface, "--host", "127.0.0.1"),
            *("--port", str(free_port()), "--workers", "1", "--no-ws", "--respawn-failed-workers"),
            *("--respawn-interval", "0.1", f"config.{entry}:application"),
        ],
        env={"DJANGO_SETTINGS_MODULE": "config.settings", "FLAGSHIP_SECRET_KEY": "short"},
    )

    assert server.wait(60.0) == 1
    assert "FlagShip does not start: 1 system check(s) failed." in server.output()
    assert "flagship.E001" in server.output()


def test_check__of_a_warning__does_not_keep_a_server_from_serving(settings: Any) -> None:
    # O-01
    settings.OUTGOING_TEST_ADDRESSES = ["127.0.0.1"]
    refuse_to_serve()
    settings.OUTGOING_TEST_ADDRESSES = []
    settings.SECRET_KEY = "short"

    with pytest.raises(SystemExit, match=r"flagship\.E001"):
        refuse_to_serve()


@pytest.mark.django_db
def test_pruning__run_as_a_job__deletes_what_has_expired_batch_by_batch(monkeypatch: Any) -> None:
    from datetime import UTC, datetime, timedelta

    monkeypatch.setattr("flagship.handlers.prune_idempotency", _small_batches)
    now = datetime.now(UTC)
    for number in range(7):
        age = timedelta(hours=25 if number < 5 else 23)
        IdempotencyRecord.objects.create(
            key_hash=bytes([number]) * 32,
            organization_id="0" * 32,
            method="POST",
            route="x",
            fingerprint=b"x" * 32,
            request_id="req",
            created_at=now - age,
            expires_at=now - age + timedelta(hours=24),
        )

    class Context:
        checked = 0

        def check(self) -> None:
            self.checked += 1

    context = Context()
    assert prune(PruneIdempotency(), context) == {"pruned": 5}  # type: ignore[arg-type]
    assert (IdempotencyRecord.objects.count(), context.checked) == (2, 3)
    assert get_handler("flagship.prune_idempotency").queue == "flagship:maintenance"


def _small_batches() -> int:
    from flagship.services.idempotency import prune_idempotency

    return prune_idempotency(limit=2)
