"""The parts of an answer that are the same for every request of a plan, as bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from app.domain import ValueStatus

PRESENT = ValueStatus.PRESENT.value
_MOST_PATTERNS = 1000


class StatusPatterns(dict[tuple[str, ...], bytes]):
    """Statuses of a row, by output, as JSON: made once per pattern, of which most plans meet a handful."""

    def __missing__(self, statuses: tuple[str, ...]) -> bytes:
        if len(self) >= _MOST_PATTERNS:
            self.clear()
        self[statuses] = encoded = orjson.dumps(statuses)
        return encoded


class AnswerShape:
    """Names and statuses of `outputs`, (view as shown, feature) in answer order, and names of the `views` read, for a
    feature service called `name`."""

    def __init__(self, name: str, outputs: Sequence[tuple[str, str]], views: Sequence[str]) -> None:
        self.references = [f"{view}:{feature}" for view, feature in outputs]
        self.references_json = orjson.dumps(self.references)
        self.bare_names = [feature for _, feature in outputs]
        self.repeated_names = sorted(name for name, number in Counter(self.bare_names).items() if number > 1)
        """Bare feature names that more than one view has."""
        self.full_names = [f"{view}__{feature}" for view, feature in outputs]
        self.all_present = [PRESENT] * len(outputs)
        self.all_present_json = orjson.dumps(self.all_present)
        self.patterns = StatusPatterns()
        self.views = list(views)
        self.views_json = [orjson.dumps(view) for view in views]
        self.opening = b'{"feature_service":' + orjson.dumps(name)
        """How an answer to a GET begins."""
        self.present_by_name = {
            full: orjson.dumps(dict.fromkeys(self.full_names if full else self.bare_names, PRESENT))
            for full in (False, True)
        }
        """The statuses of an answer to a GET in which all are PRESENT, by whether it has full feature names."""
