"""Nonsense over HTTP: no server error, no undocumented answer, no forgery taken (E-08, E-09).

`make fuzz` runs a tenth of the full size, `make fuzz FULL=1` all of it, the suite a small part.
"""
