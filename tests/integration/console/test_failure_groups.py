"""Failure groups in the console: found, read, acknowledged (D-07, D-06)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from flagship.models import AuditEvent
from jobs.models import FailedJob, FailureGroup
from jobs.services.failure_groups import acknowledge_group, fold_deaths
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.test_answers import said
from tests.integration.jobs.heaps import answer_letters, make_letters

LIST = "/admin/jobs/failuregroup/"
ONE, TWO = "v2-" + "1" * 40, "v2-" + "2" * 40
VIEW = ("jobs.view_failedjob", "jobs.view_failuregroup")


@pytest.fixture
def viewer(db: None) -> Client:
    """May only look."""
    return browser_of(make_operator(*VIEW, name="vic"))


@pytest.fixture
def operator(db: None) -> Client:
    """May acknowledge."""
    return browser_of(make_operator(*VIEW, "jobs.acknowledge_failuregroup"))


def shown(client: Client, query: str = "") -> list[str]:
    """Fingerprints of the listed groups."""
    response: Any = client.get(LIST + query)
    assert response.status_code == 200
    return [group.pk for group in response.context["cl"].result_list]


def page(client: Client, fingerprint: str = ONE) -> str:
    """What a group's page says."""
    response = client.get(f"{LIST}{fingerprint}/change/")
    assert response.status_code == 200
    return response.content.decode()


def test_list__opened__has_a_line_for_each_cause_with_its_counts(viewer: Client) -> None:
    # D-07
    make_letters(7, fingerprint=ONE, message="disk full", days=1.0)
    make_letters(3, fingerprint=TWO, error_class="KeyError")
    fold_deaths()
    make_letters(1, fingerprint=ONE, days=1.0)

    response: Any = viewer.get(LIST)

    groups = {group.pk: group for group in response.context["cl"].result_list}
    assert list(groups) == [TWO, ONE]  # The last seen first.
    assert (groups[ONE].deaths_now, groups[ONE].open_now) == (8, 8)
    text = response.content.decode()
    assert "disk full" in text and "KeyError" in text
    assert text.count("<svg class=") == 2 and "3 deaths in 24 hours" in text
    assert f"/admin/jobs/failedjob/?fingerprint={ONE}" in text


def test_list__by_standing__has_what_waits_first(viewer: Client) -> None:
    # D-07
    make_letters(2, fingerprint=ONE)
    acknowledge_group(fingerprint=ONE, actor="user:ana")
    answer_letters(make_letters(2, fingerprint=TWO))

    assert shown(viewer) == [ONE]
    assert shown(viewer, "?standing=new") == []
    assert shown(viewer, "?standing=acknowledged") == [ONE]
    assert shown(viewer, "?standing=answered") == [TWO]
    assert set(shown(viewer, "?standing=all")) == {ONE, TWO}


def test_list__of_many_groups__asks_no_query_per_row(viewer: Client) -> None:
    # D-07
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            shown(viewer)
        return len(captured)

    make_letters(1, fingerprint=ONE)
    queries()  # The session is stamped.
    few = queries()
    for number in range(30):
        make_letters(1, fingerprint=f"v2-{number:040d}")

    assert queries() == few <= 15


def test_page__of_a_group__says_what_is_known(viewer: Client) -> None:
    # D-07
    make_letters(12, fingerprint=ONE, message="disk <full>", days=1.0)
    acknowledge_group(fingerprint=ONE, actor="user:ana", note="ask the provider")
    newest = make_letters(2, fingerprint=ONE)[0]
    FailedJob.objects.filter(pk=newest).update(traceback="Traceback <of> the newest")

    text = page(viewer)

    assert "disk &lt;full&gt;" in text and "Traceback &lt;of&gt; the newest" in text
    assert "ask the provider" in text and "user:ana" in text and "2 since" in text
    assert text.count('<td class="fs-nowrap"><a class="fs-link"') == 10
    assert f"/admin/jobs/failedjob/{newest}/change/" in text
    assert "note-form" not in text


def test_acknowledge__by_an_operator__is_kept_shown_and_audited(operator: Client) -> None:
    # D-07, D-06
    make_letters(3, fingerprint=ONE)

    response = operator.post(f"{LIST}{ONE}/acknowledge/", {"note": " known fault "})

    assert response.status_code == 302 and "Acknowledged" in said(response)
    group = FailureGroup.objects.get()
    assert (group.acknowledged_by, group.note) == ("user:ana", "known fault")
    assert AuditEvent.objects.get().action == "failure_group.acknowledged"
    assert "Withdraw the acknowledgement" in page(operator)


def test_acknowledge__clicked_twice__applies_once_and_says_so(operator: Client) -> None:
    # D-07
    make_letters(1, fingerprint=ONE)

    operator.post(f"{LIST}{ONE}/acknowledge/")
    response = operator.post(f"{LIST}{ONE}/acknowledge/")

    assert "Nothing done: The group was acknowledged by user:ana" in said(response)
    assert AuditEvent.objects.count() == 1


def test_withdraw_and_note__by_an_operator__are_audited(operator: Client) -> None:
    # D-07
    make_letters(1, fingerprint=ONE)
    operator.post(f"{LIST}{ONE}/acknowledge/")

    operator.post(f"{LIST}{ONE}/note/", {"note": "second thoughts"})
    operator.post(f"{LIST}{ONE}/withdraw/")

    group = FailureGroup.objects.get()
    assert (group.acknowledged_at, group.note) == (None, "second thoughts")
    actions = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions[1:] == ["failure_group.noted", "failure_group.withdrawn"]


@pytest.mark.parametrize("decision", ["acknowledge", "withdraw", "note"])
def test_decision__without_the_permission_or_by_get__changes_nothing(
    viewer: Client, operator: Client, decision: str
) -> None:
    # D-06
    make_letters(1, fingerprint=ONE)
    address = f"{LIST}{ONE}/{decision}/"

    assert viewer.post(address, {"note": "x"}).status_code == 403
    assert operator.get(address).status_code == 405
    group = FailureGroup.objects.get()
    assert (group.acknowledged_at, group.note) == (None, "")
    assert not AuditEvent.objects.exists()


def test_note__that_is_too_long__is_refused(operator: Client) -> None:
    make_letters(1, fingerprint=ONE)

    response = operator.post(f"{LIST}{ONE}/note/", {"note": "x" * 2001})

    assert "Nothing done" in said(response)
    assert FailureGroup.objects.get().note == ""


def test_decision__about_no_group__is_said(operator: Client) -> None:
    response = operator.post(f"{LIST}v2-none/acknowledge/")

    assert "There is no failure group v2-none" in said(response)
