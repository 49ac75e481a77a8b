"""What JSON may say where a value of some feature type is expected: hypothesis strategies."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

_NUMBERS = st.integers() | st.floats(width=32) | st.integers(-(2**31) - 1, 2**31) | st.integers(-(2**63) - 1, 2**63)
TIMES = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat()),
    st.datetimes(datetime(1800, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.isoformat()),  # noqa: DTZ001
    st.datetimes(datetime(2020, 1, 1), datetime(2021, 1, 1), timezones=st.timezones()).map(  # noqa: DTZ001
        lambda moment: moment.isoformat()
    ),
)
ANY_VALUES = (
    st.none() | st.booleans() | _NUMBERS | st.text(max_size=3) | st.lists(st.text(max_size=1), max_size=2) | TIMES
)
