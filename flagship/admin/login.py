"""The console's login, held up after too many wrong ones."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from unfold.forms import AuthenticationForm

from flagship.errors import LoginBlocked
from flagship.selectors.addresses import address_of
from flagship.services.logins import Try, claim_try, record_failure, record_success


class LoginForm(AuthenticationForm):
    """Name and password; what is refused is refused alike for names that exist and that do not."""

    refusal: LoginBlocked | None = None

    def clean(self) -> dict[str, Any]:
        """Count the try, look at the password, and say what came of it."""
        name, password = (self.cleaned_data.get(field) for field in ("username", "password"))
        if not name or not password:
            cleaned: dict[str, Any] = super().clean()
            return cleaned
        login = Try(name=name, address=address_of(cast(HttpRequest, self.request)))
        try:
            claim_try(login=login)
        except LoginBlocked as refusal:
            self.refusal = refusal
            raise ValidationError(refusal.message, code="blocked") from None
        return self._look(login)

    def _look(self, login: Try) -> dict[str, Any]:
        """Check the password, for which the try was counted. Raises: ValidationError."""
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            known = get_user_model().objects.filter(username=login.name).exists()
            record_failure(login=login, operator=login.name if known else None)
            raise
        record_success(login=login)
        return cleaned


def log_in(request: HttpRequest) -> HttpResponseBase:
    """Show or take the login; 429 with Retry-After for one that was not tried."""
    response: HttpResponseBase = admin.site.login(request)
    if isinstance(response, TemplateResponse):
        form = (response.context_data or {}).get("form")
        refusal = getattr(form, "refusal", None)
        if refusal is not None:
            response.status_code = refusal.status
            for header, value in refusal.headers.items():
                response.headers[header] = value
    return response


admin.site.login_form = LoginForm
