"""Credits and builds used all the time while the database goes away; then every answer is audited.

Clients of accounts write down what they heard, as in tests/histories; builders make builds and
move them to an end. Whatever was acknowledged must be there, and nothing else.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any, Self

from django.db import InterfaceError, OperationalError, connection, transaction

from builds.models import Build
from builds.services.cancel import cancel_build
from builds.services.moves import fail_build, mark_deployed, start_build
from builds.services.submit import BuildOrder, create_build
from builds.states import FINAL
from credits.models import Account as AccountRow
from credits.models import Entry
from credits.services import expire_reservations, reconcile
from flagship.errors.idempotency import IdempotencyKeyExpired
from jobs.context import JobContext
from jobs.errors import JobCancelled
from jobs.ids import parse_public_id
from jobs.models import Job
from jobs.services import endings
from jobs.services.claim import Lease
from jobs.services.release import release
from jobs.states import FINISHED, JobState
from tests.factories import make_account, make_project, make_source
from tests.faults.matrix.verdicts import Finding, Sort
from tests.histories.calls import CLIENTS, Account, Client
from tests.histories.witness import problems, read
from tests.integration.builds.runs import artifact, claim_run
from tests.ledger import ledger_problems

ACCOUNTS, BUILDERS = 2, 3
CREDITS = 1_000_000
CLOSED_BY = {"deployed": "commit", "failed": "release", "cancelled": "release"}


class Builder(threading.Thread):
    """Makes a build of a project of its own, moves it on, and begins again.

    `acknowledged` is how far each build has come by what was answered.
    """

    def __init__(self, organization: uuid.UUID, seed: str, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[uuid.UUID, str] = {}
        self.broken: list[BaseException] = []
        self.lost = 0
        self._organization = organization
        self._chance = random.Random(seed)
        self._over = over
        self._project = make_project(organization, max_active=20)
        self._order = BuildOrder(self._project.id, make_source(self._project).id)
        self._key = ""

    def run(self) -> None:
        """Build until it is over. A connection that is lost is a matter of course."""
        try:
            while not self._over.is_set():
                try:
                    self._build()
                except (OperationalError, InterfaceError):
                    self.lost += 1
                    connection.close()
                    self._over.wait(0.05)
        except BaseException as error:
            self.broken.append(error)
        finally:
            connection.close()

    def _build(self) -> None:
        build = self._submit()
        named = {"organization_id": self._organization, "build_id": build.id}
        end = self._chance.choice(["cancelled", "deployed", "deployed", "failed"])
        if end == "cancelled":
            self.acknowledged[build.id] = cancel_build(**named, actor="client").state
            return
        context: JobContext = claim_run(build)
        start_build(build_id=build.id, context=context)
        self.acknowledged[build.id] = "building"
        if end == "failed":
            fail_build(build_id=build.id, code="X", message="x", context=context)
        else:
            size_bytes = self._chance.choice([1000, 3_000_000])
            mark_deployed(
                build_id=build.id, artifact=artifact(size_bytes), duration_s=1.0, context=context
            )
        self.acknowledged[build.id] = end

    def _submit(self) -> Build:
        """Submit a build; where no answer came, submit it again by the same key."""
        self._key = self._key or f"key-{self._chance.random()}"
        try:
            build = create_build(
                organization_id=self._organization,
                order=self._order,
                actor="client",
                idempotency_key=self._key,
            )
        except IdempotencyKeyExpired as known:
            build = Build.objects.get(id=parse_public_id("build", known.data["buildId"]))
        self.acknowledged[build.id] = "queued"
        self._key = ""
        return build


class Books:
    """The load, and what came of it."""

    def __init__(self, name: str) -> None:
        self.over = threading.Event()
        self.accounts = [Account(f"{name}-{n}", shorts=bool(n % 2)) for n in range(ACCOUNTS)]
        self.organization = make_account(credits=CREDITS)
        self.builders = [
            Builder(self.organization, f"{name} {n}", self.over) for n in range(BUILDERS)
        ]
        self._threads: list[threading.Thread] = [*self.builders]
        for account in self.accounts:
            for number in range(CLIENTS // ACCOUNTS):
                work = Client(account, number).work_until
                self._threads.append(threading.Thread(target=work, args=(self.over,), daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(60)

    def acknowledged(self) -> int:
        """Count the answers."""
        heard = sum(call.heard is not None for account in self.accounts for call in account.calls)
        return heard + sum(len(builder.acknowledged) for builder in self.builders)

    def unanswered(self) -> int:
        """Count the calls that nothing was heard of."""
        lost = sum(call.heard is None for account in self.accounts for call in account.calls)
        return lost + sum(builder.lost for builder in self.builders)

    def findings(self) -> list[Finding]:
        """Compare every answer with what is stored, then end what is open and compare the rest."""
        told = [each for account in self.accounts for each in problems(account, read(account))]
        told += [f"no answer: {error!r}" for each in self.builders for error in each.broken]
        told += self._lost_builds()
        while expire_reservations():
            pass
        for build in Build.objects.exclude(state__in=FINAL):
            _end(build)
        told += [*self._crooked_builds(), *drift()]
        return [Finding(_sort_of(each), each) for each in told]

    def _lost_builds(self) -> Iterator[str]:
        states = dict(Build.objects.values_list("id", "state"))
        for builder in self.builders:
            for build_id, state in builder.acknowledged.items():
                found = states.get(build_id)
                # Where an answer was lost the build may be ahead of what was heard, never behind.
                if found not in _onward(state):
                    yield f"build {build_id.hex} was {state} and is {found}: lost"

    def _crooked_builds(self) -> Iterator[str]:
        jobs = dict(Job.objects.values_list("id", "state"))
        closing: dict[Any, Counter[str]] = {}
        for hold, kind in Entry.objects.exclude(kind="reserve").values_list("reservation", "kind"):
            closing.setdefault(hold, Counter())[kind] += 1
        charged = 0
        for build in Build.objects.all():
            charged += build.charged_credits or 0
            closed = closing.get(build.reservation_id)
            if closed != Counter([CLOSED_BY[build.state]]):
                yield f"build {build.id.hex} is {build.state}, its hold closed by {closed}"
            if jobs.pop(build.job_id, None) not in FINISHED:
                yield f"build {build.id.hex} is {build.state}, its job is not at an end"
        if jobs:
            yield f"{len(jobs)} jobs that nobody asked for"
        account = AccountRow.objects.get(organization_id=self.organization)
        if (account.balance, account.reserved) != (CREDITS - charged, 0):
            yield f"{account.balance} and {account.reserved} held, {charged} charged by builds"


def drift() -> list[str]:
    """Prove every account from its entries, in one snapshot, whoever writes meanwhile (P16).

    The reconciler has a look of its own, at what builds were charged too (C-06).
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        found = ledger_problems()
    proved = reconcile()
    return found + ([] if proved.holds else [f"the reconciler: {proved.to_json()}"])


def _onward(state: str) -> tuple[str, ...]:
    """Return where a build may stand that was seen in a state."""
    if state in FINAL:
        return (state,)
    return ("building", *FINAL) if state == "building" else ("queued", "building", *FINAL)


def _end(build: Build) -> None:
    """End a build that was left where an answer was lost, and the run that nobody is left of."""
    cancel_build(organization_id=build.organization_id, build_id=build.id, actor="test")
    job = Job.objects.get(id=build.job_id)
    if job.state == JobState.RUNNING:
        ending = endings.cancelled(JobCancelled("left behind"))
        release(lease=Lease(job.id, job.lease_token), ending=ending)


def _sort_of(what: str) -> Sort:
    if "lost" in what:
        return "lost"
    return "doubled" if "twice" in what or "nobody" in what else "crooked"
