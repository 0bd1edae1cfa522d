import pytest
from django.core.exceptions import ImproperlyConfigured

from phoenix_site.common.env import (
    env_bool,
    env_int,
    env_list,
    env_networks,
    env_seconds,
    env_secret,
    env_str,
)


def test_an_absent_variable_takes_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHOENIX_X", raising=False)

    assert env_str("PHOENIX_X", "a") == "a"
    assert env_bool("PHOENIX_X", default=True) is True
    assert env_int("PHOENIX_X", 7) == 7
    assert env_list("PHOENIX_X", "a, b,,") == ["a", "b"]
    assert env_secret("PHOENIX_X", development="d") == "d"


@pytest.mark.parametrize(
    ("text", "truth"), [("1", True), ("Yes", True), ("off", False), ("", False)]
)
def test_truth_has_its_words(monkeypatch: pytest.MonkeyPatch, text: str, truth: bool) -> None:
    monkeypatch.setenv("PHOENIX_X", text)

    assert env_bool("PHOENIX_X", default=not truth) is truth


def test_every_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOENIX_X", "maybe")

    with pytest.raises(ImproperlyConfigured, match="PHOENIX_X"):
        env_bool("PHOENIX_X", default=False)
    with pytest.raises(ImproperlyConfigured, match="PHOENIX_X"):
        env_int("PHOENIX_X", 1)
    with pytest.raises(ImproperlyConfigured, match=r"PHOENIX_X.*yes, no"):
        env_str("PHOENIX_X", choices=("yes", "no"))


def test_missing_and_too_small_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHOENIX_X", raising=False)

    with pytest.raises(ImproperlyConfigured, match="PHOENIX_X"):
        env_str("PHOENIX_X")
    with pytest.raises(ImproperlyConfigured, match="PHOENIX_X"):
        env_secret("PHOENIX_X", development=None)
    monkeypatch.setenv("PHOENIX_X", "3")
    with pytest.raises(ImproperlyConfigured, match="at least 5"):
        env_int("PHOENIX_X", 9, minimum=5)


def test_durations_and_networks_are_lists_that_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHOENIX_X", raising=False)
    assert env_seconds("PHOENIX_X", "0, 5,0.5") == [0, 5, 0.5]
    assert env_networks("PHOENIX_X") == []
    monkeypatch.setenv("PHOENIX_X", "127.0.0.0/8, ::1")
    assert env_networks("PHOENIX_X") == ["127.0.0.0/8", "::1"]

    for text in ("", "soon", "-1", "nan", "inf", "1,99999999"):
        monkeypatch.setenv("PHOENIX_X", text)
        with pytest.raises(ImproperlyConfigured, match="PHOENIX_X"):
            env_seconds("PHOENIX_X", "0")
    for text in ("10.0.0.1/8", "everything"):
        monkeypatch.setenv("PHOENIX_X", text)
        with pytest.raises(ImproperlyConfigured, match="PHOENIX_X"):
            env_networks("PHOENIX_X")
