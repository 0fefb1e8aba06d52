"""The balance at a time, and the statement as it is exported."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credits.models import Entry
from credits.selectors import BalanceAt, get_balance_at, history
from tests.asserts import assert_refused
from tests.factories import make_account, make_grant, make_hold
from tests.integration.credits.acts import commit, release

pytestmark = pytest.mark.django_db
CSV, LINES = "/v1/credits/statement.csv", "/v1/credits/statement.jsonl"


def body(response: Any) -> str:
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


def busy(organization_id: Any) -> None:
    commit(organization_id, make_hold(organization_id, 100), 80)
    release(organization_id, make_hold(organization_id, 50), '=HYPERLINK("http://x")')


def test_balance__at_each_time__is_what_the_entries_said_then() -> None:
    # feature-anchors D: balance at a time
    organization = make_account(credits=500)
    make_account(credits=7)
    busy(organization)
    entries = list(Entry.objects.filter(account__organization_id=organization).order_by("seq"))

    for entry, following in zip(entries, [*entries[1:], None], strict=True):
        expected = BalanceAt(
            entry.seq,
            entry.balance_after,
            entry.reserved_after,
            entry.balance_after - entry.reserved_after,
        )
        at = following.created_at - timedelta(microseconds=1) if following else datetime.now(UTC)
        assert get_balance_at(organization_id=organization, at=entry.created_at) == expected
        assert get_balance_at(organization_id=organization, at=at) == expected
    before = entries[0].created_at - timedelta(microseconds=1)
    assert get_balance_at(organization_id=organization, at=before) == BalanceAt(None, 0, 0, 0)


def test_account__at_a_time__answers_as_the_ledger_stood(api: Any) -> None:
    # feature-anchors D
    grant = Entry.objects.get(account__organization=api.organization, kind="grant")
    busy(api.organization.id)

    at = grant.created_at.isoformat().replace("+00:00", "Z")
    response = api.get(f"/v1/credits/account?at={at}")

    assert response.json() == {"balance": 1000, "reserved": 0, "available": 1000}
    assert api.get("/v1/credits/account").json()["balance"] == 920
    assert_refused(api.get("/v1/credits/account?at=2999-01-01T00:00:00Z"), 422, "VALIDATION_FAILED")
    assert_refused(api.get("/v1/credits/account?at=yesterday"), 422, "VALIDATION_FAILED")


def test_statement__as_json_lines__is_every_entry_in_order(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # feature-anchors D: statement export, read in pages by the entry's number
    monkeypatch.setattr(history, "BATCH", 2)
    make_grant(api.organization.id, 10, lapses_in_s=3600, priority=3)
    busy(api.organization.id)

    rows = [json.loads(line) for line in body(api.get(LINES)).splitlines()]

    assert [row["seq"] for row in rows] == list(range(7))
    assert [row["kind"] for row in rows][:5] == ["open", "grant", "grant", "reserve", "commit"]
    assert rows[2]["priority"] == 3 and rows[2]["lapsesAt"].endswith("Z")
    assert (rows[4]["subjectId"], rows[4]["chargedDelta"]) == ("build_123", 80)
    assert sum(row["balanceDelta"] for row in rows) == rows[-1]["balanceAfter"] == 930
    assert set(rows[0]) == set(history.COLUMNS)
    rest = [json.loads(line) for line in body(api.get(f"{LINES}?afterSeq=4")).splitlines()]
    assert rest == rows[5:]


def test_statement__as_csv__is_the_same_and_no_formula(api: Any) -> None:
    # feature-anchors D
    busy(api.organization.id)

    response = api.get(CSV)
    rows = list(csv.DictReader(io.StringIO(body(response))))
    lines = [json.loads(line) for line in body(api.get(LINES)).splitlines()]

    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert [row["seq"] for row in rows] == [str(line["seq"]) for line in lines]
    assert rows[3]["balanceDelta"] == "-80"
    assert rows[5]["reason"] == '\'=HYPERLINK("http://x")'
    assert lines[5]["reason"] == '=HYPERLINK("http://x")'
    assert body(api.get(f"{CSV}?afterSeq=99")).strip() == ",".join(history.COLUMNS)


@pytest.mark.parametrize("path", [CSV, LINES])
def test_statement__of_another_organization__is_never_shown(
    api: Any, issue_key: Any, path: str
) -> None:
    # P24
    other = issue_key(credit=0)
    busy(api.organization.id)

    assert "build_123" not in body(other.get(path))
    assert_refused(issue_key(scopes=("builds:read",)).get(path), 403, "FORBIDDEN")
    assert_refused(api.get(f"{path}?afterSeq=x"), 422, "VALIDATION_FAILED")
    assert_refused(api.get(f"{path}?page=2"), 422, "VALIDATION_FAILED")
