"""Old dead letters that are deleted, what stays of them, and what never goes (D-04)."""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from flagship.models import AuditEvent
from jobs.errors import ReasonRequired
from jobs.models import FailedJob, FailureGroup, Job, LetterTombstone
from jobs.payloads import CleanDeadLetters, RunOnDead
from jobs.registry import get_handler, scheduled
from jobs.selectors.failure_groups import counted_groups
from jobs.services.cleanup import clean_dead_letters, foresee_cleanup
from jobs.services.failure_groups import acknowledge_group, withdraw_acknowledgement
from jobs.services.prune import prune_jobs
from jobs.services.tombstones import forget_tombstones
from tests.integration.jobs.heaps import answer_letters, make_letters

pytestmark = pytest.mark.django_db

MONTH = timedelta(days=30)
KNOWN, NEW = "v2-" + "c" * 40, "v2-" + "d" * 40


def clean(**options: Any) -> list[int]:
    """Clean up; return the size of each batch."""
    given: dict[str, Any] = {"older_than": MONTH, "actor": "user:ana", "reason": "over"}
    return list(clean_dead_letters(**given | options))


def known(fingerprint: str = KNOWN) -> None:
    """Acknowledge a group."""
    acknowledge_group(fingerprint=fingerprint, actor="user:ana")


def left() -> set[int]:
    """Letters that are still there."""
    return set(FailedJob.objects.values_list("pk", flat=True))


def test_cleanup__of_old_letters__takes_those_of_acknowledged_groups_only() -> None:
    # D-04
    make_letters(3, fingerprint=KNOWN, days=31.0)
    young = make_letters(2, fingerprint=KNOWN, days=29.0)
    unknown = make_letters(4, fingerprint=NEW, days=400.0)
    known()

    assert clean() == [3]
    assert left() == {*young, *unknown}
    assert clean() == []


def test_cleanup__leaves_a_tombstone_of_each__with_the_hash_of_its_payload() -> None:
    # D-04
    (number,) = make_letters(1, fingerprint=KNOWN, days=31.0, payload='{"note": "späť", "n": 1}')
    letter = FailedJob.objects.get(pk=number)
    known()

    clean()

    stone = LetterTombstone.objects.get()
    assert (stone.letter_id, stone.job_id) == (number, letter.job_id)
    assert (stone.fingerprint, stone.state, stone.attempts) == (KNOWN, "open", 1)
    assert (stone.removed_by, stone.died_at) == ("user:ana", letter.died_at)
    # As jsonb is written: shorter keys first.
    written = '{"n": 1, "note": "späť"}'.encode()
    assert stone.payload_sha256 == hashlib.sha256(written).hexdigest()
    assert Job.objects.get(pk=letter.job_id).state == "dead"


def test_cleanup__in_batches__audits_each_of_them() -> None:
    # D-06
    make_letters(5, fingerprint=KNOWN, days=31.0)
    known()

    assert clean(batch=2) == [2, 2, 1]

    events = AuditEvent.objects.filter(action="dead_letters.cleaned").order_by("id")
    assert [event.data["letters"] for event in events] == [2, 2, 1]
    assert {(event.actor, event.subject_id) for event in events} == {("user:ana", KNOWN)}
    assert events[0].data["reason"] == "over" and "diedBefore" in events[0].data


def test_cleanup__whose_audit_event_cannot_be_written__deletes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # D-06
    make_letters(2, fingerprint=KNOWN, days=31.0)
    known()

    def refuse(**_: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("flagship.subscribers.record", refuse)
    with pytest.raises(RuntimeError):
        clean()

    assert len(left()) == 2
    assert not LetterTombstone.objects.exists()


def test_cleanup__without_a_reason__is_refused() -> None:
    make_letters(1, fingerprint=KNOWN, days=31.0)
    known()

    with pytest.raises(ReasonRequired):
        clean(reason="  ")
    assert len(left()) == 1


def test_cleanup__of_a_letter_that_owes_an_on_dead__never_happens() -> None:
    # W-06: what a death owes is owed until it is done.
    owing = make_letters(1, fingerprint=KNOWN, days=400.0, kind=RunOnDead.KIND)
    known()

    assert clean() == []
    assert left() == set(owing)
    assert foresee_cleanup(older_than=MONTH) == []


def test_cleanup__of_a_group_withdrawn_meanwhile__stops() -> None:
    # D-04: each batch looks again.
    make_letters(4, fingerprint=KNOWN, days=31.0)
    known()

    batches = clean_dead_letters(older_than=MONTH, actor="user:ana", reason="x", batch=1)
    next(batches)
    withdraw_acknowledgement(fingerprint=KNOWN, actor="user:ana")

    assert list(batches) == []
    assert len(left()) == 3


def test_dry_run__says_what_goes_and_what_stays__and_changes_nothing() -> None:
    # D-04
    make_letters(3, fingerprint=KNOWN, days=31.0)
    make_letters(5, fingerprint=NEW, days=40.0)
    make_letters(9, fingerprint=NEW, days=1.0)
    answer_letters(make_letters(2, fingerprint=NEW, days=50.0))
    known()
    before = left()

    found = foresee_cleanup(older_than=MONTH)

    assert [(each.fingerprint, each.letters, each.goes) for each in found] == [
        (NEW, 5, False),
        (KNOWN, 3, True),
    ]
    assert found[1].acknowledged_by == "user:ana"
    assert left() == before
    assert sum(each.letters for each in found if each.goes) == sum(clean())


def test_command__looks_first_and_wants_a_reason() -> None:
    # D-04
    make_letters(3, fingerprint=KNOWN, days=31.0)
    make_letters(1, fingerprint=NEW, days=31.0)
    known()

    def say(*arguments: str) -> str:
        out = io.StringIO()
        call_command("clean_dead_letters", *arguments, stdout=out)
        return out.getvalue()

    told = say("--dry-run")
    assert f"3 of jobs.probe OSError ({KNOWN}) would be deleted: acknowledged by user:ana" in told
    assert f"1 of jobs.probe OSError ({NEW}) kept: not acknowledged" in told
    assert told.endswith("3 dead letters would be deleted, 1 kept\n")
    with pytest.raises(CommandError, match="--reason"):
        say()
    assert say("--reason", "over", "--days", "60") == "0 dead letters deleted\n"
    assert say("--reason", "over") == "3 dead letters deleted\n"
    assert LetterTombstone.objects.filter(removed_by="command").count() == 3


def test_job__each_week__cleans_by_the_setting_and_ends_in_time(settings: Any) -> None:
    # D-04
    settings.DEAD_LETTER_RETENTION_DAYS = 2.0
    settings.TOMBSTONE_RETENTION_DAYS = 10.0
    (declared,) = [each for each in scheduled() if each.name == "jobs.clean-dead-letters"]
    assert (declared.payload, declared.cron) == (CleanDeadLetters(), "23 4 * * 1")
    make_letters(3, fingerprint=KNOWN, days=3.0)
    known()
    reports: list[dict[str, Any]] = []

    class Context:
        left_s = 1000.0

        def check(self) -> None:
            return None

        def progress(self, report: dict[str, Any]) -> None:
            reports.append(report)

        def remaining_s(self) -> float:
            return self.left_s

    handler = get_handler(CleanDeadLetters.KIND)
    result = handler.function(CleanDeadLetters(), Context())

    assert result == {"deleted": 3, "forgotten": 0, "hours": 0}
    assert reports == [{"deleted": 3}]
    stone = LetterTombstone.objects.earliest("letter_id")
    assert (stone.removed_by, stone.reason) == ("schedule:jobs.clean-dead-letters", "")


def test_pruned_job__leaves_tombstones_of_its_answered_letters() -> None:
    # D-04: where a job went has an answer, whoever deleted it.
    answer_letters(make_letters(1, fingerprint=NEW))

    # A cutoff that lies ahead: everything has ended before it.
    pruned = list(prune_jobs(older_than=timedelta(minutes=-5)))

    assert [(batch.jobs, batch.letters) for batch in pruned] == [(1, 1)]
    stone = LetterTombstone.objects.get()
    assert (stone.state, stone.resolved_by, stone.reason) == ("discarded", "user:x", "known")
    assert stone.removed_by == "schedule:jobs.prune"


def test_tombstones__older_than_they_are_kept__are_forgotten() -> None:
    make_letters(3, fingerprint=KNOWN, days=31.0)
    known()
    clean()
    LetterTombstone.objects.filter(
        pk__in=LetterTombstone.objects.values_list("pk", flat=True)[:2]
    ).update(removed_at="2020-01-01T00:00:00Z")

    assert forget_tombstones(older_than=timedelta(days=365)) == 2
    assert LetterTombstone.objects.count() == 1


def test_deaths__of_a_group_that_was_cleaned_up__are_still_counted() -> None:
    # D-04
    make_letters(3, fingerprint=KNOWN, days=31.0)
    known()
    clean()

    group = counted_groups().get()
    assert (group.deaths_now, group.open_now) == (3, 0)
    assert FailureGroup.objects.count() == 1
