# mypy: ignore-errors
"""A worker of one slot that says where its time went: run by `bench.jobs --where`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import defaultdict

SPENT = defaultdict(lambda: [0, 0.0])
_inside = threading.local()


def _clock(owner, name, label) -> None:
    """Count the calls of a method and their time, under the label of each call."""
    original = getattr(owner, name)

    def clocked(self, *arguments, **options):
        # What is called inside something clocked belongs to that.
        if getattr(_inside, "clocked", False):
            return original(self, *arguments, **options)
        _inside.clocked = True
        started = time.perf_counter()
        try:
            return original(self, *arguments, **options)
        finally:
            _inside.clocked = False
            _spend(label(arguments), time.perf_counter() - started)

    setattr(owner, name, clocked)


def _spend(label: str, seconds: float) -> None:
    spent = SPENT[label]
    spent[0] += 1
    spent[1] += seconds


def _of_statement(arguments) -> str:
    text = arguments[0] if isinstance(arguments[0], str) else str(arguments[0])
    words = " ".join(text.split())
    if getattr(_inside, "handler", False) and "jobs_job" not in words:
        return "handler's SQL"
    if "jobs_jobattempt" in words and "'running'" in words and "INSERT" in words:
        return "claim"
    if "succeeded" in words or "INSERT INTO jobs_jobattempt" in words:
        return "complete"
    if "jobs_job" in words and ("NO KEY UPDATE" in words or words.startswith("UPDATE")):
        return "claim"
    return f"other SQL: {words[:60]}"


def _of_command(arguments) -> str:
    return "Redis: " + " ".join(str(word)[:24] for word in arguments[:1])


def _of_together(statements) -> str:
    first = statements[0]
    if first.startswith(b"BEGIN"):
        return "BEGIN and the row lock"
    if any(b"settle" in each for each in statements):
        return "completion and COMMIT"
    return f"other SQL: {first[:40].decode(errors='replace')}"


def _clock_together() -> None:
    """Count what the engine sends past psycopg's cursors, wherever it was imported to."""
    from jobs.clients import postgres

    original = postgres.run_together

    def clocked(*statements):
        started = time.perf_counter()
        try:
            return original(*statements)
        finally:
            _spend(_of_together(statements), time.perf_counter() - started)

    for name, module in list(sys.modules.items()):
        if name.startswith("jobs.") and getattr(module, "run_together", None) is original:
            module.run_together = clocked


def _of_handlers() -> None:
    from dataclasses import replace

    from jobs import registry

    for name, handler in list(registry._names.items()):
        registry._names[name] = replace(handler, function=_timed(handler.function))


def _timed(function):
    def timed(*arguments):
        _inside.handler = True
        started = time.perf_counter()
        before = SPENT["handler's SQL"][1]
        try:
            return function(*arguments)
        finally:
            _inside.handler = False
            inner = SPENT["handler's SQL"][1] - before
            _spend("handler's Python", time.perf_counter() - started - inner)

    return timed


def _profile_slots(prefix: str) -> None:
    """Leave a cProfile of each thread that runs jobs in files that begin with `prefix`."""
    import cProfile

    original = threading.Thread.run

    def run(self):
        if not self.name.startswith(("slot", "lane")):
            return original(self)
        profile = cProfile.Profile()
        try:
            return profile.runcall(original, self)
        finally:
            profile.dump_stats(f"{prefix}-{self.name}-{self.ident}")

    threading.Thread.run = run


def main(queue: str) -> None:
    """Drain the queue and print what was spent."""
    import django

    django.setup()
    import psycopg
    import redis
    from django.core.management import call_command

    _clock(psycopg.Cursor, "execute", _of_statement)
    _clock(psycopg.Connection, "commit", lambda _: "COMMIT")
    _clock(psycopg.Connection, "rollback", lambda _: "ROLLBACK")
    _clock(redis.Redis, "execute_command", _of_command)
    _clock(redis.client.Pipeline, "execute", lambda _: "Redis: pipeline")
    _clock_together()
    _of_handlers()
    if os.environ.get("BENCH_PROFILE"):
        _profile_slots(os.environ["BENCH_PROFILE"])
    cpu = time.process_time()
    try:
        call_command("rqworker", queue, max_idle_time=2)
    except SystemExit:
        pass
    finally:
        told = {"cpu_s": time.process_time() - cpu, "spent": SPENT}
        with open(os.environ["BENCH_CLOCKED"], "w", encoding="utf-8") as file:
            json.dump(told, file)


if __name__ == "__main__":
    main(sys.argv[1])
