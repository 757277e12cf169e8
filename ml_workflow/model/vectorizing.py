"""Table to numbers to estimator: the steps that all models share."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from ..data.columns import days


def vectorized(estimator: BaseEstimator) -> Pipeline:
    """Table to numbers to an estimator of trees.

    It gets an array, since boosters refuse some letters in a column's name.
    """
    return make_pipeline(_table_to_numbers(), FunctionTransformer(np.asarray), estimator)


def scaled(estimator: BaseEstimator) -> Pipeline:
    """Table to filled and scaled numbers to a linear estimator."""
    return make_pipeline(_table_to_numbers(), *scaling(), estimator)


def scaling() -> list[BaseEstimator]:
    """Steps from numbers to filled and scaled ones.

    In a sparse matrix a row's sum does not depend on other rows, which BLAS does not promise.
    """
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    return [filled, StandardScaler(), FunctionTransformer(csr_matrix)]


def _table_to_numbers() -> BaseEstimator:
    from skrub import StringEncoder, TableVectorizer

    # skrub's own encoder of few categories warns of new ones
    few = OneHotEncoder(dtype="float32", handle_unknown="ignore", sparse_output=False)
    many = StringEncoder(n_components=8, random_state=0)
    return TableVectorizer(low_cardinality=few, high_cardinality=many, n_jobs=1)


def as_numbers(column: pd.Series) -> pd.Series:
    """A column as numbers: times as days, what is no number as its rank by frequency."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float)
    if pd.api.types.is_datetime64_any_dtype(column):
        return days(column)
    texts = column.astype(str)
    return texts.map(texts.value_counts().rank(method="first")).astype(float)
