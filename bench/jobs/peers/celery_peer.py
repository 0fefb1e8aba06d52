# mypy: ignore-errors
"""Celery: `celery -A celery_peer worker`; with BENCH_RESULTS=1 every result is a row."""

from __future__ import annotations

import os

import effects
from celery import Celery

RESULTS = bool(os.environ.get("BENCH_RESULTS"))
if RESULTS:
    os.environ["DJANGO_SETTINGS_MODULE"] = "celery_django"
    import django

    django.setup()

app = Celery("celery_peer", broker=effects.REDIS, set_as_current=True)
app.conf.update(
    task_ignore_result=not RESULTS,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)
if RESULTS:
    app.conf.update(
        result_backend="django-db",
        result_extended=True,
        task_track_started=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # Late acknowledgement and deep prefetching do not go together.
        worker_prefetch_multiplier=4,
    )
    # Else the worker opens a connection for every write of a result.
    app.conf["CELERY_DB_REUSE_MAX"] = 10_000


@app.task(name="noop")
def noop(number):
    effects.noop(number)


@app.task(name="durable")
def durable(number):
    effects.durable(number)


TASKS = {"noop": noop, "durable": durable}


class Peer:
    many = None

    def reset(self):
        if RESULTS:
            from django.core.management import call_command
            from django.db import connection

            call_command("migrate", verbosity=0)
            connection.cursor().execute("TRUNCATE django_celery_results_taskresult")

    def one(self, kind, number):
        TASKS[kind].delay(number)


if __name__ == "__main__":
    import client

    client.main(Peer())
