"""Measurements on a system of their own: `python -m bench` lists them."""
