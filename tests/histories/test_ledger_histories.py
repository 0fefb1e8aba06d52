"""Histories of one account at a time, beside a model of it (P16, P17, P18)."""

from __future__ import annotations

from credits.models import Entry
from credits.services import reconcile
from flagship.models import AuditEvent
from tests.histories.ledger_steps import LedgerHistory
from tests.histories.play import play
from tests.ledger import assert_ledger_adds_up
from tests.soak import full

COUNT = full(16, 1_000)
AUDITED = {
    "grant": "credits.granted",
    "reserve": "credits.reserved",
    "commit": "credits.committed",
    "release": "credits.released",
    "expire": "credits.reservation_expired",
    "lapse": "credits.lapsed",
    "reversal": "credits.reversed",
}


def test_ledger__in_random_histories__does_what_its_model_does(live_db: None) -> None:
    # C-01 C-02 C-03 C-05 C-06 C-07 P16 P17 P18
    outcomes = play(LedgerHistory, COUNT)

    print(f"histories={COUNT} outcomes={dict(outcomes)}")
    assert_ledger_adds_up()
    assert reconcile().holds
    for kind, action in AUDITED.items():
        # The hold of a renewal is told with the commit that took it.
        entries = Entry.objects.filter(kind=kind)
        if kind == "reserve":
            entries = entries.filter(reservation__renews=None)
        assert AuditEvent.objects.filter(action=action).count() == entries.count(), kind
