"""Calls to addresses that clients name: the only way out of the platform to such (DESIGN 4).

Resolved once, every address checked, the connection pinned to it, no redirect followed, time and
size bounded. docs/outgoing.md says what is promised.
"""

from __future__ import annotations

from flagship.clients.outgoing.conversation import Answer, Conversation, Limits
from flagship.clients.outgoing.urls import Target, parse_url

__all__ = ["Answer", "Conversation", "Limits", "Target", "parse_url"]
