"""Writes of the platform; each owns its transaction or runs in the caller's."""
