"""Training on more rows than one machine's memory holds."""

from pathlib import Path

from lightgbm import LGBMClassifier, LGBMRegressor

from .parts import table_of


def fit_on_cluster(estimator: LGBMClassifier | LGBMRegressor, source: Path, inputs: list[str], target: str, scheduler: str) -> LGBMClassifier | LGBMRegressor:
    """LightGBM of these settings, fitted on Parquet files by the workers of a Dask cluster, each with its share of the rows.

    The inputs are numbers; what comes back predicts without Dask.
    """
    import dask.dataframe as dd
    from distributed import Client
    from lightgbm.dask import DaskLGBMClassifier, DaskLGBMRegressor

    kind = DaskLGBMClassifier if isinstance(estimator, LGBMClassifier) else DaskLGBMRegressor
    with Client(scheduler, timeout=10) as client:
        table = dd.read_parquet([str(file) for file in table_of(source).files], columns=[*inputs, target])
        return kind(client=client, **estimator.get_params()).fit(table[inputs], table[target]).to_local()
