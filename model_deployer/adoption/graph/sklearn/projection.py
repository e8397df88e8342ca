"""Project rows on directions: principal components and singular vectors."""

import numpy as np

from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.stored_object import StoredObject


@transformer("sklearn.PCA", "sklearn.IncrementalPCA", "sklearn.RandomizedPCA", "sklearn.TruncatedSVD")
def write_projection(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write (x - mean) @ components, each divided by its deviation if the step whitens."""
    _, numbers = complete_numbers(frame, graph)
    mean = stored.get("mean_")
    if mean is not None:
        numbers = numbers - np.asarray(mean, np.float64)
    projected = numbers @ np.asarray(stored["components_"], np.float64).T
    if stored.get("whiten"):
        deviation = np.sqrt(np.asarray(stored["explained_variance_"], np.float64))
        projected = projected / np.maximum(deviation, np.finfo(np.float64).eps)
    return Frame.of_numbers(projected.tensor, [f"component_{number}" for number in range(len(stored["components_"]))])
