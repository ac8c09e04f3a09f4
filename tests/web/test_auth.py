"""Tokens: which namespace each gives access to, and which headers give none."""

import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.web.auth import TokenStore

ONE, TWO = "one-0123456789abcdef", "two-0123456789abcdef"


def test_a_token_without_a_namespace_has_the_one_of_the_settings():
    assert TokenStore(ONE, "ann").namespace_of(f"Bearer {ONE}") == "ann"


def test_each_token_has_its_namespace():
    tokens = TokenStore(f"# tokens\n\nann: {ONE}\n  bob:{TWO}  \n", "else")
    assert tokens.namespace_of(f"Bearer {ONE}") == "ann"
    assert tokens.namespace_of(f"bearer {TWO}") == "bob"
    assert len(tokens) == 2


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", ONE, f"Basic {ONE}", f"Bearer {ONE}x", f"Bearer {ONE[:-1]}", "Bearer é"]
)
def test_any_other_header_has_no_namespace(header):
    assert TokenStore(ONE, "ann").namespace_of(header) is None


def test_an_empty_store_accepts_nothing():
    assert TokenStore("\n# none\n", "ann").namespace_of("Bearer ") is None


@pytest.mark.parametrize("line", ["short", "ann: short", "two words-0123456789", "ann/x: " + ONE, f"a: b: {ONE}"])
def test_an_invalid_line_is_reported_by_number_and_not_quoted(line):
    with pytest.raises(SettingsError, match="Line 2") as error:
        TokenStore(f"{TWO}\n{line}", "ann")
    assert line not in str(error.value)


def test_tokens_are_not_kept():
    assert ONE not in repr(vars(TokenStore(ONE, "ann")))


def test_the_signing_key_depends_on_all_tokens_and_not_on_their_order():
    key = TokenStore(f"ann: {ONE}\nbob: {TWO}", "x").signing_key()
    assert TokenStore(f"bob: {TWO}\nann: {ONE}", "x").signing_key() == key
    for other in (f"ann: {ONE}", f"bob: {ONE}\nann: {TWO}", f"ann: {ONE}x\nbob: {TWO}"):
        assert TokenStore(other, "x").signing_key() != key
