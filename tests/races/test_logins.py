"""Login limits under tries all at once, in two processes, over a restart (research 6.3)."""

from __future__ import annotations

import random
import re
import uuid
from collections import Counter
from functools import partial
from ipaddress import IPv4Address

import httpx
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import QuerySet

from flagship.errors import LoginBlocked
from flagship.models import AuditEvent, LoginLimit
from flagship.services.logins import Try, claim_try
from tests.integration.console.rows import PASSWORD, make_operator
from tests.processes import Processes
from tests.races.apis import Apis, all_at_once
from tests.races.racers import Racers
from tests.soak import full

SENDERS = 16
ROUNDS = full(3, 50)
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@pytest.fixture
def apis(live_db: None, processes: Processes) -> Apis:
    running = Apis(processes, secret="")
    running.start()
    return running


def try_to_log_in(apis: Apis, number: int, name: str, password: str) -> httpx.Response:
    """Log in as a browser does, through the process that this number falls to."""
    url = f"http://127.0.0.1:{apis.ports[number % len(apis.ports)]}"
    with httpx.Client(base_url=url, timeout=60, verify=False, trust_env=False) as client:
        token = TOKEN.search(client.get("/admin/login/").text)
        assert token
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]}
        return client.post("/admin/login/", data=form, headers={"Referer": url})


def try_wrong(apis: Apis, name: str, number: int) -> httpx.Response:
    return try_to_log_in(apis, number, name, "wrong")


def forget_address() -> None:
    """All rounds come from one address, whose limit is another matter."""
    LoginLimit.objects.filter(kind="address").delete()


def test_password__tried_by_16_at_once__is_looked_at_five_times(apis: Apis) -> None:
    for round_no in range(ROUNDS):
        name = f"ana-{round_no}"
        make_operator(name=name)

        found = all_at_once(SENDERS, partial(try_wrong, apis, name))

        assert Counter(answer.status_code for answer in found) == {200: 5, 429: SENDERS - 5}
        evaluated = AuditEvent.objects.filter(action="console.login_failed", subject_id=name)
        assert evaluated.count() == 5
        assert set(evaluated.values_list("data__address", flat=True)) == {"127.0.0.1"}
        pair = LoginLimit.objects.get(kind="pair", failures__gt=0, refused__gt=0)
        assert (pair.failures, pair.refused) == (5, SENDERS - 5)
        refused = [answer for answer in found if answer.status_code == 429]
        assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in refused)
        LoginLimit.objects.all().delete()


def claims(racers: Racers, *errors: type[Exception]) -> int:
    """Let all claim a try of one new name at once; return how many were let through.

    Each of the others is refused, or ends in one of the `errors` that are expected.
    """
    login = Try(name=f"ana-{uuid.uuid4().hex}", address=str(IPv4Address(random.getrandbits(32))))
    found = racers.race([partial(claim_try, login=login)] * SENDERS)
    assert {type(each) for each in found} <= {type(None), LoginBlocked, *errors}
    return found.count(None)


def test_tries__claimed_at_once__are_five_each_time(live_db: None) -> None:
    with Racers(SENDERS) as racers:
        assert {claims(racers) for _ in range(full(20, 1000))} == {5}


def test_tries__without_the_lock__are_seen_to_be_more(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proof must be able to see. What is not locked in order may also end in a deadlock.
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows)

    with Racers(SENDERS) as racers:
        assert max(claims(racers, OperationalError) for _ in range(30)) > 5


def test_limit__outlives_the_processes(apis: Apis, processes: Processes) -> None:
    make_operator(name="ana")
    all_at_once(5, partial(try_wrong, apis, "ana"))
    for api in apis.running:
        api.kill_group()
        api.wait()

    again = Apis(processes, secret="")
    again.start(1)

    assert try_to_log_in(again, 0, "ana", PASSWORD).status_code == 429


def test_addresses__of_many_names_at_once__are_exact_too(apis: Apis) -> None:
    found: Counter[int] = Counter()
    for round_no in range(3):

        def send(number: int, round_no: int = round_no) -> int:
            return try_to_log_in(apis, number, f"name-{round_no}-{number}", "x").status_code

        found += Counter(all_at_once(SENDERS, send))

    assert found == {200: 30, 429: 3 * SENDERS - 30}
    assert LoginLimit.objects.get(kind="address").failures == 30
    forget_address()
    User.objects.create_user("ana", password=PASSWORD, is_staff=True)
    assert try_to_log_in(apis, 0, "ana", PASSWORD).status_code == 302
