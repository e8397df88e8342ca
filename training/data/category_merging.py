"""One spelling for each category of the columns with ``normalize`` in model.yaml."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.category_spelling import CategorySpelling, NormalizationStep, normal_form
from model_deployer.contract.errors import SpecError
from model_deployer.contract.features import Categorical, Feature
from model_deployer.training.data.columns import canonical, holds_strings
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import Spec

#: The maximum number of categories of a column that is normalized: the contract lists all of them for the service.
MAX_NORMALIZED_CATEGORIES = 10_000


def merge_categories(frame: pl.DataFrame, rows: NDArray[np.int64], spec: Spec) -> pl.DataFrame:
    """Return a table in which each category has one spelling, and print what was merged.

    The spelling is that of ``categories`` in model.yaml, else the most frequent one.

    Args:
        frame: The table.
        rows: The training and validation rows, int64 indices. The spellings of other rows are unknown when the model
            is trained; they become categories of these rows, or stay as they are.
        spec: The model.yaml.

    Raises:
        SpecError: if two ``categories`` in model.yaml are the same category, or if a column has more categories than
            the contract can list.
    """
    merged = []
    for name, override in spec.features.items():
        if not override.normalize or name not in frame.columns or not holds_strings(frame[name]):
            continue
        known = canonical(frame[name][rows], "categorical").drop_nulls()
        categories = override.categories or _most_frequent(known, override.normalize)
        if len(categories) > MAX_NORMALIZED_CATEGORIES:
            reason = f"the column has {len(categories):,} categories, and at most {MAX_NORMALIZED_CATEGORIES:,} can be"
            raise SpecError(f"{spec.location('features', name, 'normalize')}: {reason} normalized; leave the key out")
        try:
            spelling = CategorySpelling(categories, override.normalize)
        except ValueError as error:
            raise SpecError(f"{spec.location('features', name, 'categories')}: {error}") from None
        column = respell(canonical(frame[name], "categorical"), spelling)
        frame = frame.with_columns(column)
        count = column[rows].drop_nulls().n_unique()
        if (spellings := known.filter(respell(known, spelling).is_not_null()).n_unique()) > count:
            merged.append(f"{name}: {spellings:,} spellings of {count:,} categories")
    if merged:
        print_stage("merge", "; ".join(merged))
    return frame


def with_known_spellings(values: pl.Series, feature: Feature) -> pl.Series:
    """Return the values of a feature of strings, null for missing, with the spellings of its categories."""
    spelling = feature.spelling() if isinstance(feature, Categorical) else None
    return respell(values, spelling) if spelling else values


def respell(strings: pl.Series, spelling: CategorySpelling) -> pl.Series:
    """Return a String column in which each category has one spelling; a text of spaces that are trimmed is null."""
    texts = strings.drop_nulls().unique().to_list()
    categories = [spelling(text) or None for text in texts]
    return strings.replace_strict(texts, categories, default=None, return_dtype=pl.String)


def _most_frequent(strings: pl.Series, steps: Sequence[NormalizationStep]) -> list[str]:
    """Return the most frequent spelling of each category; of equally frequent ones, the first in sorted order."""
    form = normal_form(steps)
    counts = strings.alias("text").value_counts(name="rows").sort(["rows", "text"], descending=[True, False])
    spellings: dict[str, str] = {}
    for text in counts["text"]:
        spellings.setdefault(form(text), text)
    return [spelling for text, spelling in spellings.items() if text]
