"""The peers: one program each, run in an environment of its own, never imported from here."""
