"""What the console's actions have in common: one service is called, and what came of it is said."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.http import HttpRequest

from jobs.errors import Refusal


def act(request: HttpRequest, do: Callable[[], str]) -> None:
    """Do it and tell the operator what it says was done; refused, nothing has been."""
    try:
        told = do()
    except Refusal as refusal:
        messages.warning(request, f"Nothing done: {refusal.message}")
    else:
        messages.success(request, told)


def say_problems(request: HttpRequest, form: forms.Form) -> None:
    """Say why a form was not taken; nothing has been done."""
    for problems in form.errors.values():
        messages.error(request, f"Nothing done: {problems[0]}")
