"""A Feast RetrievalJob over an Arrow table that is computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata


class ArrowJob(RetrievalJob):
    """What Feast's materialization and ours take rows from."""

    def __init__(self, compute: Callable[[], pa.Table]) -> None:
        self._compute = compute

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._compute()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._compute().to_pandas()

    @property
    def full_feature_names(self) -> bool:
        return False

    @property
    def on_demand_feature_views(self) -> list[Any]:
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return None

    def persist(self, storage: Any, allow_overwrite: bool | None = False, timeout: int | None = None) -> None:
        """Not needed for materialization; saved datasets go through Feast's own jobs."""
        raise NotImplementedError("the rows of a materialization are not kept as a saved dataset")
