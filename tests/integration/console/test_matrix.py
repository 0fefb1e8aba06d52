"""Role by action: who may, who may not, and nothing without its audit event (D-06)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from flagship.models import AuditEvent
from jobs import telemetry
from tests.integration.console.actions import ACTIONS, ROLES, browser_user, found
from tests.integration.console.rows import browser_of
from tests.integration.console.world import World, make_world
from tests.integration.flagship.isolation import digest

# What every request of a person at the console may write.
OF_THE_LOGIN = {"django_session", "auth_user", "flagship_loginlimit"}
REFUSE = """
CREATE FUNCTION refuse_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit is full'; END $$;
CREATE TRIGGER refuse_audit BEFORE INSERT ON flagship_auditevent
    FOR EACH ROW EXECUTE FUNCTION refuse_audit();
ALTER TABLE flagship_auditevent DISABLE TRIGGER refuse_audit
"""


def stored() -> dict[str, str]:
    """What is in the tables that an action may change, with what is told of earlier ones."""
    assert telemetry.flush(10)
    return {table: rows for table, rows in digest().items() if table not in OF_THE_LOGIN}


def ask(client: Client, name: str, world: World) -> tuple[Any, dict[str, str]]:
    """Ask for an action; return the answer, and what was stored just before."""
    path, data = ACTIONS[name].ask(world)
    before = stored()
    return client.post(f"/admin/{path}", data), before


@pytest.fixture
def world(db: None) -> World:
    return make_world()


def test_action__of_every_page__has_a_case() -> None:
    # D-06: a new action without a case fails here.
    assert sorted(found()) == sorted(ACTIONS)
    assert len(ACTIONS) >= 20


@pytest.mark.parametrize("name", ACTIONS)
def test_action__by_each_role__is_done_by_those_who_may_and_refused_to_others(
    world: World, name: str
) -> None:
    # D-06
    action = ACTIONS[name]
    for role in ROLES:
        user = browser_user(role)
        with transaction.atomic():
            answer, before = ask(browser_of(user), name, world)
            events = AuditEvent.objects.filter(actor=f"user:{user.get_username()}")
            if action.is_for(role):
                assert answer.status_code in (200, 302), (role, answer)
                b"".join(getattr(answer, "streaming_content", ()))
                assert {event.action for event in events} == {action.audit}, role
            else:
                assert answer.status_code == 403, role
                assert stored() == before, role
            transaction.set_rollback(True)


@pytest.mark.parametrize("name", ACTIONS)
def test_action__by_nobody_or_by_a_forged_form__changes_nothing(world: World, name: str) -> None:
    # D-06
    root = User.objects.create_superuser("root", password="x")

    with transaction.atomic():
        unknown, before = ask(Client(), name, world)
        assert unknown.status_code == 302 and unknown["Location"].startswith("/admin/login/")
        assert stored() == before
        transaction.set_rollback(True)
    forged, before = ask(browser_of(root, enforce_csrf_checks=True), name, world)
    assert forged.status_code == 403
    assert stored() == before


def test_action__whose_audit_event_cannot_be_written__is_rolled_back(
    owner_db: psycopg.Connection[Any],
) -> None:
    # D-06: in the database itself, so however the event is written.
    world = make_world()
    client = browser_of(User.objects.create_superuser("root", password="x"))
    client.raise_request_exception = False
    owner_db.execute(REFUSE)
    for name, action in ACTIONS.items():
        path, data = action.ask(world)
        before = stored()
        owner_db.execute("ALTER TABLE flagship_auditevent ENABLE TRIGGER refuse_audit")
        try:
            answer = client.post(f"/admin/{path}", data)
        finally:
            owner_db.execute("ALTER TABLE flagship_auditevent DISABLE TRIGGER refuse_audit")
        assert answer.status_code == 500, (name, answer)
        assert stored() == before, name
