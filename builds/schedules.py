"""Recurring work of this domain."""

from __future__ import annotations

from builds.payloads import FailOrphans, RollUpAnalytics, SweepWorkspaces
from jobs.registry import schedule

schedule("builds.sweep-workspaces", SweepWorkspaces(), cron="17 * * * *")
schedule("builds.fail-orphans", FailOrphans(), cron="* * * * *")
schedule("builds.roll-up-analytics", RollUpAnalytics(), cron="*/10 * * * *")
