"""Table to numbers to estimator: the steps that all models share."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler


def model_of(estimator: BaseEstimator, linear: bool = False) -> Pipeline:
    "Table → numbers → estimator; linear ones get filled and scaled numbers, in a sparse matrix whose rows are summed each by itself, trees an array, since they refuse some letters in a column's name."
    from skrub import StringEncoder, TableVectorizer

    text = StringEncoder(n_components=8, random_state=0)
    levels = OneHotEncoder(
        dtype="float32", handle_unknown="ignore", sparse_output=False
    )  # skrub's own warns of new categories
    vectorizer = TableVectorizer(low_cardinality=levels, high_cardinality=text, n_jobs=1)
    steps = (
        [
            SimpleImputer(strategy="median", keep_empty_features=True),
            StandardScaler(),
            FunctionTransformer(csr_matrix),
        ]
        if linear
        else [FunctionTransformer(np.asarray)]
    )
    return make_pipeline(vectorizer, *steps, estimator)


def numbers(column: pd.Series) -> pd.Series:
    "A column as numbers: times as days, anything else that is no number as codes by frequency."
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float)
    if pd.api.types.is_datetime64_any_dtype(column):
        return (pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    return (
        column.astype(str).map(column.astype(str).value_counts().rank(method="first")).astype(float)
    )
