"""What leaderboards refuse."""

from collections.abc import Sequence

from phoenix_site.common.exceptions import Detail, InvalidInputError
from phoenix_site.common.faults import Fault


class ConfigError(InvalidInputError):
    """A board's config has faults; ``faults`` and ``details`` have every one of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first, more = self.faults[0], len(self.faults) - 1
        super().__init__(
            f"{first.path}: {first.message}" + (f" (and {more} more)" if more else ""),
            details=[Detail(fault.path, fault.message) for fault in self.faults],
        )
