"""Random operations on one project's builds, each also made on the model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from builds.models import Build, BuildEvent, BuildTransition, Project
from builds.services.batch import BatchItem, create_batch
from builds.services.cancel import cancel_build
from builds.services.moves import fail_build, mark_deployed, start_build
from builds.services.projects import ProjectChange, update_project
from builds.services.replay import replay_build
from builds.services.submit import BuildOrder, create_build, rebuild
from credits.models import Entry
from credits.selectors import get_funds
from credits.services import grant_credits
from jobs.context import JobContext
from jobs.errors import JobCancelled, LeaseLost
from jobs.models import Job
from jobs.services import endings
from jobs.services.claim import Lease, claim
from jobs.services.release import release
from jobs.worker.run import Run
from tests.factories import make_account, make_project, make_source
from tests.histories.both import both
from tests.histories.builds_model import BuildModel, ProjectModel, price
from tests.histories.ledger_model import Refused
from tests.histories.play import NOTHING, Violation, expect
from tests.integration.builds.runs import artifact, lose_lease

FIRST_GRANT = 20
WAITING = ("pending", "queued", "retry_wait")
CLOSED = {"deployed": ["commit"], "failed": ["release"], "cancelled": ["release"]}


class BuildHistory:
    """One project of an organization of its own, with few credits."""

    RULES: ClassVar[Mapping[str, int]] = {
        "grant": 2,
        "submit": 12,
        "batch": 3,
        "rebuild": 3,
        "start": 12,
        "deploy": 8,
        "fail": 3,
        "die": 2,
        "lose": 3,
        "write_late": 3,
        "cancel": 6,
        "confirm": 4,
        "limit": 4,
        "newest_wins": 2,
        "replay": 2,
    }

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._organization = make_account(credits=FIRST_GRANT)
        self._project = make_project(self._organization)
        self._order = BuildOrder(self._project.id, make_source(self._project).id)
        self._model = ProjectModel(balance=FIRST_GRANT)
        self._contexts: dict[Any, JobContext] = {}
        self._late: list[tuple[BuildModel, JobContext]] = []
        self._grants = 0

    # --- rules ----------------------------------------------------------------------------------

    def grant(self) -> str:
        """Give credits."""
        amount, self._grants = self._chance.randint(1, 12), self._grants + 1
        self._model.grant(amount)
        grant_credits(
            organization_id=self._organization,
            amount_credits=amount,
            reason="history",
            actor="test",
            reference=f"grant-{self._grants}",
        )
        return f"done {amount}"

    def submit(self) -> str:
        """Submit a build, with a key that is new, was used, or with none."""
        builder = self._chance.choice(["static", "static", "mkdocs"])
        key = self._chance.choice(["", f"key-{self._chance.randint(1, 12)}"])
        order = BuildOrder(self._order.project_id, self._order.source_id, builder)

        def act() -> None:
            model, build = both(
                lambda: self._model.submit(builder, key),
                lambda: create_build(
                    organization_id=self._organization,
                    order=order,
                    actor="test",
                    idempotency_key=key,
                ),
            )
            model.id = build.id

        return _do(act, builder, key)

    def batch(self) -> str:
        """Submit several at once."""
        count = self._chance.randint(1, 3)

        def act() -> None:
            models, placed = both(
                lambda: self._model.batch(count),
                lambda: create_batch(
                    organization_id=self._organization,
                    items=[BatchItem(self._order)] * count,
                    actor="test",
                    idempotency_key=f"batch-{self._chance.random()}",
                ),
            )
            for model, item in zip(models, placed, strict=True):
                model.id = item.build.id

        return _do(act, count)

    def rebuild(self) -> str:
        """Do a build again that has ended, or try it with one that has not."""

        def act(original: BuildModel) -> None:
            model, build = both(
                lambda: self._model.rebuild(original),
                lambda: rebuild(**self._named(original), actor="test"),
            )
            model.id = build.id

        return self._on(act, lambda build: True)

    def start(self) -> str:
        """Let a worker take a build: its job may have ended, or be another worker's."""

        def act(build: BuildModel) -> None:
            claimed = claim(job_id=self._row(build).job_id, worker="test", lease_s=600)
            expect(claimed is not None, self._model.start(build), "claimed")
            if claimed is not None:
                self._contexts[build.id] = context = Run(claimed).context()
                started = start_build(build_id=_id(build), context=context)
                expect(started and started.state, "building", "started")

        return self._on(act, lambda build: build.job in ("waiting", "lost"), 0.15)

    def deploy(self) -> str:
        """Publish, for what was held, or more; what cannot be paid for fails, as a run does it."""
        duration_s = self._chance.choice([0.5, 9.0, 35.0, 70.0])
        size_bytes = self._chance.choice([1000, 2_500_000])

        def act(build: BuildModel) -> None:
            try:
                charged, deployed = both(
                    lambda: self._model.deploy(build, price(duration_s, size_bytes)),
                    lambda: mark_deployed(
                        build_id=_id(build),
                        artifact=artifact(size_bytes),
                        duration_s=duration_s,
                        context=self._contexts[build.id],
                    ),
                )
            except Refused:
                self._fail(build, self._contexts[build.id])
                raise
            expect(deployed.charged_credits, charged, "charge")

        return self._on(act, lambda build: build.job == "running")

    def fail(self) -> str:
        """Fail what is being built, or try it with what has ended."""
        return self._on(
            lambda build: self._fail(build, self._contexts[build.id]),
            lambda build: (
                build.job == "running" or (build.id in self._contexts and not build.is_active)
            ),
        )

    def die(self) -> str:
        """Let the job of a build die under its worker."""

        def act(build: BuildModel) -> None:
            self._model.die(build)
            release(
                lease=self._lease(build), ending=endings.failed(OSError("disk"), permanent=True)
            )

        return self._on(act, lambda build: build.job == "running")

    def lose(self) -> str:
        """Lose the worker of a build; it may still be writing, somewhere."""

        def act(build: BuildModel) -> None:
            lose_lease(self._row(build))
            self._model.lose(build)
            self._late.append((build, self._contexts[build.id]))

        return self._on(act, lambda build: build.job == "running" and not build.is_cancel_asked)

    def write_late(self) -> str:
        """Let a worker that lost its lease go on: nothing it writes counts."""
        if not self._late:
            return NOTHING
        build, context = self._chance.choice(self._late)
        write: Callable[[], Any] = self._chance.choice(
            [
                lambda: mark_deployed(
                    build_id=_id(build), artifact=artifact(), duration_s=0.5, context=context
                ),
                lambda: fail_build(build_id=_id(build), code="X", message="", context=context),
            ]
        )
        try:
            if build.is_active:
                write()
                raise Violation("a worker without a lease has written")
            return _do(lambda: both(lambda: self._model.fail(build, ""), write))
        except LeaseLost:
            return "LeaseLost"

    def cancel(self) -> str:
        """Cancel any build."""

        def act(build: BuildModel) -> None:
            state, cancelled = both(
                lambda: self._model.cancel(build),
                lambda: cancel_build(**self._named(build), actor="test"),
            )
            expect(cancelled.state, state, "state after the cancel")

        return self._on(act, lambda build: build.is_active, 0.2)

    def confirm(self) -> str:
        """Let the worker stop that was asked to."""

        def act(build: BuildModel) -> None:
            self._model.confirm(build)
            release(lease=self._lease(build), ending=endings.cancelled(JobCancelled("asked")))

        return self._on(act, lambda build: build.job == "running" and build.is_cancel_asked)

    def limit(self) -> str:
        """Raise or lower how many may be active."""
        most = self._chance.randint(1, 4)
        change = ProjectChange(max_active=most)
        return _do(lambda: both(lambda: self._model.limit(most), lambda: self._change(change)))

    def newest_wins(self) -> str:
        """Let newer builds take the place of waiting ones, or no longer."""
        self._model.newest_wins = not self._model.newest_wins
        self._change(ProjectChange(newest_wins=self._model.newest_wins))
        return f"done {self._model.newest_wins}"

    def replay(self) -> str:
        """Replay a build: an event, and nothing else."""

        def act(build: BuildModel) -> None:
            plan = replay_build(**self._named(build), actor="test")
            digest = plan.plan_digest
            replay_build(**self._named(build), actor="test", dry_run=False, plan_digest=digest)
            build.events.append("build.replayed")

        return self._on(act, lambda build: True)

    # --- comparing ------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare credits, states, slots and charges."""
        funds = get_funds(organization_id=self._organization)
        expect(
            (funds.balance, funds.reserved), (self._model.balance, self._model.reserved), "funds"
        )
        columns = ("state", "slot", "charged_credits", "superseded_by", "rebuild_of")
        rows = Build.objects.filter(project=self._project).values_list("id", *columns)
        wanted = [
            (build.id, build.state, build.slot, build.charged, *_links(build))
            for build in self._model.builds
        ]
        expect(list(rows.order_by("id")), wanted, "builds")

    def finish(self) -> None:
        """Compare project, jobs, events, moves and what became of each hold."""
        project = Project.objects.get(id=self._project.id)
        found = (project.max_active, project.newest_wins, project.live_build_id)
        live = self._model.live.id if self._model.live else None
        expect(found, (self._model.max_active, self._model.newest_wins, live), "project")
        for model in self._model.builds:
            self._finish(model)

    def _finish(self, model: BuildModel) -> None:
        build = self._row(model)
        events = BuildEvent.objects.filter(build=build).order_by("seq")
        expect(list(events.values_list("name", flat=True)), model.events, "events")
        moves = BuildTransition.objects.filter(build=build)
        told = Counter(move.to_state for move in moves)
        expect(max(told.values()), 1, "moves into one state")
        expect((told["queued"], told[model.state]), (1, 1), "moves")
        job = Job.objects.get(id=build.job_id).state
        if model.job in ("waiting", "lost"):
            expect(job in WAITING, True, f"a waiting job, not {job}")
        else:
            expect(job, model.job, "job")
        closing = Entry.objects.filter(reservation=build.reservation_id).exclude(kind="reserve")
        kinds = list(closing.values_list("kind", flat=True))
        expect(kinds, CLOSED.get(model.state, []), "what closed the hold")

    # --- helpers --------------------------------------------------------------------------------

    def _on(
        self,
        act: Callable[[BuildModel], None],
        fits: Callable[[BuildModel], bool],
        stray: float = 0.0,
    ) -> str:
        """Do it to a build that fits; now and then (`stray`) to any."""
        every = self._model.builds
        fitting = [build for build in every if fits(build)]
        chosen = every if self._chance.random() < stray else fitting
        if not chosen:
            return NOTHING
        build = self._chance.choice(chosen)
        return _do(lambda: act(build), f"{build.state} build {every.index(build)}")

    def _fail(self, build: BuildModel, context: JobContext) -> None:
        both(
            lambda: self._model.fail(build, "succeeded"),
            lambda: fail_build(build_id=_id(build), code="X", message="x", context=context),
        )

    def _change(self, change: ProjectChange) -> Project:
        return update_project(
            organization_id=self._organization,
            project_id=self._project.id,
            change=change,
            actor="test",
        )

    def _named(self, build: BuildModel) -> dict[str, Any]:
        return {"organization_id": self._organization, "build_id": _id(build)}

    def _row(self, build: BuildModel) -> Build:
        return Build.objects.get(id=_id(build))

    def _lease(self, build: BuildModel) -> Lease:
        job = Job.objects.get(id=self._row(build).job_id)
        return Lease(job.id, job.lease_token)


def _do(act: Callable[[], Any], *told: Any) -> str:
    words = " ".join(str(word) for word in told)
    try:
        act()
    except Refused as refused:
        return f"{refused.code} {words}"
    return f"done {words}"


def _id(build: BuildModel) -> Any:
    if build.id is None:
        raise Violation("the model has a build that the system has not made")
    return build.id


def _links(build: BuildModel) -> tuple[Any, Any]:
    newer, original = build.superseded_by, build.rebuild_of
    return (newer.id if newer else None, original.id if original else None)
