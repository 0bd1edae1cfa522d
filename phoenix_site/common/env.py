"""Typed readers of environment variables; only ``settings.py`` calls them.

Every error names the variable, so that a person can mend it without reading code.
"""

import ipaddress
import os

from django.core.exceptions import ImproperlyConfigured

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
MAX_SECONDS = 30 * 24 * 3600
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})


def env_str(name: str, default: str | None = None, *, choices: tuple[str, ...] = ()) -> str:
    """Return the text of ``name``; without a default it must be set."""
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set.")
    if choices and value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
    return value


def env_bool(name: str, *, default: bool) -> bool:
    """Return the truth of ``name``: 1/true/yes/on or 0/false/no/off."""
    value = os.environ.get(name)
    if value is None:
        return default
    if value.lower() in TRUE_WORDS:
        return True
    if value.lower() in FALSE_WORDS:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; use 1 or 0.")


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    """Return the whole number of ``name``, at least ``minimum``."""
    value = os.environ.get(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be a whole number.") from exc
    if number < minimum:
        raise ImproperlyConfigured(f"{name} is {number}; it must be at least {minimum}.")
    return number


def env_list(name: str, default: str = "") -> list[str]:
    """Return the comma-separated parts of ``name`` without white space and empty parts."""
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def env_seconds(name: str, default: str) -> list[float]:
    """Return the comma-separated durations of ``name``, at least one, each from 0 seconds."""
    parts = env_list(name, default)
    try:
        seconds = [float(part) for part in parts]
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} is {parts!r}; it must list seconds.") from exc
    if not seconds or not all(0 <= each <= MAX_SECONDS for each in seconds):
        raise ImproperlyConfigured(f"{name} must list seconds from 0 to {MAX_SECONDS}.")
    return seconds


def env_networks(name: str) -> list[str]:
    """Return the comma-separated networks (CIDR) or single addresses of ``name``."""
    parts = env_list(name)
    for part in parts:
        try:
            ipaddress.ip_network(part)
        except ValueError as exc:
            raise ImproperlyConfigured(f"{name} has {part!r}, which is no network.") from exc
    return parts


def env_secret(name: str, *, development: str | None) -> str:
    """Return a secret; ``development`` is what stands in outside production, or ``None``."""
    value = os.environ.get(name) or development
    if not value:
        raise ImproperlyConfigured(f"{name} is not set; it is a secret and has no default.")
    return value
