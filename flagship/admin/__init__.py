"""The operations console of the platform, one file per noun."""

from __future__ import annotations

from flagship.admin import api_keys, audit, login, organizations, people

__all__ = ["api_keys", "audit", "login", "organizations", "people"]
