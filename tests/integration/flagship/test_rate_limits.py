"""Requests counted per address, organization, key and user (E-07, E-03)."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client

from flagship.clients.limiter import Demand, Limiter
from flagship.clients.limiter import shared as shared_module
from flagship.clients.limiter.shared import SharedWindows
from flagship.middleware import rate_limit
from flagship.models import AuditEvent, IdempotencyRecord, Organization, OrganizationLimits
from flagship.models.limits import Quota
from flagship.selectors import limits as selectors
from flagship.services.limits import set_limits
from jobs.models import Job
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.integration.flagship.conftest import new_caller

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

KINDS = "/api/jobs/kinds"
PROBE = {"kind": "jobs.probe", "payload": {}}


def set_own(caller: ApiCaller, **limits: Any) -> None:
    """Set the limits of a client's organization; in tests no commit makes them known."""
    set_limits(
        organization_id=caller.organization.id, limits=limits, actor="user:ana", reason="a test"
    )
    selectors.forget(organization_id=caller.organization.id)


def statuses(caller: ApiCaller, count: int, **options: Any) -> list[int]:
    return [caller.get(KINDS, **options).status_code for _ in range(count)]


def test_answer__of_a_limited_route__tells_policies_and_what_is_left(
    caller: ApiCaller, settings: Any
) -> None:
    # E-07: draft-ietf-httpapi-ratelimit-headers-11
    settings.RATE_LIMIT_IP, settings.RATE_LIMIT_ORGANIZATION = "30/60", "off"
    settings.RATE_LIMIT_KEY, settings.RATE_LIMIT_USER = "20/10", "5/60"

    first = caller.get(KINDS)
    second = caller.get(KINDS, headers={"X-User-Id": "ann"})

    assert first.headers["RateLimit-Policy"] == '"ip";q=30;w=60, "key";q=20;w=10'
    assert first.headers["RateLimit"] in ('"ip";r=29;t=61, "key";r=19;t=11',
                                          '"ip";r=29;t=61, "key";r=19;t=10')  # fmt: skip
    assert '"user";q=5;w=60' in second.headers["RateLimit-Policy"]
    assert [part.split(";")[1] for part in second.headers["RateLimit"].split(", ")] == [
        *("r=28", "r=18", "r=4")
    ]


def test_request__over_a_quota__is_refused_with_the_usage(caller: ApiCaller, settings: Any) -> None:
    # E-03, E-07
    settings.RATE_LIMIT_KEY = "3/60"

    assert statuses(caller, 3) == [200] * 3
    answer = caller.get(KINDS)

    told = assert_refused(answer, 429, "RATE_LIMITED")["data"]
    wait_s = int(answer.headers["Retry-After"])
    assert told == {"policy": "key", "limit": 3, "windowS": 60, "used": 3, "remaining": 0,
                    "retryAfterS": wait_s}  # fmt: skip
    assert 55 <= wait_s <= 61
    assert answer.headers["RateLimit"] == f'"key";r=0;t={wait_s}'
    assert '"ip";' in answer.headers["RateLimit-Policy"]


def test_request__refused__costs_none_of_the_other_quotas(caller: ApiCaller, settings: Any) -> None:
    settings.RATE_LIMIT_ORGANIZATION, settings.RATE_LIMIT_KEY = "5/60", "2/60"
    other = new_caller(organization=caller.organization)

    assert statuses(caller, 10) == [200] * 2 + [429] * 8
    assert statuses(other, 3) == [200, 200, 429]  # two of their own
    third = new_caller(organization=caller.organization)
    assert statuses(third, 3) == [200, 429, 429]  # the fifth of the organization


def test_request__refused__does_no_work_and_keeps_its_key_free(
    caller: ApiCaller, settings: Any
) -> None:
    # E-01: limits come before idempotency.
    settings.RATE_LIMIT_KEY = "1/60"
    caller.get(KINDS)

    refused = caller.post("/api/jobs", PROBE, key="the-same-key-each-time")
    settings.RATE_LIMIT_KEY = "9/60"
    accepted = caller.post("/api/jobs", PROBE, key="the-same-key-each-time")

    assert_refused(refused, 429, "RATE_LIMITED")
    assert accepted.status_code == 202
    assert "Idempotency-Replayed" not in accepted.headers
    assert (Job.objects.count(), IdempotencyRecord.objects.count()) == (1, 1)


def test_user__whom_a_client_names__is_limited_alone(caller: ApiCaller, settings: Any) -> None:
    # E-07: "per user/IP"
    settings.RATE_LIMIT_USER = "2/60"
    ann, bob = {"X-User-Id": "ann"}, {"X-User-Id": "bob \xe4 " + "x" * 500}

    assert statuses(caller, 3, headers=ann) == [200, 200, 429]
    assert statuses(caller, 3, headers=bob) == [200, 200, 429]
    assert statuses(caller, 2) == [200, 200]
    assert statuses(new_caller(), 2, headers=ann) == [200, 200]  # another organization's ann


def test_address__of_strangers__is_limited(client: Client, settings: Any) -> None:
    settings.RATE_LIMIT_IP = "2/60"

    def ask(**meta: Any) -> int:
        return client.get("/v1/errors", **meta).status_code

    assert [ask(), ask(), ask()] == [200, 200, 429]
    assert ask(headers={"X-Forwarded-For": "198.51.100.1"}) == 429
    assert ask(REMOTE_ADDR="198.51.100.1") == 200
    settings.TRUSTED_PROXIES = ["127.0.0.1/32"]
    assert ask(headers={"X-Forwarded-For": "198.51.100.2"}) == 200
    assert [ask(REMOTE_ADDR=f"2001:db8::{n}") for n in (1, 2, 3)] == [200, 200, 429]


def test_health__however_often__is_never_limited(client: Client, settings: Any) -> None:
    settings.RATE_LIMIT_IP = "1/60"
    client.get("/v1/errors")

    for path in ("/healthz", "/readyz", "/healthz"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers
    for path in ("/v1/worker/health", "/api/worker/health"):
        assert client.get(path).status_code == 401
    assert client.get("/v1/errors").status_code == 429


def test_pages__for_people__are_limited_in_plain_text(client: Client, settings: Any) -> None:
    settings.RATE_LIMIT_USER, settings.RATE_LIMIT_SITE = "1/60", "1/60"
    client.force_login(User.objects.create_superuser("root"))

    console = [client.get("/admin/") for _ in range(2)]
    sites = [client.get("/sites/nothing/") for _ in range(2)]

    assert [answer.status_code for answer in console] == [200, 429]
    assert [answer.status_code for answer in sites] == [404, 429]
    for answer in (console[1], sites[1]):
        assert answer.headers["Content-Type"] == "text/plain"
        assert int(answer.headers["Retry-After"]) > 50


def test_organization__with_limits_of_its_own__has_them_at_once(
    caller: ApiCaller, settings: Any
) -> None:
    # E-07: fixed policies from settings, and per organization
    settings.RATE_LIMIT_KEY = settings.RATE_LIMIT_ORGANIZATION = settings.RATE_LIMIT_IP = "2/60"
    assert statuses(caller, 3) == [200, 200, 429]

    set_own(caller, per_key="off", per_organization="4/60", per_ip="9/60")
    raised = statuses(caller, 3)
    set_own(caller, per_key="3/30", per_organization="off", per_ip="9/60")
    narrowed = caller.get(KINDS)

    assert raised == [200, 200, 429]  # the two of before count
    assert narrowed.headers["RateLimit-Policy"] == '"ip";q=9;w=60, "key";q=3;w=30'
    assert new_caller().get(KINDS).status_code == 429  # everybody's quota of this address


def test_limits__changed_elsewhere__are_in_force_within_two_seconds(caller: ApiCaller) -> None:
    assert caller.get(KINDS).status_code == 200
    OrganizationLimits.objects.create(
        organization=caller.organization, per_key="2/60"
    )  # one is used
    time.sleep(selectors.KEPT_S + 0.05)

    assert statuses(caller, 2) == [200, 429]


def test_limits__set__leave_an_event_with_before_and_after(caller: ApiCaller) -> None:
    set_own(caller, per_key="5/60", jobs_in_flight_max=0)
    set_own(caller, per_user="off")

    first, second = AuditEvent.objects.filter(action="organization.limits_set").order_by("id")
    nothing = {"per_ip": None, "per_organization": None, "per_key": None, "per_user": None}
    given = nothing | {"per_key": "5/60", "jobs_in_flight_max": 0}
    assert first.data["before"] == nothing | {"jobs_in_flight_max": None}
    assert (first.data["after"], first.actor) == (given, "user:ana")
    assert second.data["before"] == given
    assert second.data["after"] == nothing | {"per_user": "off", "jobs_in_flight_max": None}


@pytest.mark.parametrize(
    "limits", [{"per_key": "5"}, {"per_cat": "5/60"}, {"jobs_in_flight_max": -1}]
)
def test_limits__that_are_none__are_refused_and_change_nothing(
    caller: ApiCaller, limits: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"limits|requests|jobs"):
        set_own(caller, **limits)

    assert not OrganizationLimits.objects.exists()
    assert not AuditEvent.objects.filter(action="organization.limits_set").exists()


def test_request__under_four_quotas__asks_redis_once(
    caller: ApiCaller, valkey: redis.Redis
) -> None:
    # DESIGN section 4: one round trip
    caller.get(KINDS, headers={"X-User-Id": "ann"})  # the script is loaded now
    valkey.config_resetstat()

    answer = caller.get(KINDS, headers={"X-User-Id": "ann"})

    calls = {name: told["calls"] for name, told in valkey.info("commandstats").items()}
    assert answer.headers["RateLimit"].count(";r=") == 4
    assert calls.pop("cmdstat_evalsha") == 1
    from_script = {"time", "hmget", "hset", "hincrby", "pexpire", "hdel", "hexists"}
    assert calls.keys() <= {f"cmdstat_{name}" for name in from_script} | {
        "cmdstat_config|resetstat"
    }


# --- The windows in Redis ---


@pytest.fixture
def shared(settings: Any) -> SharedWindows:
    return SharedWindows(settings.REDIS_URL)


def take(windows: SharedWindows, quota: Quota, subject: str = "a") -> bool:
    return not windows.take([Demand("key", subject, quota)])[0].is_exceeded


def hammer(windows: SharedWindows, lasting_s: float) -> int:
    """Ask all the time; assert that no window of a second holds more than its quota of 20."""
    quota, passed_s = Quota(20, 1), []
    until = time.monotonic() + lasting_s
    while time.monotonic() < until:
        before = time.monotonic()
        if take(windows, quota):
            passed_s.append((before, time.monotonic()))
    for begin, _ in passed_s:
        inside = [pair for pair in passed_s if begin <= pair[0] and pair[1] <= begin + 1]
        assert len(inside) <= 20
    return len(passed_s)


def test_window__of_any_position__lets_no_more_through_than_its_quota(
    shared: SharedWindows,
) -> None:
    # P30
    assert 95 <= hammer(shared, 5) <= 100


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("sum >= ", "sum > "),  # one too many
        ("for part = at + 1, current do", "for part = at, current do"),  # forgets the present
        ("sum = sum - (tonumber(count) or 0)", "sum = 0"),  # a window that begins anew
    ],
)
def test_window__with_a_bug_planted__is_seen(
    settings: Any, monkeypatch: Any, right: str, wrong: str
) -> None:
    # P30: a proof must be able to see.
    script = shared_module._TAKE
    assert right in script
    monkeypatch.setattr(shared_module, "_TAKE", script.replace(right, wrong))

    with pytest.raises(AssertionError):
        hammer(SharedWindows(settings.REDIS_URL), 3)


def test_quotas__counted_one_by_one__are_seen_to_cost_a_refused_client(
    caller: ApiCaller, settings: Any, monkeypatch: Any
) -> None:
    script = shared_module._TAKE.replace("if not is_over then", "if not is_full then")
    monkeypatch.setattr(shared_module, "_TAKE", script)
    planted = Limiter(settings.REDIS_URL)
    monkeypatch.setattr(rate_limit, "limiter", lambda: planted)

    with pytest.raises(AssertionError):
        test_request__refused__costs_none_of_the_other_quotas(caller, settings)


def test_window__filled__comes_free_as_it_was_filled(shared: SharedWindows) -> None:
    quota = Quota(2, 1)
    assert take(shared, quota)
    time.sleep(0.5)
    assert take(shared, quota)
    assert not take(shared, quota)

    time.sleep(0.55)

    assert [take(shared, quota), take(shared, quota)] == [True, False]


def test_window__left_alone__leaves_nothing_in_redis(
    shared: SharedWindows, valkey: redis.Redis
) -> None:
    take(shared, Quota(5, 1))

    assert len(valkey.keys("flagship:limit:*")) == 1
    assert 1000 < valkey.pttl("flagship:limit:key:1:a") <= 2100
    time.sleep(1.2)
    assert [take(shared, Quota(5, 1)) for _ in range(6)] == [True] * 5 + [False]


def test_window__of_a_clock_set_back__goes_on(shared: SharedWindows, valkey: redis.Redis) -> None:
    name, quota = "flagship:limit:key:60:a", Quota(3, 60)
    take(shared, quota)
    at = int(valkey.hget(name, "at"))  # type: ignore[arg-type]

    valkey.hset(name, mapping={"at": at + 50, "old": at + 50})  # half a window ahead
    ahead = [take(shared, quota) for _ in range(3)]
    valkey.hset(name, mapping={"at": at + 5000, "old": at + 5000})
    far_ahead = [take(shared, quota) for _ in range(4)]

    assert ahead == [True, True, False]
    assert far_ahead == [True, True, True, False]


# --- Without Redis ---


@contextmanager
def deaf() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture
def without_redis(monkeypatch: Any) -> Limiter:
    lost = Limiter("redis://127.0.0.1:1/0")
    monkeypatch.setattr(rate_limit, "limiter", lambda: lost)
    return lost


def test_requests__without_redis__are_limited_by_this_process_alone(
    caller: ApiCaller, settings: Any, without_redis: Limiter
) -> None:
    # Research 3.7: open, at the limit divided by the processes
    settings.RATE_LIMIT_KEY, settings.RATE_LIMIT_PROCESSES = "10/60", 2

    found = [caller.get(KINDS) for _ in range(7)]

    assert [answer.status_code for answer in found] == [200] * 5 + [429] * 2
    assert '"key";q=5;w=60' in found[0].headers["RateLimit-Policy"]
    assert assert_refused(found[-1], 429, "RATE_LIMITED")["data"]["used"] == 5


def test_loss_and_return__of_redis__are_told_once_each(
    settings: Any, caplog: Any, monkeypatch: Any
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        "flagship.clients.limiter.failover.telemetry.publish", lambda name, **_: told.append(name)
    )
    found = Limiter("redis://127.0.0.1:1/0")
    demands = [Demand("key", "a", Quota(100, 60))]
    with caplog.at_level(logging.WARNING, "flagship.limits"):
        for _ in range(20):
            found.take(demands)
        found._shared = SharedWindows(settings.REDIS_URL)
        found.take(demands)  # not yet asked again
        time.sleep(1.05)
        for _ in range(20):
            found.take(demands)

    assert [record.message.split(":")[0].split(" after")[0] for record in caplog.records] == [
        "limits.redis_lost ConnectionError",
        "limits.redis_back",
    ]
    assert told == ["limits.degraded", "limits.restored"]
    assert found._shared.take(demands)[0].used == 21


def test_redis__that_never_answers__holds_up_one_request_a_second_for_a_tenth() -> None:
    with deaf() as url:
        stuck = Limiter(url)
        waited_s: list[float] = []

        def ask() -> None:
            until = time.monotonic() + 2.5
            while time.monotonic() < until:
                begun = time.monotonic()
                stuck.take([Demand("key", "a", Quota(100_000, 60))])
                waited_s.append(time.monotonic() - begun)
                time.sleep(0.01)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    held_up = [each for each in waited_s if each > 0.09]
    assert len(waited_s) > 200
    assert max(waited_s) < 1
    assert 3 <= len(held_up) <= 4 + 4  # all four at first, then one a second; some for the machine


def test_redis__full__is_as_good_as_away(caller: ApiCaller, valkey: redis.Redis) -> None:
    # noeviction: a server without memory refuses to write.
    valkey.set("filler", "x" * 1000)
    valkey.config_set("maxmemory", "1")
    try:
        answer = caller.get(KINDS)
    finally:
        valkey.config_set("maxmemory", "0")

    assert answer.status_code == 200
    assert "RateLimit" in answer.headers
    time.sleep(1.05)
    assert caller.get(KINDS).status_code == 200


def test_database__away__is_told_as_ever(
    caller: ApiCaller, monkeypatch: Any, without_redis: Limiter
) -> None:
    from django.db import OperationalError

    def lost(**_: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(rate_limit, "own_limits", lost)

    assert_refused(caller.get(KINDS), 503, "SERVICE_UNAVAILABLE")
    assert Organization.objects.exists()
