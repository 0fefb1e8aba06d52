"""Reserve, commit, release: latency by clients, beside the same SQL without Django.

1, 8 and 32 clients, on one hot account and on 200. Each client reserves and then, in turn, commits
or releases, each operation with its audit event in a transaction of its own. The floor makes the
same statement over bare psycopg, cell by cell between ours on the same servers. Bars at 8 clients:
P95 under 100 ms, and within three times the floor's. Source: C-08.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg

from bench._system import bare_system, machine
from bench.jobs.report import table

if TYPE_CHECKING:  # Its models need Django set up first.
    from credits.services.operations import Operation

CLIENTS: Final = (1, 8, 32)
ACCOUNTS: Final = (1, 200)
# Reserve-and-resolve pairs of one cell, whatever the number of clients.
PAIRS: Final = 1_600
ROUNDS: Final = 3
BAR_CLIENTS: Final = 8
BAR_MS: Final = 100.0
BAR_RATIO: Final = 3.0
OPERATIONS: Final = ("reserve", "commit", "release")
AMOUNT: Final = 3
ENOUGH: Final = 10**9


class Client(Protocol):
    """What both contenders can do, each call one durable transaction."""

    def reserve(self, organization_id: uuid.UUID) -> uuid.UUID: ...

    def commit(self, organization_id: uuid.UUID, hold: uuid.UUID) -> None: ...

    def release(self, organization_id: uuid.UUID, hold: uuid.UUID) -> None: ...

    def close(self) -> None: ...


class Ours:
    """The services, as the API and the builds call them."""

    def reserve(self, organization_id: uuid.UUID) -> uuid.UUID:
        """Hold credits."""
        from credits.services import reserve_credits

        return reserve_credits(
            organization_id=organization_id,
            amount_credits=AMOUNT,
            subject_type="build",
            subject_id="build_bench",
            actor="bench",
        ).reservation_id

    def commit(self, organization_id: uuid.UUID, hold: uuid.UUID) -> None:
        """Charge them."""
        from credits.services import commit_reservation

        commit_reservation(
            reservation_id=hold,
            organization_id=organization_id,
            actual_credits=AMOUNT - 1,
            actor="bench",
        )

    def release(self, organization_id: uuid.UUID, hold: uuid.UUID) -> None:
        """Give them back."""
        from credits.services import release_reservation

        release_reservation(
            reservation_id=hold, organization_id=organization_id, reason="bench", actor="bench"
        )

    def close(self) -> None:
        """Close this thread's connection."""
        from django.db import connections

        connections.close_all()


class Floor:
    """The same statements over bare psycopg, as the same role."""

    def __init__(self) -> None:
        self._connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        self._cursor = self._connection.cursor()

    def reserve(self, organization_id: uuid.UUID) -> uuid.UUID:
        """Hold credits."""
        from credits.services.operations import RESERVE

        hold = _new_id()
        arguments = {
            "amount": AMOUNT,
            "subject_type": "build",
            "subject_id": "build_bench",
            "user_id": "",
            "expires_in_s": 1800.0,
            "reference": "",
        }
        self._operate(RESERVE, organization_id, hold, arguments, {"amount": AMOUNT, "userId": ""})
        return hold

    def commit(self, organization_id: uuid.UUID, hold: uuid.UUID) -> None:
        """Charge them."""
        from credits.services.operations import COMMIT

        arguments = {"actual": AMOUNT - 1, "subject_id": None, "renewal_id": _new_id()}
        self._operate(COMMIT, organization_id, hold, arguments, {})

    def release(self, organization_id: uuid.UUID, hold: uuid.UUID) -> None:
        """Give them back."""
        from credits.services.operations import RELEASE

        self._operate(RELEASE, organization_id, hold, {"reason": "bench"}, {"reason": "bench"})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _operate(
        self,
        operation: Operation,
        organization_id: uuid.UUID,
        hold: uuid.UUID,
        arguments: dict[str, Any],
        data: dict[str, Any],
    ) -> None:
        bound = {
            **arguments,
            "organization_id": organization_id,
            "reservation_id": hold,
            "event_organization_id": organization_id,
            "event_action": operation.action,
            "event_subject_type": "reservation",
            "event_subject_id": f"res_{hold.hex}",
            "event_actor": "bench",
            "event_request_id": "",
            "event_correlation_id": "",
            "event_data": json.dumps(data),
            "is_alone": True,
        }
        self._cursor.execute(operation.statement.encode(), bound, prepare=True).fetchone()


CONTENDERS: Final[dict[str, Callable[[], Client]]] = {"ours": Ours, "floor": Floor}


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench credits")
    parser.add_argument("--json", action="store_true", help="print one object, not a table")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="operations of a cell, in pairs")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args(options)
    with bare_system():
        organizations = [_open(number) for number in range(max(ACCOUNTS))]
        _cell("ours", 1, organizations, 50)  # Connections, statements, caches.
        cells = [
            _measure(clients, organizations[:accounts], chosen.pairs, chosen.rounds)
            for accounts in ACCOUNTS
            for clients in CLIENTS
        ]
    bars = [_bar(cell) for cell in cells if cell["clients"] == BAR_CLIENTS]
    told = {
        "machine": machine(),
        "load": os.getloadavg()[0],
        "cells": cells,
        "bars": bars,
        "met": all(bar["met"] for bar in bars),
    }
    print(json.dumps(told, indent=2) if chosen.json else _report(told))
    sys.exit(not told["met"])


def _open(number: int) -> uuid.UUID:
    from credits.services import grant_credits, open_account
    from flagship.services.organizations import create_organization

    organization = create_organization(name=f"Bench {number}", actor="bench")
    open_account(organization_id=organization.id)
    grant_credits(
        organization_id=organization.id,
        amount_credits=ENOUGH,
        reason="bench",
        actor="bench",
        reference="bench",
    )
    return organization.id


def _measure(
    clients: int, organizations: list[uuid.UUID], pairs: int, rounds: int
) -> dict[str, Any]:
    """Measure both contenders in turn, round after round; milliseconds over all rounds."""
    print(f"{clients} clients, {len(organizations)} accounts", file=sys.stderr, flush=True)
    samples: dict[str, dict[str, list[float]]] = {}
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in CONTENDERS:
            found, per_s = _cell(name, clients, organizations, pairs)
            rates.setdefault(name, []).append(per_s)
            for operation, taken in found.items():
                samples.setdefault(name, {}).setdefault(operation, []).extend(taken)
    return {
        "clients": clients,
        "accounts": len(organizations),
        "operations_per_s": {name: round(statistics.median(each)) for name, each in rates.items()},
        "ms": {
            name: {operation: _percentiles(taken) for operation, taken in each.items()}
            for name, each in samples.items()
        },
    }


def _cell(
    name: str, clients: int, organizations: list[uuid.UUID], pairs: int
) -> tuple[dict[str, list[float]], float]:
    """Run one contender once; return milliseconds by operation, and operations a second."""
    found: dict[str, list[float]] = {operation: [] for operation in OPERATIONS}
    barrier = threading.Barrier(clients + 1)
    problems: list[BaseException] = []
    share = max(2, pairs // clients)

    def work(first: int) -> None:
        client = CONTENDERS[name]()
        try:
            _warm(client, organizations[first % len(organizations)])
            barrier.wait()
            mine = _pairs(client, organizations, first, share)
            for operation, taken in mine.items():
                found[operation].extend(taken)
        except BaseException as error:
            barrier.abort()
            problems.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    barrier.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return found, 2 * share * clients / (time.perf_counter() - started)


def _warm(client: Client, organization_id: uuid.UUID) -> None:
    """Let the connection be made and its statements be planned."""
    client.release(organization_id, client.reserve(organization_id))


def _pairs(
    client: Client, organizations: list[uuid.UUID], first: int, share: int
) -> dict[str, list[float]]:
    """Reserve and resolve, again and again, on one account after another."""
    found: dict[str, list[float]] = {operation: [] for operation in OPERATIONS}
    for number in range(share):
        organization_id = organizations[(first * share + number) % len(organizations)]
        started = time.perf_counter()
        hold = client.reserve(organization_id)
        reserved = time.perf_counter()
        operation = OPERATIONS[1 + number % 2]
        getattr(client, operation)(organization_id, hold)
        found["reserve"].append((reserved - started) * 1000)
        found[operation].append((time.perf_counter() - reserved) * 1000)
    return found


def _percentiles(taken: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {name: round(cuts[at - 1], 2) for name, at in (("p50", 50), ("p95", 95), ("p99", 99))}


def _bar(cell: dict[str, Any]) -> dict[str, Any]:
    """Judge one cell by its slowest operation."""
    ours, floor = cell["ms"]["ours"], cell["ms"]["floor"]
    p95 = max(ours[operation]["p95"] for operation in OPERATIONS)
    ratio = max(ours[operation]["p95"] / floor[operation]["p95"] for operation in OPERATIONS)
    return {
        "accounts": cell["accounts"],
        "p95_ms": p95,
        "ratio": round(ratio, 2),
        "met": p95 < BAR_MS and ratio <= BAR_RATIO,
    }


def _report(told: dict[str, Any]) -> str:
    head = ["accounts", "clients", "operation", "P50 ms", "P95", "P99", "floor P50", "P95", "P99"]
    rows = [[*head, "P95 to floor"]]
    rates = [["accounts", "clients", "operations/s", "floor"]]
    for cell in told["cells"]:
        place = [str(cell["accounts"]), str(cell["clients"])]
        ours, floor = cell["ms"]["ours"], cell["ms"]["floor"]
        for operation in OPERATIONS:
            numbers = [*ours[operation].values(), *floor[operation].values()]
            ratio = ours[operation]["p95"] / floor[operation]["p95"]
            cells = [f"{number:.1f}" for number in numbers]
            rows.append([*place, operation, *cells, f"{ratio:.1f} x"])
        rates.append([*place, *(f"{cell['operations_per_s'][name]:,}" for name in CONTENDERS)])
    bars = "\n".join(
        f"{bar['accounts']} accounts, {BAR_CLIENTS} clients: P95 {bar['p95_ms']:.1f} ms (bar"
        f" {BAR_MS:g}), {bar['ratio']} x the floor (bar {BAR_RATIO:g}): met"
        f" {'yes' if bar['met'] else 'NO'}"
        for bar in told["bars"]
    )
    heading = f"{told['machine']}; load average {told['load']:.1f}"
    return f"{heading}\n\n{table(rows)}\n\n{table(rates)}\n\n{bars}"


def _new_id() -> uuid.UUID:
    from jobs.ids import new_id

    return new_id()


if __name__ == "__main__":
    main(sys.argv[1:])
