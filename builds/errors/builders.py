"""Refusals of builders: their names, options and the configuration of sites."""

from __future__ import annotations

from jobs.errors import Refusal


class UnknownBuilder(Refusal):
    """No builder of that name."""

    code = "UNKNOWN_BUILDER"
    status = 422
    title = "There is no builder of that name."
    next_step = "Use one of the builders listed in the answer."


class BuilderOptionsInvalid(Refusal):
    """An option the builder does not have, or a value it cannot use."""

    code = "BUILDER_OPTIONS_INVALID"
    status = 422
    title = "The builder does not take these options."
    next_step = "Correct the named field; the builder's options are listed in the documentation."


class SiteConfigurationRefused(Refusal):
    """The site's own configuration asks for something the builder will not do."""

    code = "SITE_CONFIGURATION_REFUSED"
    status = 422
    title = "The site's configuration cannot be built here."
    next_step = "Change the named setting in the site's configuration and upload it again."
