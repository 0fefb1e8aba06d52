"""Reads of the builds domain; every one that a client reaches takes the organization."""
