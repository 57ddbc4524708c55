"""`opentelemetry-instrument` without a line of code: its hook, which configures the process where that is asked for.

Input: `OTEL_FEEDBACK_ENABLED`. Output: a configured process, on the TracerProvider that the SDK has been given by then.
The hook runs in each Python process that is started below `opentelemetry-instrument`, wherever this package happens to
be installed, so it imports nothing until it is asked for. It never raises: the other packages' hooks come after it.
"""

from __future__ import annotations

import os

__all__ = ["configure_if_enabled"]

VARIABLE = "OTEL_FEEDBACK_ENABLED"


def configure_if_enabled() -> None:
    """Call `configure()` where `OTEL_FEEDBACK_ENABLED` is true; log in one line what keeps it from that."""
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        # a program that sets some of ours may have meant to set this one
        if any(name.startswith(VARIABLE[:-5]) for name in os.environ):
            from otel_feedback.settings.misspelt import tell_misspelt

            tell_misspelt()
        return

    from otel_feedback.errors import ConfigError
    from otel_feedback.logger import get_logger
    from otel_feedback.settings.values import a_flag

    logger = get_logger(__name__)
    try:
        try:
            is_enabled = a_flag(text)
        except ValueError as exc:
            raise ConfigError(VARIABLE, text, str(exc)) from None
        if is_enabled:
            from otel_feedback.bootstrap import configure

            configure()
    except ConfigError as exc:
        logger.error("no outcomes are recorded: %s", exc)
    except Exception:  # whatever it is, the program is not to blame for it
        logger.exception("no outcomes are recorded")
