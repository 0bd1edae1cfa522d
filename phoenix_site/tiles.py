"""Tiles of the front page: a number with a label, what it means, and where it leads."""

__all__ = ["seconds_text", "tile"]


def tile(
    label: str, value: str, *, unit: str = "", tone: str = "", hint: str = "", url: str = ""
) -> dict[str, str]:
    """Return a tile; ``tone`` is ``good``, ``warn``, ``bad`` or empty."""
    return {"label": label, "value": value, "unit": unit, "tone": tone, "hint": hint, "url": url}


def seconds_text(seconds: float) -> str:
    """Return a length of time as people say it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} h"
