"""What we rely on inside rq, django-rq, rq-scheduler, redis-py, Django and psycopg.

All of them are pinned, and some of what we call or override is nobody's public interface. When a
pin is raised, this says name by name what changed and which module of ours it breaks.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import load_command_class
from django.db import connection, transaction
from django.utils.functional import cached_property
from django_rq.jobs import get_job_class
from django_rq.queues import get_queue_by_index, get_scheduler
from django_rq.workers import get_worker, get_worker_class
from rq.job import Job as RqJob
from rq.queue import Queue as RqQueue
from rq.registry import StartedJobRegistry
from rq.suspension import is_suspended, suspend
from rq.worker.base import BaseWorker
from rq_scheduler.scheduler import Scheduler

from jobs.clients.doorbells import DISPATCHER, Ring, ring, take
from jobs.ids import new_id
from jobs.management.commands import rqscheduler, rqworker
from jobs.queues import MAINTENANCE
from jobs.worker.doorbell import Doorbell
from jobs.worker.scheduler import SweepingScheduler
from jobs.worker.worker import ThreadWorker

ROOT = Path(__file__).resolve().parents[2]
FAMILY = ("rq", "django_rq", "rq_scheduler", "redis")
SUBCLASSES = (ThreadWorker, SweepingScheduler, Doorbell, rqworker.Command, rqscheduler.Command)

# Which of our modules (below jobs/) | what of theirs | what we rely on about it.
CONTRACT = """
worker/worker | rq.worker.base:BaseWorker | class(object)
worker/worker | rq.worker.base:BaseWorker.__init__ | (self, queues, name=None, default_result_ttl=500, connection=None, exception_handlers=None, maintenance_interval=600, default_worker_ttl=None, worker_ttl=None, job_class=None, queue_class=None, log_job_description=True, job_monitoring_interval=30, disable_default_exception_handler=False, prepare_for_work=True, serializer=None, work_horse_killed_handler=None)
worker/worker | rq.worker.base:BaseWorker.work | (self, burst=False, logging_level=None, date_format='%H:%M:%S', log_format='%(asctime)s %(message)s', max_jobs=None, max_idle_time=None, with_scheduler=False, dequeue_strategy=<DequeueStrategy.DEFAULT: 'default'>)
worker/worker | rq.worker.base:BaseWorker.handle_payload | (self, message)
worker/worker | rq.worker.base:BaseWorker.request_stop | (self, signum, frame)
worker/worker | rq.worker.base:BaseWorker._pubsub_exception_handler | (self, exc, pubsub, pubsub_thread)
worker/worker | rq.worker.base:BaseWorker._install_signal_handlers | (self)
worker/worker | rq.worker.base:BaseWorker._stop_requested | attribute of instances
worker/worker | rq.worker.base:BaseWorker.bootstrap | (self, logging_level='INFO', date_format='%H:%M:%S', log_format='%(asctime)s %(message)s')
worker/worker | rq.worker.base:BaseWorker.connection | attribute of instances
worker/worker | rq.worker.base:BaseWorker.name | attribute of instances
worker/worker | rq.worker.base:BaseWorker.queues | attribute of instances
worker/worker | rq.worker.base:BaseWorker.queue_names | (self)
worker/worker | rq.worker.base:BaseWorker.key | property
worker/worker | rq.worker.base:BaseWorker.heartbeat | (self, timeout=None, pipeline=None)
worker/worker | rq.worker.base:BaseWorker.register_birth | (self)
worker/worker | rq.worker.base:BaseWorker.set_state | (self, state, pipeline=None)
worker/worker | rq.worker.base:BaseWorker.teardown | (self)
worker/worker | rq.worker.base:WorkerStatus.IDLE | <WorkerStatus.IDLE: 'idle'>
worker/worker | rq.worker.base:WorkerStatus.BUSY | <WorkerStatus.BUSY: 'busy'>
worker/worker | rq.worker_registration:clean_worker_registry | (queue)
worker/worker | rq.command:parse_payload | (payload)
worker/worker worker/doorbell | rq.serializers:JSONSerializer.dumps | staticmethod(*args, **kwargs)
worker/worker worker/doorbell | rq.serializers:JSONSerializer.loads | staticmethod(s, *args, **kwargs)
worker/worker clients/redis clients/wakes | redis.retry:Retry.__init__ | (self, backoff, retries, supported_errors=(<class 'redis.exceptions.ConnectionError'>, <class 'redis.exceptions.TimeoutError'>, <class 'TimeoutError'>))
worker/worker clients/redis clients/wakes | redis.backoff:NoBackoff | class(ConstantBackoff)
worker/worker | redis:Redis.set_retry | (self, retry)
worker/worker worker/bells worker/scheduler services/publisher services/sweep services/telemetry clients/wakes management/commands/rebuild_queues | redis.exceptions:RedisError | class(Exception)
clients/doorbells | redis.exceptions:NoScriptError | class(ResponseError)
clients/doorbells | redis:Redis.register_script | (self, script)
clients/doorbells | redis:Redis.evalsha | (self, sha, numkeys, *keys_and_args)
clients/doorbells clients/inventory | redis:Redis.eval | (self, script, numkeys, *keys_and_args)
clients/doorbells | redis:Redis.blpop | (self, keys, timeout=0)
clients/redis clients/wakes worker/bells worker/dispatch worker/doorbell | redis:Redis.from_url | classmethod(cls, url, **kwargs)
clients/wakes | redis.client:PubSub.get_message | (self, ignore_subscribe_messages=False, timeout=0.0)
worker/doorbell | rq.job:Job | class(object)
worker/doorbell | rq.job:Job.__init__ | (self, id=None, connection=None, serializer=None)
worker/doorbell | rq.job:Job.func_name | property, settable
worker/doorbell | rq.job:Job.instance | property, settable
worker/doorbell | rq.job:Job.args | property, settable
worker/doorbell | rq.job:Job.kwargs | property, settable
worker/doorbell | rq.utils:import_attribute | (name)
worker/doorbell | rq:serializers | module
clients/doorbells clients/inventory | rq.job:Job.redis_job_namespace_prefix | 'rq:job:'
services/rebuild | redis.exceptions:TimeoutError | class(RedisError)
clients/inventory | redis.exceptions:NoPermissionError | class(ResponseError)
clients/inventory | redis:Redis.info | (self, section=None, *args, **kwargs)
clients/doorbells | rq.queue:Queue.redis_queue_namespace_prefix | 'rq:queue:'
clients/doorbells | rq.queue:Queue.redis_queues_keys | 'rq:queues'
clients/doorbells | rq.suspension:WORKERS_SUSPENDED | 'rq:suspended'
clients/doorbells | rq.utils:utcformat | (dt)
worker/scheduler | django_rq.queues:DjangoScheduler | class(Scheduler)
worker/scheduler | rq_scheduler.scheduler:Scheduler.__init__ | (self, queue_name='default', queue=None, interval=60, connection=None, job_class=None, queue_class=None, name=None)
worker/scheduler | rq_scheduler.scheduler:Scheduler.run | (self, burst=False)
worker/scheduler | rq_scheduler.scheduler:Scheduler._install_signal_handlers | (self)
worker/scheduler | rq_scheduler.scheduler:Scheduler.key | property
worker/scheduler | rq_scheduler.scheduler:Scheduler.connection | attribute of instances
worker/scheduler | rq_scheduler.scheduler:Scheduler._interval | attribute of instances
management/commands/rqscheduler | django_rq.management.commands:rqscheduler | module
management/commands/rqscheduler | django_rq.management.commands.rqscheduler:Command.help | '\\n    Runs RQ scheduler\\n    '
management/commands/rqworker | django_rq.management.commands:rqworker | module
management/commands/rqworker | django_rq.management.commands.rqworker:Command.handle | (self, *args, **options)
management/commands/rqworker | django_rq.management.commands.rqworker:Command.help | ''
clients/postgres | django.db.backends.base.base:BaseDatabaseWrapper.wrap_database_errors | cached property
clients/postgres | django.db.backends.base.base:BaseDatabaseWrapper.validate_no_broken_transaction | (self)
services/publisher | django.db.backends.base.base:BaseDatabaseWrapper.on_commit | (self, func, robust=False)
services/publisher | django.db.backends.base.base:BaseDatabaseWrapper.run_on_commit | attribute of instances
services/publisher | django.db.backends.base.base:BaseDatabaseWrapper.savepoint_ids | attribute of instances
worker/database | django.db.backends.postgresql.base:DatabaseWrapper.get_connection_params | (self)
worker/database | django.db.backends.postgresql.base:DatabaseWrapper.close_pool | (self)
worker/database | django.db.utils:ConnectionHandler.settings | cached property
worker/database | django.db.utils:ConnectionHandler.__delitem__ | (self, key)
worker/database | psycopg_pool:PoolTimeout | class(OperationalError)
worker/database | psycopg_pool:ConnectionPool.putconn | (self, conn)
clients/postgres | psycopg:Cursor.execute | (self, query, params=None, prepare=None, binary=None)
clients/postgres | psycopg.errors:error_from_result | (result, encoding='utf-8')
clients/postgres | psycopg.pq.abc:PGconn.exec_ | (self, command)
clients/postgres | psycopg.pq.abc:Escaping.escape_literal | (self, data)
clients/postgres | psycopg.pq:ExecStatus.TUPLES_OK | <ExecStatus.TUPLES_OK: 2>
clients/postgres | psycopg.pq:ExecStatus.COMMAND_OK | <ExecStatus.COMMAND_OK: 1>
"""  # noqa: E501

# What `harden`, or the test suite, replaces: as it is in a process that has called neither.
HARDENED = """
rq.job:Job.func | property
rq.job:Job.success_callback | property
rq.job:Job.failure_callback | property
rq.job:Job.stopped_callback | property
rq.job:Job.send_webhooks | (self, status, exc_string=None)
rq.serializers:DefaultSerializer.dumps | callable
rq.serializers:DefaultSerializer.loads | callable
rq.serializers:resolve_serializer | (serializer=None)
django.db.backends.base.base:BaseDatabaseWrapper.ensure_connection | (self)
"""


def table(text: str) -> list[list[str]]:
    """Split a table into its cells."""
    return [[cell.strip() for cell in row.split(" | ")] for row in text.strip().splitlines()]


RELIANCES = [(ours.split(), theirs, fact) for ours, theirs, fact in table(CONTRACT)]


def look_up(theirs: str) -> Any:
    """Find `module:name.attribute` without running a descriptor."""
    module, _, path = theirs.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        try:
            found = inspect.getattr_static(found, name)
        except AttributeError:
            if not (inspect.isclass(found) and is_set_on_instances(found, name)):
                raise
            return Ellipsis
    return found


def is_set_on_instances(cls: type, name: str) -> bool:
    """Tell whether a class assigns `self.name`."""
    source = "".join(inspect.getsource(base) for base in cls.__mro__ if base is not object)
    return re.search(rf"\bself\.{name}(: [^=\n]+)? = ", source) is not None


def describe(found: Any) -> str:
    """Say what can be relied on: parameters and defaults, a value, a base class."""
    if found is Ellipsis:
        return "attribute of instances"
    if isinstance(found, property):
        return "property" if found.fset is None else "property, settable"
    if isinstance(found, cached_property):
        return "cached property"
    kind = type(found).__name__ if isinstance(found, staticmethod | classmethod) else ""
    function = found.__func__ if kind else found
    function = inspect.unwrap(function) if callable(function) else function
    if inspect.isclass(function):
        return f"class({', '.join(base.__name__ for base in function.__bases__)})"
    if inspect.isfunction(function):
        parameters = inspect.signature(function).parameters.values()
        text = ", ".join(str(each.replace(annotation=each.empty)) for each in parameters)
        return f"{kind}({text})"
    if inspect.ismodule(function):
        return "module"
    return "callable" if callable(function) else repr(function)


@pytest.mark.parametrize(
    ("ours", "theirs", "fact"), RELIANCES, ids=[theirs for _, theirs, _ in RELIANCES]
)
def test_internals__as_installed__are_as_we_rely_on(
    ours: list[str], theirs: str, fact: str
) -> None:
    try:
        found = describe(look_up(theirs))
    except (ImportError, AttributeError):
        found = "not there"

    assert found == fact, f"{theirs} is {found}, but {', '.join(ours)} rely on {fact}"
    for module in ours:
        assert (ROOT / "jobs" / f"{module}.py").exists(), f"{module} is gone: correct the table"


def test_internals__that_are_replaced__are_there_to_be_replaced() -> None:
    code = """
    import importlib, inspect, json, re, sys
    from django.utils.functional import cached_property
    from typing import Any
    """
    code = textwrap.dedent(code) + "\n".join(
        inspect.getsource(each) for each in (look_up, is_set_on_instances, describe)
    )
    names = [theirs for theirs, _ in table(HARDENED)]
    code += f"\nprint(json.dumps({{name: describe(look_up(name)) for name in {names}}}))"
    done = subprocess.run(
        [sys.executable, "-c", "from __future__ import annotations\n" + code],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout) == dict(table(HARDENED))


def imports() -> Iterator[tuple[str, str]]:
    """Yield (module of ours, `their.module:name`) for each import of the family in jobs/."""
    for path in sorted((ROOT / "jobs").rglob("*.py")):
        module = str(path.relative_to(ROOT / "jobs").with_suffix(""))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.partition(".")[0] in FAMILY:
                        yield module, f"{alias.name}:"
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FAMILY:
                for alias in node.names:
                    yield module, f"{node.module}:{alias.name}"


def test_table__against_our_imports__leaves_none_out() -> None:
    told = {(module, theirs) for ours, theirs, _ in RELIANCES for module in ours}
    missing = [
        (module, name)
        for module, name in imports()
        if not any(
            module == known and (theirs == name or theirs.startswith((f"{name}.", f"{name}:")))
            for known, theirs in told
        )
    ]

    assert missing == []
    assert len(list(imports())) > 20


@pytest.mark.parametrize("cls", SUBCLASSES)
def test_table__against_what_we_override_and_inherit__leaves_none_out(cls: type) -> None:
    known = {theirs.rpartition(".")[2] for _, theirs, _ in RELIANCES}
    theirs = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in FAMILY]
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    used = {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }
    overridden = {name for name in vars(cls) if any(name in vars(base) for base in theirs)}
    inherited = {
        name
        for name in used - vars(cls).keys()
        if any(name in vars(base) or is_set_on_instances(base, name) for base in theirs)
    }

    ignored = {"__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__"}
    assert (overridden | inherited) - known - ignored == set()
    assert overridden, "a subclass that overrides nothing?"


# --- What cannot be read off a name: how they behave together --------------------------------


def test_django_rq__takes_our_classes__from_its_settings(valkey: redis.Redis) -> None:
    assert get_worker_class() is ThreadWorker  # type: ignore[no-untyped-call]
    assert get_job_class() is Doorbell
    scheduler = get_scheduler("default", interval=60)
    assert type(scheduler) is SweepingScheduler
    assert isinstance(scheduler, Scheduler)
    worker: Any = get_worker(
        MAINTENANCE, serializer="rq.serializers.DefaultSerializer", worker_ttl=420
    )
    assert type(worker) is ThreadWorker
    assert isinstance(worker, BaseWorker)
    assert worker.job_class is Doorbell
    assert get_queue_by_index(1).connection is not None


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (
            "rqworker",
            "--worker-class --pid --burst --with-scheduler --name --queue-class --job-class"
            " --worker-ttl --max-jobs --max-idle-time --serializer",
        ),
        ("rqscheduler", "--pid --interval --queue"),
    ],
)
def test_commands__of_django_rq__have_the_options_we_answer(command: str, options: str) -> None:
    app = "jobs" if (ROOT / f"jobs/management/commands/{command}.py").exists() else "django_rq"
    found = load_command_class(app, command).create_parser("manage.py", command)

    assert set(options.split()) <= set(found._option_string_actions)
    given = vars(found.parse_args([]))
    if command == "rqworker":
        assert given["burst"] is given["with_scheduler"] is False
        assert given["max_jobs"] is given["max_idle_time"] is None


def test_doorbell__that_we_write__is_a_job_for_rq(valkey: redis.Redis) -> None:
    # We write hash and list ourselves; RQ's own tools shall read them.
    bell = Ring(new_id(), MAINTENANCE, 3, 60.0)
    ring([bell])
    queue = RqQueue(MAINTENANCE, connection=valkey)

    assert queue.key == f"rq:queue:{MAINTENANCE}"
    assert RqJob.key_for("x") == "rq:job:x"
    assert queue.job_ids == [bell.rq_id]
    assert RqQueue.all(connection=valkey) == [queue]
    job = RqJob.fetch(bell.rq_id, connection=valkey)
    assert (job.func_name, job.args, job.kwargs) == (DISPATCHER, [bell.job_id.hex], {})
    assert (job.origin, job.get_status(), job.instance) == (MAINTENANCE, "queued", None)
    assert job.timeout == 90
    assert job.enqueued_at is not None


def test_doorbell__that_we_write__has_no_field_rq_does_not_know(valkey: redis.Redis) -> None:
    bell = Ring(new_id(), MAINTENANCE, 1, 60.0)
    ring([bell])
    ours: Any = valkey.hgetall(f"rq:job:{bell.rq_id}")
    queue = RqQueue(MAINTENANCE, connection=valkey, job_class=RqJob)
    data = RqQueue.prepare_data(DISPATCHER, args=["x"], job_id="stock", ttl=60, result_ttl=0)
    queue.enqueue_many([data])
    theirs: Any = valkey.hgetall("rq:job:stock")

    assert ours.keys() <= theirs.keys()


def test_doorbell__that_is_taken__is_started_for_rq_and_suspension_holds(
    valkey: redis.Redis,
) -> None:
    first, second = (Ring(new_id(), MAINTENANCE, 1, 60.0) for _ in range(2))
    ring([first, second])
    bells, suspended = take(valkey, worker="w", limits={MAINTENANCE: 1})

    assert ([bell.rq_id for bell in bells], suspended) == ([first.rq_id], False)
    assert RqJob.fetch(first.rq_id, connection=valkey).get_status() == "started"
    suspend(valkey)
    assert is_suspended(valkey)
    assert take(valkey, worker="w", limits={MAINTENANCE: 1}) == ([], True)
    assert StartedJobRegistry(MAINTENANCE, connection=valkey).get_job_ids(cleanup=False) == []


def test_django__keeps_commit_hooks__as_triples_with_their_savepoints(live_db: None) -> None:
    # services/publisher adds to a hook of the same savepoints.
    def hook() -> None:
        return None

    with transaction.atomic():
        transaction.on_commit(hook, robust=True)
        with transaction.atomic():
            inner = list(connection.savepoint_ids)
            transaction.on_commit(hook, robust=True)
            hooks: list[Any] = list(connection.run_on_commit)
            assert hooks == [(set(), hook, True), (set(inner), hook, True)]


@pytest.mark.django_db
def test_psycopg__connections_of_django__are_as_we_take_them() -> None:
    with connection.cursor():
        parameters = connection.get_connection_params()
        assert {"cursor_factory", "context"} <= parameters.keys()
        raw = connection.connection
        raw.__dict__["_flagship_probe"] = 1
        result = raw.pgconn.exec_(b"SELECT 1; SELECT 2")
        assert (result.ntuples, result.get_value(0, 0)) == (1, b"2")
