"""Definitions of coupons, the form of codes, and cells of CSV."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.exceptions import DocumentError
from rewards.rules import coupons as rules
from rewards.types.coupons import UsageLimits

ITEM = str(uuid4())


def read(name: Any = "Welcome", status: str = "active", **config: Any) -> Any:
    document = {"name": name, "status": status, "config": {"reward_item_id": ITEM, **config}}
    return rules.read_coupon(document)


def faults(**config: Any) -> dict[str, str]:
    with pytest.raises(DocumentError) as refused:
        read(**config)
    return {fault.path: fault.message for fault in refused.value.faults}


def test_a_definition_has_defaults() -> None:
    found = read()

    assert (found.code_format, found.code_length, found.code_prefix) == ("random", 8, "")
    assert (found.status, found.is_case_sensitive, found.description) == ("active", False, "")
    assert found.limits == UsageLimits(per_user=1)
    assert (found.starts_at, found.expires_at) == (None, None)


def test_codes_and_prefixes_are_folded_unless_case_counts() -> None:
    folded = read(code_format="custom", custom_code="Summer-26")
    exact = read(code_format="custom", custom_code="Summer-26", case_sensitive=True)

    assert (folded.custom_code, exact.custom_code) == ("SUMMER-26", "Summer-26")
    assert read(code_prefix="hi").code_prefix == "HI"
    assert read(code_prefix="hi", case_sensitive=True).code_prefix == "hi"


@pytest.mark.parametrize(
    ("sent", "limits"),
    [
        ({"limit_type": "per_user", "max_uses": 3}, UsageLimits(per_user=3)),
        ({"limit_type": "total", "max_uses": 10}, UsageLimits(total=10)),
        ({"limit_type": "unlimited"}, UsageLimits()),
        (
            [
                {"limit_type": "per_user", "max_uses": 1},
                {"limit_type": "total", "max_uses": 10},
            ],
            UsageLimits(per_user=1, total=10),
        ),
    ],
)
def test_limits_are_one_or_a_list(sent: Any, limits: UsageLimits) -> None:
    found = read(usage_limit=sent)

    assert (found.limits, found.usage_limit) == (limits, sent)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"reward_item_id": None}, "config.reward_item_id"),
        ({"reward_item_id": "x"}, "config.reward_item_id"),
        ({"reward_item_id": 7}, "config.reward_item_id"),
        ({"code_format": "secret"}, "config.code_format"),
        ({"code_length": 5}, "config.code_length"),
        ({"code_length": 33}, "config.code_length"),
        ({"code_prefix": "a b"}, "config.code_prefix"),
        ({"code_prefix": 7}, "config.code_prefix"),
        ({"code_format": "custom", "custom_code": "SUMMER", "code_prefix": "A"},
         "config.code_prefix"),
        ({"code_format": "custom"}, "config.custom_code"),
        ({"code_format": "custom", "custom_code": "AB"}, "config.custom_code"),
        ({"code_format": "custom", "custom_code": "=A1+B2"}, "config.custom_code"),
        ({"custom_code": "SUMMER"}, "config.custom_code"),
        ({"case_sensitive": "yes"}, "config.case_sensitive"),
        ({"starts_at": "tomorrow"}, "config.starts_at"),
        ({"starts_at": "2026-03-05T12:00:00Z", "expires_at": "2026-03-05T12:00:00Z"},
         "config.expires_at"),
        ({"usage_limit": []}, "config.usage_limit"),
        ({"usage_limit": "often"}, "config.usage_limit"),
        ({"usage_limit": {}}, "config.usage_limit.limit_type"),
        ({"usage_limit": {"limit_type": "total"}}, "config.usage_limit.max_uses"),
        ({"usage_limit": {"limit_type": "total", "max_uses": 0}}, "config.usage_limit.max_uses"),
        ({"usage_limit": [{"limit_type": "weekly", "max_uses": 1}]},
         "config.usage_limit.0.limit_type"),
        ({"usage_limit": 2 * [{"limit_type": "total", "max_uses": 1}]},
         "config.usage_limit.1.limit_type"),
        ({"usage_limit": [{"limit_type": "total", "max_uses": 1}, {"limit_type": "unlimited"}]},
         "config.usage_limit"),
        ({"discount": 5}, "config.discount"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"status": "paused"}, "status"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path(config: dict[str, Any], path: str) -> None:
    assert path in faults(**config)


def test_every_fault_is_found_at_once() -> None:
    assert len(faults(code_length=1, starts_at="x", usage_limit=[], case_sensitive=1)) == 4


# --- Codes ---------------------------------------------------------------------------------------


def test_the_alphabet_has_no_sign_that_looks_like_another() -> None:
    assert len(set(rules.ALPHABET)) == 32
    assert not set("IO01") & set(rules.ALPHABET)


@given(st.binary(min_size=6, max_size=32))
def test_a_random_code_has_its_prefix_and_one_sign_per_byte(noise: bytes) -> None:
    code = rules.random_code("VIP", noise)

    assert len(code) == 3 + len(noise)
    assert rules.is_code(code)
    assert set(code[3:]) <= set(rules.ALPHABET)


def test_every_sign_is_as_likely_as_any_other() -> None:
    code = rules.random_code("", bytes(range(256)))

    assert {code.count(sign) for sign in rules.ALPHABET} == {8}


# --- Imports and exports -------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_becomes_a_text(cell: str) -> None:
    assert rules.plain_cell(cell) == f"'{cell}"


@given(st.text(alphabet=st.characters(blacklist_categories=["Cc", "Cs", "Zs"]), max_size=30))
def test_a_cell_comes_back_as_it_was(text: str) -> None:
    assert rules.read_cell(rules.plain_cell(text)) == text.strip() or text.startswith("'")


def test_plain_cells_stay() -> None:
    assert [rules.plain_cell(each) for each in ("ABC-1", 7, None)] == ["ABC-1", "7", ""]


@pytest.mark.parametrize(
    "text",
    [
        "code,user_id\nABC,ana\n\nDEF,\n",
        "\ufeffUser_ID ; CODE\r\nana;ABC\r\n;DEF\r\n",
        'code,user_id\n"ABC","ana"\nDEF\n',
    ],
)
def test_csv_is_read_with_commas_or_semicolons(text: str) -> None:
    rows = rules.read_rows(rules.read_csv(text), is_case_sensitive=False)

    assert [(row.code, row.user_id, row.fault) for row in rows] == [
        ("ABC", "ana", ""),
        ("DEF", None, ""),
    ]


@pytest.mark.parametrize("text", ["", "ABC,ana\n", "\n\n"])
def test_csv_without_a_column_of_codes_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="column code"):
        rules.read_csv(text)


@pytest.mark.parametrize(
    "row", [None, {}, {"code": "A"}, {"code": 7}, {"code": "=A1"}, {"code": "ABC", "user_id": 7}]
)
def test_a_row_that_is_wrong_says_why(row: Any) -> None:
    assert rules.read_rows([row], is_case_sensitive=False)[0].fault


def test_later_rows_of_the_same_code_are_duplicates() -> None:
    sent = [{"code": code} for code in ("abc", "DEF", "ABC", "?", "?")]

    assert rules.duplicates(rules.read_rows(sent, is_case_sensitive=False)) == {2}
    assert rules.duplicates(rules.read_rows(sent, is_case_sensitive=True)) == set()
