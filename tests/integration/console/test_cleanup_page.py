"""Cleaning up by hand: the page is a dry run, the button starts a job (D-04, D-06)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from jobs.models import FailedJob, Job, LetterTombstone
from jobs.payloads import CleanDeadLetters
from jobs.services.cleanup import clean_dead_letters
from jobs.services.failure_groups import acknowledge_group
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.test_answers import said
from tests.integration.jobs.heaps import make_letters

PAGE = "/admin/jobs/failedjob/cleanup/"
CLEAN = f"{PAGE}clean/"
KNOWN, NEW = "v2-" + "c" * 40, "v2-" + "d" * 40


@pytest.fixture
def cleaner(db: None) -> Client:
    """May clean up."""
    return browser_of(make_operator("jobs.view_failedjob", "jobs.clean_failedjob"))


@pytest.fixture
def old(db: None) -> None:
    """Old letters of a group that is known, and of one that is not."""
    make_letters(3, fingerprint=KNOWN, days=31.0)
    make_letters(2, fingerprint=NEW, days=31.0, error_class="KeyError")
    acknowledge_group(fingerprint=KNOWN, actor="user:ana")


def test_page__opened__says_what_would_go_and_what_would_stay(cleaner: Client, old: None) -> None:
    # D-04
    page = cleaner.get(PAGE).content.decode()

    assert "Would be deleted: 3" in page and "Would be kept: 2" in page
    assert "Delete 3 for good" in page and "nobody has acknowledged it" in page
    assert "Would be deleted: 0" in cleaner.get(f"{PAGE}?days=60").content.decode()
    assert FailedJob.objects.count() == 5 and not Job.objects.filter(state="pending").exists()


@pytest.mark.parametrize("days", ["0", "x", "", "1e9", "nan"])
def test_page__for_days_that_make_no_sense__says_so(cleaner: Client, old: None, days: str) -> None:
    page = cleaner.get(PAGE, {"days": days}).content.decode()

    assert 'role="alert"' in page and "clean-form" not in page


def test_button__starts_a_job__that_cleans_by_the_operators_name(
    cleaner: Client, old: None
) -> None:
    # D-04, D-06
    response = cleaner.post(CLEAN, {"days": "30", "reason": "provider is gone"})

    assert "The cleanup has been started" in said(response)
    job = Job.objects.get(kind=CleanDeadLetters.KIND)
    assert job.payload == {"days": 30.0, "actor": "user:ana", "reason": "provider is gone"}
    assert FailedJob.objects.count() == 5


@pytest.mark.parametrize(
    "form", [{"days": "30"}, {"days": "30", "reason": " "}, {"days": "0", "reason": "x"}]
)
def test_button__without_a_reason_or_days__starts_nothing(
    cleaner: Client, old: None, form: dict[str, str]
) -> None:
    response = cleaner.post(CLEAN, form)

    assert "Nothing done" in said(response)
    assert not Job.objects.filter(kind=CleanDeadLetters.KIND).exists()


def test_cleanup__without_the_permission_or_by_get__starts_nothing(
    viewer: Client, cleaner: Client, old: None
) -> None:
    # D-06
    assert viewer.get(PAGE).status_code == 200
    assert "clean-form" not in viewer.get(PAGE).content.decode()
    assert viewer.post(CLEAN, {"days": "30", "reason": "x"}).status_code == 403
    assert cleaner.get(CLEAN).status_code == 405
    assert browser_of(make_operator(name="nobody")).get(PAGE).status_code == 403
    assert not Job.objects.filter(kind=CleanDeadLetters.KIND).exists()


def test_deleted_letter__searched_by_its_job__says_who_deleted_it(old: None) -> None:
    # D-04
    letter = FailedJob.objects.filter(fingerprint=KNOWN).earliest("pk")
    list(clean_dead_letters(older_than=timedelta(days=30), actor="user:ana", reason="over"))
    client = browser_of(make_operator("jobs.view_lettertombstone", name="vic"))

    page = client.get(f"/admin/jobs/lettertombstone/?q={letter.job_id}").content.decode()
    detail = client.get(f"/admin/jobs/lettertombstone/{letter.pk}/change/").content.decode()

    assert LetterTombstone.objects.count() == 3
    assert page.count("data-row") == 1
    assert "user:ana" in detail and letter.job_id.hex in detail
