"""From the sum of trees to a prediction."""

import numpy as np

from model_deployer.adoption.graph.graph_writer import GraphWriter


def sigmoid(graph: GraphWriter, scores: str, factor: float = 1.0) -> str:
    """Return 1 / (1 + exp(-factor * score)), double [rows, columns]."""
    scaled = scores if factor == 1.0 else graph.add("Mul", scores, graph.constant(factor))
    return graph.add("Sigmoid", scaled)


def two_columns(graph: GraphWriter, probabilities: str) -> str:
    """Return the probabilities of both labels from that of the second one, double [rows, 2]."""
    return graph.add("Concat", graph.add("Sub", graph.constant(1.0), probabilities), probabilities, axis=1)


def softmax(graph: GraphWriter, scores: str) -> str:
    """Return the softmax of each row, double [rows, labels]."""
    return graph.add("Softmax", scores, axis=1)


def share_of_sum(graph: GraphWriter, positive: str) -> str:
    """Divide the numbers of each row by their sum, double [rows, labels]."""
    total = graph.add("ReduceSum", positive, graph.constant(np.array([1], np.int64)), keepdims=1)
    return graph.add("Div", positive, total)
