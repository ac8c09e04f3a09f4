"""Tokens: which namespace each opens, and what opens none."""

import pytest

from analytics_kit.errors import SettingsError
from analytics_kit.web.auth import TokenStore

ONE, TWO = "one-0123456789abcdef", "two-0123456789abcdef"


def test_a_token_opens_the_namespace_of_the_settings():
    assert TokenStore(ONE, "ann").namespace_of(f"Bearer {ONE}") == "ann"


def test_each_token_opens_its_own():
    keys = TokenStore(f"# tokens\n\nann: {ONE}\n  bob:{TWO}  \n", "else")
    assert keys.namespace_of(f"Bearer {ONE}") == "ann"
    assert keys.namespace_of(f"bearer {TWO}") == "bob"
    assert len(keys) == 2


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", ONE, f"Basic {ONE}", f"Bearer {ONE}x", f"Bearer {ONE[:-1]}", "Bearer é"]
)
def test_nothing_else_opens(header):
    assert TokenStore(ONE, "ann").namespace_of(header) is None


def test_without_tokens_nothing_opens():
    assert TokenStore("\n# none\n", "ann").namespace_of("Bearer ") is None


@pytest.mark.parametrize("line", ["short", "ann: short", "two words-0123456789", "ann/x: " + ONE, f"a: b: {ONE}"])
def test_a_line_that_can_not_be_read_is_named_and_not_quoted(line):
    with pytest.raises(SettingsError, match="Line 2") as caught:
        TokenStore(f"{TWO}\n{line}", "ann")
    assert line not in str(caught.value)


def test_tokens_are_not_kept():
    assert ONE not in repr(vars(TokenStore(ONE, "ann")))


def test_who_knows_the_same_tokens_signs_alike():
    one = TokenStore(f"ann: {ONE}\nbob: {TWO}", "x").signing_key()
    assert TokenStore(f"bob: {TWO}\nann: {ONE}", "x").signing_key() == one
    for other in (f"ann: {ONE}", f"bob: {ONE}\nann: {TWO}", f"ann: {ONE}x\nbob: {TWO}"):
        assert TokenStore(other, "x").signing_key() != one
