"""The life of a web process: what closes at its end, and whether it is about to end."""

from collections.abc import Awaitable, Callable

_draining = False
_closers: list[Callable[[], Awaitable[None]]] = []


def is_draining() -> bool:
    """Return whether the process was asked to end: readiness is refused from then on."""
    return _draining


def set_draining(*, draining: bool) -> None:
    """Say whether the process is about to end."""
    global _draining
    _draining = draining


def on_shutdown(closer: Callable[[], Awaitable[None]]) -> None:
    """Have ``closer`` awaited when the process ends, last registered first."""
    if closer not in _closers:
        _closers.append(closer)


async def close_all() -> None:
    """Await every registered closer."""
    for closer in reversed(_closers):
        await closer()
