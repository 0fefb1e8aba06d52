"""How a login begins and ends (research 6.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.test import Client

from flagship.middleware import sessions
from flagship.services.sessions import prune_sessions
from jobs.registry import get_handler
from tests.integration.console.rows import PASSWORD, browser_of, make_operator

HOUR_S = 3600.0
NEW = "another long pass phrase"

pytestmark = pytest.mark.django_db


class Clock:
    """The clock that sessions are judged by."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sessions, "time", clock)
    return clock


def log_in(client: Client, name: str = "ana") -> Any:
    return client.post("/admin/login/", {"username": name, "password": PASSWORD})


def is_in(client: Client) -> bool:
    """Whether the console still knows who this is; if not, it asks for the login."""
    answer = client.get("/admin/")
    assert answer.status_code in (200, 302)
    return bool(answer.status_code == 200)


def test_session__known_before_the_login__is_not_the_one_after_it() -> None:
    # F-01: fixation
    make_operator("jobs.view_failedjob")
    client = Client()
    planted = client.session
    planted["planted"] = "by a stranger"
    planted.save()
    stranger = Client()
    stranger.cookies["sessionid"] = client.cookies["sessionid"].value

    assert log_in(client).status_code == 302

    assert client.session.session_key != planted.session_key
    assert not Session.objects.filter(session_key=planted.session_key).exists()
    assert is_in(client) and not is_in(stranger)


def test_cookie__of_a_login__is_hidden_from_scripts_and_other_sites() -> None:
    # F-01
    make_operator()
    client = Client()
    client.get("/admin/login/")
    log_in(client)

    for name in ("sessionid", "csrftoken"):
        cookie = client.cookies[name]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert cookie["domain"] == ""


def test_login__left_alone__ends_after_half_an_hour(clock: Clock) -> None:
    # F-01
    make_operator()
    client = Client()
    log_in(client)
    key = client.session.session_key

    clock.now += 0.5 * HOUR_S
    assert is_in(client)
    clock.now += 0.5 * HOUR_S + 1
    assert not is_in(client)
    assert not Session.objects.filter(session_key=key).exists()
    clock.now -= HOUR_S
    assert not is_in(client)


def test_login__in_steady_use__ends_after_eight_hours(clock: Clock) -> None:
    # F-01
    make_operator()
    client = Client()
    log_in(client)

    for _ in range(8 * 4):
        clock.now += HOUR_S / 4
        assert is_in(client)
    clock.now += 1
    assert not is_in(client)


def test_login__made_anew__begins_anew(clock: Clock) -> None:
    # F-01
    ana = make_operator()
    client = browser_of(ana)
    for _ in range(31):
        clock.now += HOUR_S / 4
        assert is_in(client)

    client.logout()
    log_in(client)

    for _ in range(31):
        clock.now += HOUR_S / 4
        assert is_in(client)


def test_form__sent_after_the_end__changes_nothing(clock: Clock) -> None:
    # D-06
    client = browser_of(User.objects.create_superuser("root", password=PASSWORD))
    assert is_in(client)
    clock.now += HOUR_S

    answer = client.post("/admin/auth/group/add/", {"name": "Late"})

    assert (answer.status_code, answer.headers["Location"][:13]) == (302, "/admin/login/")
    assert not Group.objects.filter(name="Late").exists()


def test_page__opened_within_a_minute_of_the_last__writes_no_session(clock: Clock) -> None:
    # F-01
    client = browser_of(make_operator())
    assert is_in(client)
    clock.now += 59
    before = client.session[sessions.SEEN]

    assert is_in(client)

    assert client.session[sessions.SEEN] == before
    clock.now += 1
    assert is_in(client)
    assert client.session[sessions.SEEN] == before + 60


def test_password__changed_by_its_owner__ends_every_other_login() -> None:
    # F-01
    ana = make_operator()
    here, there = browser_of(ana), browser_of(ana)
    assert is_in(here) and is_in(there)
    form = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    key = here.session.session_key

    assert here.post("/admin/password_change/", form).status_code == 302

    assert is_in(here) and not is_in(there)
    assert here.session.session_key != key


def test_password__changed_by_another__ends_every_login() -> None:
    # F-01
    ana = make_operator()
    client, root = browser_of(ana), browser_of(User.objects.create_superuser("root"))
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}

    answer = root.post(f"/admin/auth/user/{ana.pk}/password/", form)

    assert answer.status_code == 302
    assert is_in(root) and not is_in(client)


def test_operator__locked_out__is_out_at_once() -> None:
    # F-01
    ana = make_operator()
    client = browser_of(ana)
    assert is_in(client)

    User.objects.filter(pk=ana.pk).update(is_active=False)

    assert not is_in(client)


def test_logout__by_anyone__forgets_the_session_itself() -> None:
    # F-01
    client = browser_of(make_operator())
    key = client.session.session_key

    client.post("/admin/logout/")

    assert not Session.objects.filter(session_key=key).exists()


def test_sessions__that_are_over__are_deleted_and_the_others_stay(client: Client) -> None:
    # F-01
    make_operator()
    log_in(client)
    over = Session.objects.create(
        session_key="over", session_data="", expire_date=datetime.now(UTC) - timedelta(seconds=1)
    )

    assert prune_sessions() == 1
    assert not Session.objects.filter(pk=over.pk).exists()
    assert is_in(client)
    assert prune_sessions() == 0
    assert get_handler("flagship.prune_sessions").queue == "flagship:maintenance"


def test_login__of_a_page_that_asks_by_itself__ends_all_the_same(clock: Clock) -> None:
    # F-01, D-07: a page left open over lunch is nobody's presence
    make_operator("jobs.view_failedjob")
    client = Client()
    log_in(client)
    assert is_in(client)

    for _ in range(31):
        clock.now += 60
        client.get("/admin/overview/", headers={"X-Console-Refresh": "1"})

    assert not is_in(client)
