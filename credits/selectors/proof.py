"""Recompute accounts, holds and lots from entries alone, and say where the rows differ (C-06)."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.db import connection

from credits.models import Account

# Each part gives (account, rule, subject, expected, found) where a row is not what entries make it.
_ACCOUNTS: Final = """
SELECT a.id, 'account.' || v.book, '', v.expected::text, v.found::text
  FROM credits_account a
  LEFT JOIN LATERAL (
    SELECT max(seq) AS last_seq, count(*) AS entries, sum(balance_delta) AS balance,
           sum(reserved_delta) AS reserved, sum(issued_delta) AS issued,
           sum(charged_delta) AS charged, sum(lapsed_delta) AS lapsed
      FROM credits_entry WHERE account_id = a.id) e ON true
  LEFT JOIN LATERAL (
    SELECT coalesce(sum(amount), 0) AS held FROM credits_reservation
     WHERE account_id = a.id AND state = 'held') h ON true
  LEFT JOIN LATERAL (
    SELECT coalesce(sum(remaining), 0) AS left_over FROM credits_lot
     WHERE account_id = a.id) l ON true
 CROSS JOIN LATERAL (VALUES
    ('last_seq', coalesce(e.last_seq, -1), a.last_seq),
    ('entries', a.last_seq + 1, e.entries),
    ('balance', coalesce(e.balance, 0), a.balance),
    ('reserved', coalesce(e.reserved, 0), a.reserved),
    ('issued', coalesce(e.issued, 0), a.issued),
    ('charged', coalesce(e.charged, 0), a.charged),
    ('lapsed', coalesce(e.lapsed, 0), a.lapsed),
    ('held', a.reserved, h.held),
    ('lots', a.balance, l.left_over)) v (book, expected, found)
 WHERE a.id = ANY(%(accounts)s) AND v.expected <> v.found
"""
_CHAIN: Final = """
SELECT account_id, 'entry.chain', '#' || seq, format('from %%s/%%s', was_balance, was_reserved),
       format('from %%s/%%s by %%s/%%s to %%s/%%s', balance_before, reserved_before, balance_delta,
              reserved_delta, balance_after, reserved_after)
  FROM (SELECT *, lag(seq) OVER chain AS was_seq, lag(balance_after) OVER chain AS was_balance,
               lag(reserved_after) OVER chain AS was_reserved
          FROM credits_entry WHERE account_id = ANY(%(accounts)s)
        WINDOW chain AS (PARTITION BY account_id ORDER BY seq)) e
 WHERE (seq - 1, balance_before, reserved_before)
       IS DISTINCT FROM (coalesce(was_seq, -1), coalesce(was_balance, 0), coalesce(was_reserved, 0))
    OR balance_after <> balance_before + balance_delta
    OR reserved_after <> reserved_before + reserved_delta
    OR balance_delta <> issued_delta - charged_delta - lapsed_delta
"""
_HOLDS: Final = """
SELECT r.account_id, 'hold.state', r.id::text,
       format('%%s of %%s, charged %%s', coalesce(e.state, 'held'), e.hold, e.charged),
       format('%%s of %%s, charged %%s', r.state, r.amount, r.charged)
  FROM credits_reservation r
  LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE kind = 'reserve') AS reserves,
           count(*) FILTER (WHERE kind <> 'reserve') AS closings, min(hold) AS hold,
           max(CASE kind WHEN 'commit' THEN 'committed' WHEN 'release' THEN 'released'
                         WHEN 'expire' THEN 'expired' END) AS state,
           max(charged_delta) FILTER (WHERE kind = 'commit') AS charged
      FROM credits_entry WHERE reservation_id = r.id AND account_id = r.account_id) e ON true
 WHERE r.account_id = ANY(%(accounts)s)
   AND (e.reserves, e.closings <= 1, coalesce(e.state, 'held'), e.hold, e.charged)
       IS DISTINCT FROM (1, true, r.state, r.amount, r.charged)
"""
_LOTS: Final = """
SELECT g.account_id, 'lot.remaining', '#' || g.seq,
       format('%%s of %%s', coalesce(d.amount, 0), g.balance_delta),
       format('%%s of %%s', l.remaining, l.amount)
  FROM credits_entry g
  LEFT JOIN credits_lot l ON l.account_id = g.account_id AND l.seq = g.seq
  LEFT JOIN LATERAL (
    SELECT sum(amount) AS amount FROM credits_draw
     WHERE account_id = g.account_id AND lot_seq = g.seq) d ON true
 WHERE g.account_id = ANY(%(accounts)s) AND g.kind = 'grant'
   AND (l.remaining, l.amount, l.priority, l.lapses_at)
       IS DISTINCT FROM (coalesce(d.amount, 0), g.balance_delta, g.priority, g.lapses_at)
"""
_DRAWS: Final = """
SELECT e.account_id, 'entry.draws', '#' || e.seq, e.balance_delta::text, coalesce(d.amount, 0)::text
  FROM credits_entry e
  LEFT JOIN (SELECT account_id, seq, sum(amount) AS amount FROM credits_draw
              WHERE account_id = ANY(%(accounts)s) GROUP BY account_id, seq) d
    ON d.account_id = e.account_id AND d.seq = e.seq
 WHERE e.account_id = ANY(%(accounts)s) AND e.balance_delta <> coalesce(d.amount, 0)
"""
_REVERSALS: Final = """
SELECT o.account_id, 'entry.reversed', '#' || o.seq, format('at most %%s', abs(o.balance_delta)),
       abs(sum(r.balance_delta))::text
  FROM credits_entry r
  JOIN credits_entry o ON o.account_id = r.account_id AND o.seq = r.original_seq
 WHERE r.account_id = ANY(%(accounts)s) AND r.kind = 'reversal'
 GROUP BY o.account_id, o.seq, o.balance_delta
HAVING abs(sum(r.balance_delta)) > abs(o.balance_delta)
"""
_PROOF: Final = " UNION ALL ".join((_ACCOUNTS, _CHAIN, _HOLDS, _LOTS, _DRAWS, _REVERSALS))


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One contradiction: by which rule, on which row, what entries make it and what it is."""

    rule: str
    subject: str
    expected: str
    found: str

    @property
    def difference(self) -> str:
        """By how much it is off: what stays the same while the account goes on being used."""
        try:
            return f"{int(self.found) - int(self.expected):+d}"
        except ValueError:
            return f"{self.expected}, found {self.found}"


def list_account_ids(*, after: uuid.UUID | None, limit: int) -> list[uuid.UUID]:
    """Return the ids of accounts behind `after`, in order."""
    accounts = Account.objects.order_by("id").values_list("id", flat=True)
    return list((accounts.filter(id__gt=after) if after else accounts)[:limit])


def account_findings(*, account_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[Finding]]:
    """Recompute these accounts with their holds, lots and draws; return what differs, by account.

    One statement, hence one snapshot: nothing that happens meanwhile is mistaken for drift. Takes
    no lock. Cost: one pass over the entries of these accounts.
    """
    findings: dict[uuid.UUID, list[Finding]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_PROOF, {"accounts": list(account_ids)})
        for account_id, *rest in cursor.fetchall():
            findings.setdefault(account_id, []).append(Finding(*rest))
    return findings
