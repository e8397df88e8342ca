"""Products of columns."""

from collections.abc import Iterator
from itertools import chain, combinations, combinations_with_replacement

from model_deployer.adoption.graph.expression import concat
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.stored_object import StoredObject


@transformer("sklearn.PolynomialFeatures")
def write_polynomial(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the products of up to ``degree`` columns."""
    block, numbers = complete_numbers(frame, graph)
    factors = list(_factors(stored, block.width))
    most = max(map(len, factors))
    # Each product has the same number of factors; the last column, of ones, fills up.
    padded = concat([numbers, numbers.columns([0]) * 0.0 + 1.0])
    rows = [[*product, *[block.width] * (most - len(product))] for product in factors]
    result = padded.columns([row[0] if row else block.width for row in rows])
    for position in range(1, most):
        result = result * padded.columns([row[position] for row in rows])
    names = ["*".join(block.names[index] for index in product) or "1" for product in factors]
    origins = [block.origins[product[0]] if len(product) == 1 else None for product in factors]
    return Frame.of_numbers(result.tensor, names, origins)


def _factors(stored: StoredObject, width: int) -> Iterator[tuple[int, ...]]:
    degree = stored["degree"]
    lowest, highest = (0, int(degree)) if not isinstance(degree, (tuple, list)) else (int(degree[0]), int(degree[1]))
    choose = combinations if stored.get("interaction_only") else combinations_with_replacement
    products = chain.from_iterable(choose(range(width), count) for count in range(max(1, lowest), highest + 1))
    return chain([()] if stored.get("include_bias", True) else [], products)
