"""The parts of an answer that are the same for every request of a plan, as bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from app.domain import ValueStatus

PRESENT = ValueStatus.PRESENT.value


class AnswerShape:
    """Names and statuses of `outputs`, (view as shown, feature) in answer order, and names of the `views` read."""

    def __init__(self, outputs: Sequence[tuple[str, str]], views: Sequence[str]) -> None:
        self.references = orjson.dumps([f"{view}:{feature}" for view, feature in outputs])
        self.bare_names = [feature for _, feature in outputs]
        self.repeated_names = sorted(name for name, number in Counter(self.bare_names).items() if number > 1)
        """Bare feature names that more than one view has."""
        self.full_names = [f"{view}__{feature}" for view, feature in outputs]
        self.all_present = [PRESENT] * len(outputs)
        self.all_present_json = orjson.dumps(self.all_present)
        self.views = list(views)
        self.views_json = [orjson.dumps(view) for view in views]
