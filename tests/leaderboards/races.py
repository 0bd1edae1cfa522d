"""The same work in several threads at once, each with a connection of its own."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import TypeVar

from django.db import connection

Answer = TypeVar("Answer")


def in_threads(count: int, work: Callable[[], Answer]) -> list[Answer]:
    """Return the answers of ``count`` threads that began together; raises what one of them did."""
    answers: list[Answer] = []
    errors: list[BaseException] = []
    barrier = Barrier(count)

    def run() -> None:
        try:
            barrier.wait(10)
            answers.append(work())
        except BaseException as exc:  # noqa: BLE001 - told to the test
            errors.append(exc)
        finally:
            connection.close()

    threads = [Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    return answers
