"""What the commands that work look at before they start."""

from __future__ import annotations

from typing import Final

from django.core.checks import Tags

# They serve no addresses and show no pages: to load those for the checks of them would be a quarter
# of their start. `manage.py check`, and what serves them, looks at all.
CHECKED: Final = ("jobs", Tags.security, Tags.compatibility)
