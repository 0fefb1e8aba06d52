"""The operations console of the platform, one file per noun."""

from __future__ import annotations

from flagship.admin import (
    api_keys,
    audit,
    login,
    organizations,
    people,
    signatures,
    signing_keys,
)

__all__ = [
    "api_keys",
    "audit",
    "login",
    "organizations",
    "people",
    "signatures",
    "signing_keys",
]
