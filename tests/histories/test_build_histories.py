"""Histories of one project at a time, beside a model of it (P05, P06, P16)."""

from __future__ import annotations

from builds.models import Build
from flagship.models import AuditEvent
from tests.histories.builds_steps import BuildHistory
from tests.histories.play import play
from tests.ledger import assert_ledger_adds_up
from tests.soak import full

COUNT = full(8, 500)


def test_builds__in_random_histories__do_what_their_model_does(live_db: None) -> None:
    # B-02 B-03 B-06 B-07 B-08 P05 P06 P16 P17
    outcomes = play(BuildHistory, COUNT)

    print(f"histories={COUNT} outcomes={dict(outcomes)}")
    assert_ledger_adds_up()
    for state in ("created", "deployed", "failed", "cancelled"):
        builds = Build.objects.all() if state == "created" else Build.objects.filter(state=state)
        audited = AuditEvent.objects.filter(action=f"build.{state}")
        assert audited.count() == builds.count(), state
