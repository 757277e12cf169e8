"""Training on more rows than one machine's memory holds."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
from lightgbm import LGBMClassifier, LGBMRegressor

from ..data.parts import Chunk, Table, frame_of, table_of
from ..data.steps import dask_client


def fit_on_cluster(
    estimator: LGBMClassifier | LGBMRegressor,
    source: Path,
    inputs: list[str],
    target: str,
    scheduler: str,
) -> LGBMClassifier | LGBMRegressor:
    """LightGBM of these settings, fitted on Parquet files by the workers of a Dask cluster.

    The inputs are numbers; what comes back predicts without Dask. The rows are spread over the
    workers by the hash of their inputs: LightGBM finds a column's bins from the rows of one worker,
    which must not be those of one end of a sorted table.
    """
    import dask.dataframe as dd
    from distributed import wait
    from lightgbm.dask import DaskLGBMClassifier, DaskLGBMRegressor

    kind, table = (
        DaskLGBMClassifier if isinstance(estimator, LGBMClassifier) else DaskLGBMRegressor,
        table_of(source),
    )
    empty = frame_of(table.schema.empty_table(), table)
    with dask_client(scheduler) as client:
        rows = (
            dd.from_map(_rows, table.chunks(), table=table, meta=empty)[[*inputs, target]]
            .shuffle(on=inputs)
            .persist()
        )
        wait(rows)  # inputs and target must come from the same partitions: LightGBM issue 6920
        return (
            kind(client=client, **estimator.get_params()).fit(rows[inputs], rows[target]).to_local()
        )


def _rows(chunk: Chunk, table: Table) -> pd.DataFrame:
    return frame_of(pa.Table.from_batches(table.batches(chunk), table.schema), table)
