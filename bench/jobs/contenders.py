"""Who is measured, how each is started, and what each guarantees."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field, replace
from typing import Final

KINDS: Final = ("noop", "durable")


@dataclass(frozen=True, slots=True)
class Contender:
    """One queue in one configuration, at two worker processes.

    `client` and `workers` are commands; their first word is looked up in the contender's own
    environment. `jobs` is how many a drain takes, of either kind: enough for a second or more.
    """

    name: str
    label: str
    environment: str
    client: str
    workers: tuple[str, ...]
    jobs: dict[str, int]
    row: str = "no"
    kill: str = "no"
    wipe: str = "no"
    settings: str = ""
    env: dict[str, str] = field(default_factory=dict)
    support: tuple[str, ...] = ()
    quick: bool = False
    enqueues: dict[str, int] = field(default_factory=lambda: {"one": 1000, "bulk": 10000})

    @property
    def is_ours(self) -> bool:
        """Whether its jobs are rows of ours."""
        return self.environment == "ours"

    @property
    def is_peer(self) -> bool:
        """Whether it is somebody else's queue."""
        return self.environment not in ("ours", "floor")


PYTHON: Final = shlex.quote(sys.executable)
WORKER: Final = f"{PYTHON} manage.py rqworker flagship:usage"
SCHEDULER: Final = f"{PYTHON} manage.py rqscheduler"
CELERY: Final = (
    "celery -A celery_peer worker -P prefork -c 2 -l ERROR --without-gossip --without-mingle"
)


def _ours(shape: str, label: str, noop: int, durable: int) -> Contender:
    return Contender(
        name=shape,
        label=f"FlagShip, {label}",
        environment="ours",
        client=f"{PYTHON} -m bench.jobs.ours {shape}",
        workers=(WORKER, WORKER),
        support=(SCHEDULER,),
        jobs={"noop": noop, "durable": durable},
        row="yes, with every attempt",
        kill="yes",
        wipe="yes",
        settings="as shipped; `rqscheduler` runs beside",
        quick=True,
    )


CONTENDERS: Final[tuple[Contender, ...]] = (
    _ours("stepwise", "stepwise", 3000, 2500),
    _ours("transactional", "transactional", 6000, 12000),
    replace(
        _ours("transactional_waiting", "transactional, each write waited for", 0, 12000),
        jobs={"durable": 12000},
    ),
    _ours("batch", "batch of up to 100", 20000, 16000),
    Contender(
        name="floor",
        label="bare psycopg, no queue",
        environment="floor",
        client="",
        workers=tuple(f"{PYTHON} -m bench.jobs.floor {index} 2" for index in range(2)),
        jobs={"durable": 12000},
        settings="2 processes of 4 threads, a kept connection each",
        quick=True,
    ),
    Contender(
        name="oban",
        label="Oban for Python",
        environment="oban",
        client="python oban_peer.py",
        workers=("python oban_peer.py worker",) * 2,
        jobs={"noop": 6000, "durable": 12000},
        row="yes",
        kill="yes, after its lifeline",
        wipe="yes (no broker)",
        settings="a limit of 100 a process, uvloop and orjson as its command has, pool of 10",
        quick=True,
    ),
    Contender(
        name="procrastinate",
        label="Procrastinate",
        environment="procrastinate",
        client="python procrastinate_peer.py",
        workers=(("procrastinate --app procrastinate_peer.app worker --concurrency 10"),) * 2,
        jobs={"noop": 1000, "durable": 1000},
        row="yes",
        kill="row stays; a periodic task of your own retries it",
        wipe="yes (no broker)",
        settings="asynchronous tasks, concurrency 10 a process, pool of 12",
    ),
    Contender(
        name="celery",
        label="Celery",
        environment="celery",
        client="python celery_peer.py",
        workers=(CELERY,),
        jobs={"noop": 2000, "durable": 3000},
        settings="prefork of 2, early acknowledgement, results ignored, prefetch 64",
        quick=True,
    ),
    Contender(
        name="celery_results",
        label="Celery + django-celery-results",
        environment="celery",
        client="python celery_peer.py",
        workers=(CELERY,),
        jobs={"noop": 500, "durable": 500},
        row="of its result only",
        kill="yes, after an hour (visibility timeout)",
        settings="prefork of 2, late acknowledgement, reject on lost worker, tracked, extended",
        env={"BENCH_RESULTS": "1"},
    ),
    Contender(
        name="dramatiq",
        label="Dramatiq",
        environment="dramatiq",
        client="python dramatiq_peer.py",
        workers=(("dramatiq dramatiq_peer --processes 2 --threads 8"),),
        jobs={"noop": 6000, "durable": 3000},
        kill="yes, by chance-driven maintenance after a minute",
        settings="2 processes of 8 threads",
    ),
    Contender(
        name="huey",
        label="Huey",
        environment="huey",
        client="python huey_peer.py",
        workers=(("huey_consumer huey_peer.huey -w 4 -k thread -n -q"),) * 2,
        jobs={"noop": 6000, "durable": 3000},
        settings="2 consumers of 4 threads, results off, blocking pop",
    ),
    Contender(
        name="bullmq",
        label="BullMQ (Node)",
        environment="bullmq",
        client="node bullmq_peer.mjs",
        workers=("node bullmq_peer.mjs worker",) * 2,
        jobs={"noop": 16000, "durable": 5000},
        kill="yes, after a minute (stalled check)",
        settings="concurrency 100 a process, pool of 10, removed on completion",
    ),
    Contender(
        name="rq_fork",
        label="rq, Worker (fork)",
        environment="rq",
        client="python rq_peer.py",
        workers=("python rq_peer.py worker fork",),
        jobs={"noop": 150, "durable": 120},
        kill="to the failed registry after ten minutes",
        settings="WorkerPool of 2, modules imported before the fork",
        quick=True,
    ),
    Contender(
        name="rq_simple",
        label="rq, SimpleWorker",
        environment="rq",
        client="python rq_peer.py",
        workers=("python rq_peer.py worker simple",),
        jobs={"noop": 700, "durable": 500},
        kill="to the failed registry after ten minutes",
        settings="WorkerPool of 2",
        quick=True,
    ),
)

BY_NAME: Final = {contender.name: contender for contender in CONTENDERS}
