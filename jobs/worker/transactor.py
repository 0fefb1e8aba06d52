"""Runs whose whole work is one transaction: from the row lock to the COMMIT."""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from django.db import transaction

from jobs.clients.postgres import is_followed_up, one_transaction
from jobs.errors import HandedBack, Interrupted, InvalidPayload, LeaseLost, UnknownKind
from jobs.registry import Handler, get_handler
from jobs.services import endings
from jobs.services.claim import Claimed, Lease
from jobs.services.endings import Ending
from jobs.services.release import release
from jobs.services.rescue import deliver_again
from jobs.services.transact import hold, hold_many, settle, settle_many
from jobs.states import Shape
from jobs.trace import Trace, bind_trace
from jobs.worker.database import discard, is_conflict, is_lost, persist
from jobs.worker.execute import Executor, ending_of, item_of, result_of, tell_ending
from jobs.worker.guard import Guard
from jobs.worker.run import HeldRun

logger = logging.getLogger(__name__)

TRIES: Final = 5
BATCH_SIZE: Final = 50
"""So many jobs are held before the size of their kind is known."""
T = TypeVar("T")


class NotDone(Exception):
    """Nothing has happened to the jobs, for no reason of theirs; somebody else shall run them."""


class WrongLetter(Exception):
    """The doorbell's letter is not how the kind is run, since a deployment or by forgery."""


class Undone(Exception):
    """A run ended without success; its transaction is rolled back on the way out."""

    def __init__(self, error: BaseException, *, unreadable: bool = False) -> None:
        self.error = error
        self._unreadable = unreadable
        super().__init__(str(error))

    def ending(self) -> Ending:
        """Say what it means for the job; one that cannot be read is buried, W-03."""
        if self._unreadable:
            return endings.failed(self.error, permanent=True, spent=0)
        return ending_of(self.error)


class Line:
    """Jobs to be run one after the other by one thread; what has ended leaves it at once."""

    def __init__(self, job_ids: Iterable[uuid.UUID]) -> None:
        self.waiting = deque(job_ids)
        self.ran = 0
        self.began_at: datetime | None = None

    def end(self, *, ran: bool) -> None:
        """Count the first as ended, whether or not there was anything to run."""
        self.waiting.popleft()
        self.ran += ran
        self.began_at = None

    def second(self) -> uuid.UUID | None:
        """Return the job behind the first."""
        return self.waiting[1] if len(self.waiting) > 1 else None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many jobs of a batch were run, and which were held but are of another kind."""

    ran: int
    left: list[uuid.UUID]


class Transactor:
    """Runs transactional and batch jobs in the threads that call it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._worker = executor.worker
        self._guards: set[Guard] = set()
        self._batch_size = BATCH_SIZE

    def running(self) -> int:
        """Return how many handlers are being run."""
        return len(self._guards)

    def interrupt(self) -> None:
        """Roll back what runs; the callers are told which jobs were not done."""
        for guard in list(self._guards):
            guard.interrupt(HandedBack("the worker is stopping"))

    def run(self, job_id: uuid.UUID) -> bool:
        """Run one job, if it is there to be run; return whether it was. Raises: NotDone."""
        line = Line([job_id])
        self.run_line(line, lambda: False)
        return line.ran == 1

    def run_line(self, line: Line, stops: Callable[[], bool]) -> None:
        """Run the jobs of a line, those that are there to be run, each in its own transaction.

        The end of one travels with the beginning of the next. No further one is begun once
        `stops` says so. Raises: NotDone; jobs that are still in the line have not been run.
        """
        while line.waiting and not stops():
            try:
                answer = self._try(partial(self._run_line, line, stops), lambda: len(line.waiting))
            except WrongLetter:
                self._ring_rightly([line.waiting[0]])
                line.end(ran=False)
                continue
            if isinstance(answer, Undone):
                self._end(line.waiting[0], answer.ending(), line.began_at)
                line.end(ran=True)

    def run_batch(self, job_ids: Sequence[uuid.UUID]) -> int:
        """Run jobs together, those of one kind in one transaction; return how many were there.

        A batch that fails is tried in halves, so that a job that makes it fail fails alone.
        Raises: NotDone; jobs that are still `queued` have not been run.
        """
        ran = 0
        waiting = [list(job_ids)]
        while waiting:
            ids = waiting.pop()
            if len(ids) > self._batch_size:
                waiting.append(ids[self._batch_size :])
                ids = ids[: self._batch_size]
            try:
                answer = self._try(partial(self._run_batch, ids))
            except WrongLetter:
                self._ring_rightly(ids)
                continue
            if not isinstance(answer, Undone):
                ran += answer.ran
                waiting += [answer.left] if answer.left else []
            elif len(ids) == 1:
                self._end(ids[0], answer.ending())
                ran += 1
            else:
                waiting += [ids[: len(ids) // 2], ids[len(ids) // 2 :]]
        return ran

    def _try(self, attempt: Callable[[], T], left: Callable[[], int] = int) -> T | Undone:
        """Call until it is through; return its answer, or how it was undone.

        A lost connection or a conflict has left nothing behind, so the whole is done again: if a
        COMMIT had got through and only its answer was lost, there is nothing left to run.
        Tries are counted anew whenever less is `left` to do. Raises: NotDone.
        """
        number, before = 0, left()
        while True:
            number, before = number + 1 if left() == before else 1, left()
            try:
                return attempt()
            except Undone as raised:
                undone = raised
            except WrongLetter:
                raise
            except Exception as raised:
                undone = Undone(raised)
            error = undone.error
            if isinstance(error, Interrupted) or is_lost(error):
                discard()
            if isinstance(error, HandedBack) or (is_lost(error) and number == TRIES):
                raise NotDone(str(error)) from error
            if not (is_lost(error) or is_conflict(error)) or number == TRIES:
                return undone
            time.sleep(0.02 * 4**number if is_lost(error) else 0.01 * number)

    def _run_line(self, line: Line, stops: Callable[[], bool]) -> None:
        """Run the first of a line, and those behind it as long as all goes well."""
        with one_transaction():
            held = hold(job_id=line.waiting[0])
            while held is not None:
                line.began_at = held.started_at
                result = self._call(held)
                then = None if stops() or is_followed_up() else line.second()
                held = settle(held=held, worker=self._worker, result=result, then=then)
                line.end(ran=True)
                if then is None:
                    return
        line.end(ran=False)

    def _call(self, held: Claimed) -> str | None:
        """Call the handler of a held job; return its result as JSON text. Raises: Undone."""
        handler = self._read_kind(held, Shape.TRANSACTIONAL)
        payload = self._read(handler, held)
        run = HeldRun(held)
        with bind_trace(Trace(held.request_id, held.correlation_id)):
            call = partial(handler.function, payload, run.context())
            value = self._guarded(run.guard, held.timeout_s, call)
        return result_of(value if run.result is None else run.result)

    def _run_batch(self, ids: Sequence[uuid.UUID]) -> Tally:
        """Run the jobs of the first kind among these."""
        spoilt: list[tuple[uuid.UUID, BaseException]] = []
        with transaction.atomic():
            held = hold_many(job_ids=ids)
            if not held:
                return Tally(0, [])
            kind = held[0].kind
            handler = self._read_kind(held[0], Shape.BATCH)
            # Not more at the next turn than this kind takes: what is held in vain is read in vain.
            self._batch_size = handler.batch_size
            mine = [each for each in held if each.kind == kind][: handler.batch_size]
            items = []
            for each in mine:
                try:
                    items.append(item_of(each, handler.load_json(each.payload)))
                except InvalidPayload as error:
                    spoilt.append((each.job_id, error))
            if items:
                self._guarded(Guard(), handler.timeout_s, partial(handler.function, items))
                good = {item.job_id for item in items}
                good_ones = [each for each in mine if each.job_id in good]
                settle_many(held=good_ones, worker=self._worker)
        for job_id, problem in spoilt:
            self._end(job_id, endings.failed(problem, permanent=True, spent=0))
        done = {each.job_id for each in mine}
        return Tally(len(mine), [each.job_id for each in held if each.job_id not in done])

    def _read(self, handler: Handler, held: Claimed) -> Any:
        try:
            return handler.load_json(held.payload)
        except InvalidPayload as error:
            raise Undone(error, unreadable=True) from None

    def _read_kind(self, held: Claimed, shape: Shape) -> Handler:
        """Return a kind's handler. Raises: Undone; WrongLetter when its shape is another."""
        try:
            handler = get_handler(held.kind)
        except UnknownKind as error:
            raise Undone(error, unreadable=True) from None
        if handler.shape is not shape:
            raise WrongLetter(f"{held.kind} is {handler.shape}")
        return handler

    def _ring_rightly(self, job_ids: Sequence[uuid.UUID]) -> None:
        """Ring anew, by what the rows and their kinds say now; nothing has been run."""
        logger.warning("%d doorbells had the wrong letter and are rung again", len(job_ids))
        deliver_again(job_ids, losses=0)

    def _guarded(self, guard: Guard, timeout_s: float, call: Callable[[], Any]) -> Any:
        """Call the handler, open to interruption. Raises: Undone."""
        self._guards.add(guard)
        try:
            self._executor.watchdog.watch(guard, timeout_s)
            if self._executor.closing:
                guard.interrupt(HandedBack("the worker is stopping"))
            value, error = guard.run(call)
        finally:
            self._guards.discard(guard)
        if error is not None:
            raise Undone(error) from error
        return value

    def _end(self, job_id: uuid.UUID, ending: Ending, began_at: datetime | None = None) -> None:
        """Record a run that left nothing behind: claimed for the record, ended at once."""
        claims = self._executor.claims
        taken = persist(partial(claims.take, [job_id], suspects=True, started_at=began_at))
        for claimed in taken:
            lease = Lease(job_id, claimed.token)
            try:
                state = persist(partial(release, lease=lease, ending=ending))
            except LeaseLost:
                continue
            finally:
                claims.end(claimed)
            tell_ending(claimed, ending, str(state))
