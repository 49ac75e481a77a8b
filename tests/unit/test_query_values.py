"""Values in query strings: parsed by type, and refused where text cannot say them."""

from __future__ import annotations

import pytest

from app.serving.query_values import parse_text
from app.values import ValueFault


@pytest.mark.parametrize("text", ["", "1.5", "٣", "1_000", "9" * 21, "0x1", " 1", "--1"])
def test_query_text_that_is_no_plain_integer_is_a_fault(text: str) -> None:
    with pytest.raises(ValueFault):
        parse_text(text, "INT64")


def test_query_text_is_parsed_by_type() -> None:
    assert parse_text("-12", "INT64") == -12
    assert parse_text("TRUE", "BOOL") is True
    assert parse_text("1e3", "DOUBLE") == 1000.0
    for text, dtype in [("nan", "DOUBLE"), ("yes", "BOOL"), ("{}", "MAP")]:
        with pytest.raises(ValueFault):
            parse_text(text, dtype)
