"""Counts requests against quotas: in Redis for all processes, in this process without it."""

from __future__ import annotations

from flagship.clients.limiter.demand import Demand, Level
from flagship.clients.limiter.failover import Limiter, limiter

__all__ = ["Demand", "Level", "Limiter", "limiter"]
