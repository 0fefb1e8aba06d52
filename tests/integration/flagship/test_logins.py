"""Wrong logins to the console are counted, held up and audited (research 6.3, P32)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from flagship.models import AuditEvent, LoginLimit
from flagship.services.logins import Try, prune_logins, record_failure
from jobs.registry import get_handler
from tests.integration.console.rows import PASSWORD, make_operator

pytestmark = pytest.mark.django_db

HERE = "127.0.0.1"


def log_in(name: str, password: str, address: str = HERE) -> Any:
    form = {"username": name, "password": password, "next": "/admin/"}
    return Client().post("/admin/login/", form, REMOTE_ADDR=address)


def fail(count: int, name: str = "ana", address: str = HERE) -> list[int]:
    return [log_in(name, "wrong", address).status_code for _ in range(count)]


def let_pass(seconds: float) -> None:
    """Let time go by: all that was done is that much longer ago."""
    passed = timedelta(seconds=seconds)
    LoginLimit.objects.update(tried_at=F("tried_at") - passed, free_at=F("free_at") - passed)
    known = LoginLimit.objects.exclude(succeeded_at=None)
    known.update(succeeded_at=F("succeeded_at") - passed)


@pytest.fixture
def ana() -> User:
    return make_operator(name="ana")


def test_login__right__lets_in_and_is_audited(ana: User) -> None:
    answer = log_in("ana", PASSWORD)

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    event = AuditEvent.objects.get()
    assert (event.action, event.subject_id) == ("console.login_succeeded", "ana")
    assert event.actor == f"address:{HERE}"
    counted = LoginLimit.objects.values_list("kind", "failures")
    assert dict(counted) == {"pair": 0, "name": 0, "address": 0}


def test_login__opened_by_its_own_address__leads_to_the_console(ana: User) -> None:
    # D-02
    form = {"username": "ana", "password": PASSWORD}
    answer = Client().post("/admin/login/", form)

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_login__wrong_five_times__is_then_not_even_looked_at(ana: User, monkeypatch: Any) -> None:
    looked = Counter[str]()
    real = User.check_password

    def look(user: User, password: str) -> bool:
        looked[user.username] += 1
        return real(user, password)

    monkeypatch.setattr(User, "check_password", look)

    assert fail(5) == [200] * 5
    blocked = log_in("ana", PASSWORD)  # the right one

    assert blocked.status_code == 429
    assert 55 <= int(blocked.headers["Retry-After"]) <= 60
    assert "Too many logins have failed. Try again in" in blocked.content.decode()
    assert looked == {"ana": 5}
    assert not blocked.wsgi_request.user.is_authenticated


def test_login__after_the_wait__is_tried_once_and_then_waits_twice_as_long(ana: User) -> None:
    fail(5)
    waits = []
    for _ in range(3):
        waits.append(int(log_in("ana", "wrong").headers["Retry-After"]))
        let_pass(waits[-1])
        assert fail(2) == [200, 429]

    assert [round(wait_s, -1) for wait_s in waits] == [60, 120, 240]
    let_pass(480)
    assert log_in("ana", PASSWORD).status_code == 302
    assert fail(6) == [200] * 5 + [429]  # begun anew


def test_login__after_a_quiet_day__begins_anew(ana: User) -> None:
    fail(6)
    let_pass(86_400)

    assert fail(6) == [200] * 5 + [429]


def test_reply__for_a_name_that_does_not_exist__is_the_same(ana: User) -> None:
    # No enumeration, before the limit and beyond it.
    make = [(fail(5, name), log_in(name, "wrong")) for name in ("ana", "nobody", "Nobody2")]

    bodies = set()
    for counted, blocked in make:
        assert (counted, blocked.status_code) == ([200] * 5, 429)
        page = blocked.content.decode().split('<form action="/admin/login/"')[0]
        bodies.add(page.split("Try again in ")[1][2:] if "Try again in " in page else page)
    assert len(bodies) == 1
    wrong = [log_in(name, "wrong", "198.51.100.7") for name in ("ana", "ghost")]
    texts = {answer.context["form"].non_field_errors()[0] for answer in wrong}
    assert len(texts) == 1


def test_password_work__for_a_name_that_does_not_exist__is_done_too(
    ana: User, settings: Any, monkeypatch: Any
) -> None:
    hashed = Counter[str]()
    real = PBKDF2PasswordHasher.encode

    def encode(self: Any, password: str, *rest: Any) -> str:
        hashed["times"] += 1
        return real(self, password, *rest)

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    ana.set_password(PASSWORD)
    ana.save()
    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", encode)
    times = []
    for name in ("ana", "ghost"):
        hashed.clear()
        log_in(name, "wrong")
        times.append(hashed["times"])

    assert times == [1, 1]


def test_address__that_tries_many_names__is_held_up(ana: User) -> None:
    assert [fail(1, f"name-{n}") for n in range(30)] == [[200]] * 30

    assert fail(1, "one-more") == [429]
    assert log_in("ana", PASSWORD).status_code == 429
    assert log_in("ana", PASSWORD, "198.51.100.1").status_code == 302


def test_address__with_one_right_password__cannot_try_others_for_ever(ana: User) -> None:
    found = []
    for number in range(33):
        found += fail(1, f"name-{number}")
        log_in("ana", PASSWORD)

    assert Counter(found) == {200: 30, 429: 3}


def test_name__tried_from_everywhere__is_delayed_and_its_owner_gets_in(ana: User) -> None:
    assert log_in("ana", PASSWORD, "198.51.100.200").status_code == 302
    for number in range(20):
        assert fail(1, address=f"198.51.100.{number}") == [200]

    assert fail(1, address="198.51.100.99") == [429]
    stranger = log_in("ana", PASSWORD, "198.51.100.100")
    owner = log_in("ana", PASSWORD, "198.51.100.200")

    assert (stranger.status_code, owner.status_code) == (429, 302)
    assert int(stranger.headers["Retry-After"]) <= 15
    assert LoginLimit.objects.get(kind="name").failures == 0


def test_name__typed_in_other_letters__is_the_same_name(ana: User) -> None:
    assert fail(2) + fail(2, "ANA") + fail(1, "\uff21na") == [200] * 5

    assert fail(1, "aNa") == [429]


def test_failure__is_audited_without_what_may_be_a_password(ana: User) -> None:
    fail(5)
    fail(3)  # refused: no event each, the table only grows
    fail(1, "hunter2-typed-into-the-wrong-field")

    events = AuditEvent.objects.order_by("id")
    assert [event.action for event in events] == ["console.login_failed"] * 6
    assert [event.data["operator"] for event in events] == ["ana"] * 5 + [None]
    assert [sorted(event.data["blockedUntil"]) for event in events] == [[]] * 4 + [["pair"], []]
    assert "hunter2" not in str(list(events.values()))
    assert LoginLimit.objects.get(kind="pair", failures=5).refused == 3
    assert "hunter2" not in str(list(LoginLimit.objects.values()))


@pytest.mark.parametrize("form", [{}, {"username": "ana"}, {"username": "", "password": "x"}])
def test_form__not_filled_in__counts_for_nothing(ana: User, form: dict[str, str]) -> None:
    assert Client().post("/admin/login/", form).status_code == 200

    assert not LoginLimit.objects.exists()


def test_operator__without_access_to_the_console__has_failed(db: None) -> None:
    User.objects.create_user("customer", password=PASSWORD)

    assert log_in("customer", PASSWORD).status_code == 200
    assert LoginLimit.objects.get(kind="pair").failures == 1


def test_address__is_the_one_a_trusted_proxy_tells(ana: User, settings: Any) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.1"]
    form = {"username": "ana", "password": "wrong"}

    def ask(forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        answer = Client().post("/admin/login/", form, REMOTE_ADDR="10.0.0.1", headers=headers)
        return answer.status_code

    # What the client claims stands before what the proxy adds.
    assert [ask(f"6.6.6.{n}, 198.51.100.1") for n in range(6)] == [200] * 5 + [429]
    assert ask("198.51.100.2") == 200


def test_pruning__run_as_a_job__deletes_what_is_forgotten(ana: User) -> None:
    fail(1, "old")
    log_in("ana", PASSWORD, "198.51.100.1")
    let_pass(86_400 + 60)
    fail(1, "new", "198.51.100.2")
    assert LoginLimit.objects.count() == 3 + 3 + 3

    assert prune_logins() == 5  # all of the old one's, and ana's but for the pair
    assert get_handler("flagship.prune_logins").queue == "flagship:maintenance"
    let_pass(30 * 86_400)
    assert prune_logins() == 4
    assert not LoginLimit.objects.exists()


def test_row__that_makes_no_sense__is_refused(db: None) -> None:
    from django.db import IntegrityError, transaction

    for fields in ({"kind": "cat"}, {"kind": "name", "free_at": Now() - timedelta(seconds=9)}):
        with pytest.raises(IntegrityError), transaction.atomic():
            LoginLimit.objects.create(subject_hash=b"x" * 32, **fields)


def test_failure__of_a_name_beyond_every_length__is_recorded(db: None) -> None:
    record_failure(login=Try(name="x" * 5000, address="y" * 500), operator="x" * 5000)

    assert AuditEvent.objects.get().subject_id == "x" * 100
