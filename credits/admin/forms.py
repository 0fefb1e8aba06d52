"""What the forms of credits have in common."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest


def say_problems(request: HttpRequest, form: forms.Form) -> None:
    """Say why a form was not taken, field by field."""
    for name, problems in form.errors.items():
        messages.error(request, f"Nothing done: {name}: {problems[0]}")
