"""What the rules of a tenant may give and name."""

from dataclasses import dataclass

from rewards.types.meanings import Names


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to choose: its id as a document writes it, what it is called, and a hint."""

    value: str
    label: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RuleLibrary:
    """Everything that effects may name, each list in the order of its names."""

    items: tuple[Choice, ...]
    configs: tuple[Choice, ...]
    currencies: tuple[Choice, ...]
    goals: tuple[Choice, ...]
    coupons: tuple[Choice, ...]
    names: Names
