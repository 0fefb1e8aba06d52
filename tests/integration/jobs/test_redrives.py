"""Everything a filter matches, answered as a job (D-03, D-07)."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models.functions import Now

from flagship.models import AuditEvent
from jobs import signals
from jobs.errors import (
    ApprovalByAnother,
    NothingMatches,
    ReasonRequired,
    RedriveNotFound,
    RedriveNotProposed,
    RedriveOver,
    RedriveRunning,
)
from jobs.ids import new_id, public_id
from jobs.models import FailedJob, Job, Redrive
from jobs.queues import CONTENT, MAINTENANCE
from jobs.selectors.letters import LetterFilter, from_json, matching, to_json
from jobs.selectors.redrives import rehearse
from jobs.services import publisher
from jobs.services.dead_letters import discard, requeue
from jobs.services.enqueue import enqueue
from jobs.services.redrives import RedriveOrder, abort_redrive, approve_redrive
from jobs.states import RedriveAction
from jobs.worker.execute import Executor
from tests.drills.models import Effect
from tests.drills.payloads import Mortal
from tests.integration.console.rows import make_letter
from tests.integration.jobs.letters import ask, make_letters

DISCARD = RedriveAction.DISCARD


def states() -> Counter[str]:
    """How many letters are in each state."""
    return Counter(FailedJob.objects.values_list("state", flat=True))


def run(executor: Executor, redrive: Redrive) -> Redrive:
    """Run the job of a redrive once, for a slice; return the redrive as it is then."""
    job = job_of(redrive)
    Job.objects.filter(id=job.id, state="retry_wait").update(next_attempt_at=Now())
    assert executor.run(job.id)
    redrive.refresh_from_db()
    return redrive


def run_on(executor: Executor, redrive: Redrive, until: Callable[[Redrive], bool]) -> Redrive:
    """Run the job of a redrive, slice by slice, until this holds."""
    for _ in range(50):
        if until(run(executor, redrive)):
            return redrive
    raise AssertionError(f"not within 50 slices: {redrive.state}, {redrive.done} done")


def is_over(redrive: Redrive) -> bool:
    """Whether it has ended."""
    return redrive.state != "running"


def has_sent_canaries(redrive: Redrive) -> bool:
    """Whether it waits for them now."""
    return redrive.canary_sent_at is not None


def begin(executor: Executor, redrive: Redrive) -> threading.Thread:
    """Run the job of a redrive beside the test."""

    def run_and_close() -> None:
        try:
            run(executor, redrive)
        finally:
            connections.close_all()

    running = threading.Thread(target=run_and_close)
    running.start()
    return running


def job_of(redrive: Redrive) -> Job:
    """The job that runs a redrive."""
    assert redrive.job_id is not None
    return Job.objects.get(id=redrive.job_id)


def mortal(executor: Executor, **payload: Any) -> FailedJob:
    """A letter of a job that died at its first run, and may again."""
    job = enqueue(Mortal(**payload))
    assert executor.run(job.id)
    return FailedJob.objects.get(job=job, state="open")


# --- Asked for ---


@pytest.mark.django_db
def test_redrive__of_a_filter__is_frozen_when_it_is_asked_for() -> None:
    # D-03, D-07
    letters = make_letters(3, queue=CONTENT)
    make_letters(2)

    redrive = ask(LetterFilter(queue=CONTENT))

    newest = letters[-1]
    assert (redrive.state, redrive.size, redrive.queue) == ("running", 3, CONTENT)
    assert (redrive.bound_died_at, redrive.bound_id) == (newest.died_at, newest.id)
    assert redrive.wanted == {"state": "open", "queue": CONTENT}
    assert job_of(redrive).payload == {"redrive_id": redrive.id.hex}
    event = AuditEvent.objects.get()
    assert (event.action, event.actor) == ("redrive.started", "user:ana")
    assert (event.subject_id, event.data["size"]) == (public_id("redrive", redrive.id), 3)


@pytest.mark.django_db
def test_redrive__asked_for_twice_with_one_id__is_one() -> None:
    # D-03
    make_letters(1)
    wish = new_id()

    first, again = ask(redrive_id=wish), ask(redrive_id=wish)

    assert first.pk == again.pk
    assert Redrive.objects.count() == Job.objects.filter(kind="jobs.run_redrive").count() == 1
    assert AuditEvent.objects.count() == 1


@pytest.mark.django_db
def test_redrive__of_nothing_or_without_a_reason__is_refused_and_changes_nothing() -> None:
    # D-03, D-04
    make_letter(state="discarded", resolved_at=Now(), resolved_by="user:bob", reason="known")

    with pytest.raises(NothingMatches):
        ask()
    with pytest.raises(NothingMatches):
        ask(LetterFilter(state="discarded"))
    with pytest.raises(ReasonRequired):
        ask(reason="  ")
    with pytest.raises(ValueError, match="actor"):
        ask(actor="")

    assert not Redrive.objects.exists() and not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"rate_per_s": 0}, {"rate_per_s": 201}, {"ramp_s": -1}, {"canary_size": 101}),
        *({"canary_wait_s": 0}, {"returns_max": -1}, {"rate_per_s": float("nan")}),
    ],
)
def test_order__with_a_number_out_of_its_range__is_no_order(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RedriveOrder(**{"action": RedriveAction.REQUEUE, "reason": "x"} | wrong)  # type: ignore[arg-type]


@pytest.mark.django_db
def test_redrive__of_a_queue_that_has_one_running__is_refused_and_names_it() -> None:
    # D-07
    make_letters(2, queue=CONTENT)
    make_letters(2)
    running = ask(LetterFilter(queue=CONTENT))

    with pytest.raises(RedriveRunning) as refused:
        ask(LetterFilter(queue=CONTENT, kind="jobs.probe"))
    other = ask(LetterFilter(queue=MAINTENANCE))

    assert refused.value.data == {"redriveId": public_id("redrive", running.id)}
    assert other.state == "running"
    assert Job.objects.filter(kind="jobs.run_redrive").count() == 2


# --- Approved, aborted ---


@pytest.mark.django_db
def test_redrive__above_the_set_size__begins_when_another_person_approves(settings: Any) -> None:
    # D-06, D-07
    settings.REDRIVE_APPROVAL_SIZE = 2
    make_letters(3)
    redrive = ask()
    assert (redrive.state, redrive.job_id) == ("proposed", None)

    with pytest.raises(ApprovalByAnother):
        approve_redrive(redrive_id=redrive.id, actor="user:ana")
    approved = approve_redrive(redrive_id=redrive.id, actor="user:bob")
    with pytest.raises(RedriveNotProposed):
        approve_redrive(redrive_id=redrive.id, actor="user:cem")

    assert (approved.state, approved.approved_by) == ("running", "user:bob")
    assert job_of(approved).kind == "jobs.run_redrive"
    told = list(AuditEvent.objects.order_by("id").values_list("action", "actor"))
    assert told == [("redrive.proposed", "user:ana"), ("redrive.approved", "user:bob")]


@pytest.mark.django_db
def test_redrive__that_is_aborted__stays_so(settings: Any) -> None:
    # D-07
    settings.REDRIVE_APPROVAL_SIZE = 1
    make_letters(2)
    redrive = ask()

    ended = abort_redrive(redrive_id=redrive.id, actor="user:bob", reason="wrong filter")

    assert (ended.state, ended.ended_by, ended.note) == ("aborted", "user:bob", "wrong filter")
    with pytest.raises(RedriveOver):
        abort_redrive(redrive_id=redrive.id, actor="user:bob")
    with pytest.raises(RedriveNotProposed):
        approve_redrive(redrive_id=redrive.id, actor="user:cem")
    with pytest.raises(RedriveNotFound):
        abort_redrive(redrive_id=new_id(), actor="user:bob")
    assert states() == {"open": 2}


def test_redrive__aborted_while_it_runs__answers_nothing_more(executor: Executor) -> None:
    # D-07
    make_letters(40)
    redrive = ask(rate_per_s=10.0)
    running = begin(executor, redrive)
    while not FailedJob.objects.filter(state="requeued").exists():
        time.sleep(0.01)

    abort_redrive(redrive_id=redrive.id, actor="user:bob")
    answered = states()
    running.join()

    redrive.refresh_from_db()
    assert states() == answered and answered["open"] > 0
    assert (redrive.state, redrive.done) == ("aborted", answered["requeued"])
    assert job_of(redrive).state == "succeeded"


# --- Run ---


def test_redrive__that_runs__answers_what_matched_once_and_counts_it(executor: Executor) -> None:
    # D-03, D-07
    letters = make_letters(12, queue=CONTENT)
    others = make_letters(2)
    redrive = ask(LetterFilter(queue=CONTENT))
    late = make_letter(queue=CONTENT)

    run(executor, redrive)

    assert (redrive.state, redrive.done, redrive.refused) == ("finished", 12, 0)
    assert redrive.ended_at is not None
    answered = FailedJob.objects.filter(state="requeued")
    assert set(answered.values_list("id", flat=True)) == {letter.id for letter in letters}
    actor = public_id("redrive", redrive.id)
    assert set(answered.values_list("resolved_by", flat=True)) == {actor}
    jobs = Job.objects.filter(id__in=[letter.job_id for letter in letters])
    assert set(jobs.values_list("state", flat=True)) == {"queued"}
    for letter in (*others, late):
        letter.refresh_from_db()
        assert letter.state == "open"
    events = AuditEvent.objects.filter(action="job.requeued")
    assert set(events.values_list("actor", "correlation_id")) == {(actor, actor)}
    assert events.count() == 12
    ended = AuditEvent.objects.get(action="redrive.finished")
    assert (ended.actor, ended.data["done"]) == ("worker", 12)


def test_redrive__of_many__rings_once_for_each_batch(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-09
    letters = make_letters(20)
    rung: list[int] = []
    publish = publisher._publish

    def count(ids: list[uuid.UUID] | None, limit: int) -> tuple[int, bool]:
        rung.append(limit)
        return publish(ids, limit)

    monkeypatch.setattr(publisher, "_publish", count)
    run(executor, ask())

    assert sum(rung) == len(letters) > 2 * len(rung)


def test_redrive__that_discards__keeps_its_reason_with_each(executor: Executor) -> None:
    # D-04
    letters = make_letters(3)
    redrive = ask(action=DISCARD, reason="flood of test data", canary_size=2)

    run(executor, redrive)

    assert (redrive.state, redrive.done, redrive.canary_size) == ("finished", 3, 0)
    answered = FailedJob.objects.filter(state="discarded", reason="flood of test data")
    assert answered.count() == len(letters)
    assert AuditEvent.objects.filter(action="job.discarded").count() == 3


def test_redrive__beside_an_operator__leaves_his_answers_alone(executor: Executor) -> None:
    # D-03
    letters = make_letters(4)
    redrive = ask()
    requeue(failed_job_id=letters[0].id, actor="user:bob")
    discard(failed_job_id=letters[3].id, actor="user:bob", reason="known")

    run(executor, redrive)

    assert (redrive.state, redrive.size, redrive.done, redrive.refused) == ("finished", 4, 2, 0)
    assert AuditEvent.objects.filter(action="job.requeued").count() == 3


def test_redrive__of_letters_that_cannot_be_requeued__leaves_them_open_and_says_why(
    executor: Executor,
) -> None:
    # D-03
    make_letters(2, payload={"action": "explode"})
    make_letters(1, kind="jobs.gone")
    good = make_letters(2)
    redrive = ask()

    run(executor, redrive)

    assert (redrive.state, redrive.done, redrive.refused) == ("finished", len(good), 3)
    reasons: dict[str, int] = redrive.refusals
    assert sorted(reasons.values()) == [1, 2]
    assert any("action" in reason for reason in reasons)
    assert any("jobs.gone" in reason for reason in reasons)
    assert states() == {"open": 3, "requeued": 2}


def test_redrive__of_kinds_with_a_say__answers_each_in_a_transaction_of_its_own(
    executor: Executor,
) -> None:
    # D-03: what `on_requeue` locks comes before jobs in the lock order.
    for number in range(4):
        mortal(executor, key=f"m{number}", refuse_requeue=number == 2, lives_from_attempt=2)
    redrive = ask()

    run(executor, redrive)

    assert (redrive.state, redrive.done, redrive.refused) == ("finished", 3, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT xmin::text) FROM jobs_failedjob WHERE state = 'requeued'"
        )
        assert cursor.fetchone() == (3,)
    rose = Effect.objects.filter(key__endswith=":on_requeue").values_list("key", flat=True)
    assert sorted(rose) == ["m0:on_requeue", "m1:on_requeue", "m3:on_requeue"]


def test_batch__whose_audit_event_cannot_be_written__leaves_nothing_behind(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-06
    make_letters(5)
    redrive = ask()
    asked = 0

    def refuse(**_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise RuntimeError("audit is full")

    signals.requeued.connect(refuse)
    try:
        run(executor, redrive)
    finally:
        signals.requeued.disconnect(refuse)
    assert (redrive.state, redrive.done, redrive.at_id) == ("running", 0, None)
    assert states() == {"open": 5}

    run(executor, redrive)

    assert (redrive.state, redrive.done) == ("finished", 5)
    assert AuditEvent.objects.filter(action="job.requeued").count() == 5


def test_redrive__whose_letter_is_locked_by_another__waits_and_goes_on(executor: Executor) -> None:
    # D-03: a lock timeout is no failure of the redrive.
    letters = make_letters(2)
    redrive = ask()
    with transaction.atomic():
        FailedJob.objects.select_for_update().get(id=letters[0].id)
        running = begin(executor, redrive)
        time.sleep(3.5)
    running.join()

    redrive.refresh_from_db()
    assert (redrive.state, redrive.done) == ("finished", 2)
    assert set(job_of(redrive).attempt_set.values_list("outcome", flat=True)) == {"succeeded"}


def test_redrive__longer_than_a_slice__gives_its_slot_back_and_goes_on(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-07, W-08
    monkeypatch.setattr("jobs.services.redrives.run.SLICE_S", 0.4)
    make_letters(10)
    redrive = ask(rate_per_s=10.0)

    slices = 0
    while not is_over(redrive):
        run(executor, redrive)
        slices += 1

    assert slices >= 2
    assert (redrive.state, redrive.done) == ("finished", 10)
    outcomes = Counter(job_of(redrive).attempt_set.values_list("outcome", flat=True))
    assert outcomes == {"snoozed": slices - 1, "succeeded": 1}
    assert job_of(redrive).failures == 0


# --- Canaries and returns ---


def test_canaries__go_first_and_alone_until_they_have_ended(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-07
    monkeypatch.setattr("jobs.services.redrives.run.SLICE_S", 0.5)
    make_letters(9)
    redrive = ask(canary_size=3, canary_wait_s=600.0)

    run_on(executor, redrive, has_sent_canaries)
    run(executor, redrive)
    assert (redrive.state, redrive.done, len(redrive.canary_jobs)) == ("running", 3, 3)
    assert redrive.canary_passed_at is None
    for job_id in redrive.canary_jobs:
        assert executor.run(job_id)
    run_on(executor, redrive, is_over)

    assert redrive.canary_passed_at is not None
    assert (redrive.state, redrive.done, redrive.returned) == ("finished", 9, 0)


def test_canaries__that_do_not_end_in_time__stop_it(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-07
    monkeypatch.setattr("jobs.services.redrives.run.LOOK_S", 0.2)
    make_letters(5)
    redrive = ask(canary_size=2, canary_wait_s=1.0)

    run(executor, redrive)

    assert (redrive.state, redrive.done, redrive.ended_by) == ("stopped", 2, "")
    assert "canaries" in redrive.note
    assert AuditEvent.objects.get(action="redrive.stopped").data["note"] == redrive.note


@pytest.mark.parametrize(("returns_max", "state"), [(0, "stopped"), (1, "finished")])
def test_redrive__whose_letters_come_back_with_the_same_cause__stops(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, returns_max: int, state: str
) -> None:
    # D-07
    monkeypatch.setattr("jobs.services.redrives.run.SLICE_S", 0.5)
    mortal(executor, key="dies again")
    for number in range(4):
        mortal(executor, key=f"lives {number}", lives_from_attempt=2)
    redrive = ask(canary_size=2, canary_wait_s=600.0, returns_max=returns_max)

    run_on(executor, redrive, has_sent_canaries)
    for job_id in redrive.canary_jobs:
        assert executor.run(job_id)
    run_on(executor, redrive, is_over)

    assert (redrive.state, redrive.returned) == (state, 1)
    assert redrive.done == (2 if state == "stopped" else 5)
    again = FailedJob.objects.filter(payload__key="dies again").order_by("id")
    assert [letter.state for letter in again] == ["requeued", "open"]


def test_redrive__whose_job_dies__is_stopped_with_it(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-07
    make_letters(2)
    redrive = ask()

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("jobs.services.redrives.run._answer", broken)
    for _ in range(6):
        run(executor, redrive)

    assert redrive.state == "stopped"
    assert redrive.note == "its job died: RuntimeError: a defect"
    letters = FailedJob.objects.filter(state="open")
    assert letters.filter(job=job_of(redrive)).count() == 1
    assert letters.exclude(job=job_of(redrive)).count() == 2


# --- The dry run ---


@pytest.mark.django_db
def test_dry_run__of_a_filter__says_how_many_and_why_not_the_others() -> None:
    # D-07
    make_letters(3)
    make_letters(2, payload={"action": "explode"})
    make_letters(1, kind="drills.mortal", payload={"key": "m"})
    make_letter(state="discarded", resolved_at=Now(), resolved_by="user:bob", reason="known")
    before = Counter(FailedJob.objects.values_list("id", "state"))

    retried = rehearse(wanted=LetterFilter(state=""), action=RedriveAction.REQUEUE)
    dropped = rehearse(wanted=LetterFilter(), action=DISCARD)

    assert (retried.matched, retried.eligible, retried.asked_later) == (7, 4, 1)
    assert retried.is_exact
    assert retried.refused["already discarded"] == 1
    assert sorted(retried.refused.values()) == [1, 2]
    assert (dropped.matched, dropped.eligible, dropped.refused) == (6, 6, {})
    assert Counter(FailedJob.objects.values_list("id", "state")) == before


@pytest.mark.django_db
def test_dry_run__of_more_than_it_looks_at__says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # D-07
    monkeypatch.setattr("jobs.selectors.redrives.REHEARSED_MAX", 2)
    make_letters(5)

    told = rehearse(wanted=LetterFilter(), action=RedriveAction.REQUEUE)

    assert (told.matched, told.waiting, told.looked_at, told.eligible) == (5, 5, 2, 2)
    assert not told.is_exact


# --- What a filter means ---


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (LetterFilter(kind="jobs.probe"), "ab"),
        (LetterFilter(error_class="builtins.KeyError"), "b"),
        (LetterFilter(fields=(("note", "7"),)), "a"),
        (LetterFilter(fields=(("count", "7"),)), "b"),
        (LetterFilter(fields=(("count", "7"), ("note", "x"))), "b"),
        (LetterFilter(fields=(("missing", "null"),)), ""),
        (LetterFilter(text="DEVICE space"), "a"),
        (LetterFilter(text="dev"), ""),
        (LetterFilter(died_since=None, state="requeued"), ""),
    ],
)
def test_filter__matches_what_it_says(wanted: LetterFilter, found: str) -> None:
    # D-02
    letters = {
        make_letter(payload={"note": "7"}).id: "a",
        make_letter(
            payload={"note": "x", "count": 7},
            error_class="builtins.KeyError",
            message="no such key",
        ).id: "b",
    }

    for each in (wanted, from_json(to_json(wanted))):
        assert "".join(sorted(letters[letter.id] for letter in matching(each))) == found


@pytest.mark.django_db
def test_filter__by_time__takes_the_first_moment_and_leaves_the_last() -> None:
    # D-02
    letters = make_letters(3)
    first, last = letters[0].died_at, letters[2].died_at
    wanted = LetterFilter(died_since=first, died_until=last)

    assert from_json(to_json(wanted)) == wanted
    assert {letter.id for letter in matching(wanted)} == {letters[0].id, letters[1].id}
    assert not matching(LetterFilter(fields=(("note", "\x00"),), text="\x00x")).exists()
    for wrong in ({"colour": "red"}, {"queue": 7}, {"text": "\x00"}, {"fields": [["a", 1]]}):
        with pytest.raises(ValueError, match="filter of dead letters"):
            from_json(wrong)
    assert not matching(LetterFilter(died_since=last + timedelta(seconds=1))).exists()
