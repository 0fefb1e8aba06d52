"""Login limits under tries that come all at once, in two processes, over a restart (research 6.3)."""

from __future__ import annotations

import re
from collections import Counter

import httpx
import pytest
from django.contrib.auth.models import User

from flagship.models import AuditEvent, LoginLimit
from tests.integration.console.rows import PASSWORD, make_operator
from tests.processes import Processes
from tests.races.apis import Apis, all_at_once
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


def forget_address() -> None:
    """All rounds come from one address, whose limit is another matter."""
    LoginLimit.objects.filter(kind="address").delete()


def test_password__tried_by_16_at_once__is_looked_at_five_times(apis: Apis) -> None:
    for round_no in range(ROUNDS):
        name = f"ana-{round_no}"
        make_operator(name=name)

        found = all_at_once(SENDERS, lambda n, name=name: try_to_log_in(apis, n, name, "wrong"))

        assert Counter(answer.status_code for answer in found) == {200: 5, 429: SENDERS - 5}
        evaluated = AuditEvent.objects.filter(action="console.login_failed", subject_id=name)
        assert evaluated.count() == 5
        pair = LoginLimit.objects.get(kind="pair", failures__gt=0, refused__gt=0)
        assert (pair.failures, pair.refused) == (5, SENDERS - 5)
        refused = [answer for answer in found if answer.status_code == 429]
        assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in refused)
        LoginLimit.objects.all().delete()


def test_limit__outlives_the_processes(apis: Apis, processes: Processes) -> None:
    make_operator(name="ana")
    all_at_once(5, lambda number: try_to_log_in(apis, number, "ana", "wrong"))
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
