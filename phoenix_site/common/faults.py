"""What is wrong with a document that somebody sent, fault by fault."""

from dataclasses import dataclass

__all__ = ["Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the dotted path of the place in the document (empty: the whole), and why."""

    path: str
    message: str

    def under(self, parent: str) -> "Fault":
        """Return the same fault seen from a document that holds this one at ``parent``."""
        return Fault(f"{parent}.{self.path}" if self.path else parent, self.message)
