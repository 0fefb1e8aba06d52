"""What this domain tells the platform below it."""

from __future__ import annotations

from credits.selectors.effects import read_effects
from flagship.selectors.effects import register_effects

register_effects("reservation", scope="credits:read", reader=read_effects)
