"""Whether a model was trained by this project or elsewhere, in words: one function per fact, for every document.

Of a model that was trained elsewhere, only its source and the table that evaluates it are known. The rows that live
values are compared with are the train and validation parts of that table, the reference rows.
"""

from collections.abc import Iterator, Mapping

from model_deployer.contract.adoption import Adoption, Equality, Recalibration
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.number_format import count
from model_deployer.contract.outputs import Classification, Output, Regression


def made(evaluation: Evaluation) -> str:
    """Return what was done to a model when its artifact was created, as a participle: trained, adopted."""
    if evaluation.adoption is None:
        return "trained"
    return "calibrated again" if evaluation.adoption.recalibration else "adopted"


def estimator(evaluation: Evaluation) -> str:
    """Return the class of a source, else its format, or the chosen estimator of a training; empty if not known."""
    adoption = evaluation.adoption
    if adoption is None:
        return evaluation.estimator or ""
    return adoption.estimator or adoption.format


def test_rows(evaluation: Evaluation) -> str:
    """Return the test rows as a noun phrase, with what is known of their use for training."""
    rows = count(evaluation.rows.test, "row") if evaluation.rows else "rows"
    match evaluation.adoption:
        case None:
            return f"{rows} that were not used for training"
        case Adoption(seen=False):
            return f"{rows} that were not used for training, as model.yaml says"
        case Adoption(seen=True):
            return f"{rows} of a table that the source was trained on, in whole or in part"
    return f"{rows} that the source may have been trained on"


def reference_rows(evaluation: Evaluation) -> str:
    """Return the rows that live values are compared with as a noun phrase."""
    return "the reference rows" if evaluation.adoption else "the training rows"


def in_reference(evaluation: Evaluation) -> str:
    """Return where live values are compared with: in training, in the reference rows."""
    return "in the reference rows" if evaluation.adoption else "in training"


def uses_of_parts(evaluation: Evaluation, output: Output) -> Mapping[str, str]:
    """Return what each part of the table was used for, by its name, as infinitives."""
    if evaluation.adoption:
        fixed = _fixed_by_validation(output)
        return {
            "train": "to fit the baselines, and as a reference for drift",
            "validation": f"to fix the {fixed}, and as a reference for drift" if fixed else "as a reference for drift",
            "test": _use_of_test(output),
        }
    refit = ", and to train the final model" if evaluation.refitted else ""
    calibrate = " and calibrate" if evaluation.calibrated else ""
    return {
        "train": "to train the model",
        "validation": f"to choose{calibrate} the model{refit}",
        "test": "to measure the model, once",
    }


def _use_of_test(output: Output) -> str:
    if output.task == "embedding":
        return "for the golden requests, and to measure the latency"
    return "to measure the model, once"


def _fixed_by_validation(output: Output) -> str:
    if isinstance(output, Regression):
        return "prediction interval" if output.interval else ""
    has_sets = isinstance(output, Classification) and output.set_threshold is not None
    return "prediction sets" if has_sets else ""


def seen(adoption: Adoption) -> str:
    """Return a sentence on whether the source was trained on rows of the table, and what this means for figures."""
    match adoption.seen:
        case False:
            return "The source was not trained on rows of this table, as model.yaml says."
        case True:
            return (
                "The source was trained on rows of this table, as model.yaml says: its figures are likely better than "
                "those on new rows."
            )
    return (
        "model.yaml does not say whether the source was trained on rows of this table (adopt.seen). If it was, its "
        "figures are likely better than those on new rows."
    )


def source_facts(adoption: Adoption) -> Iterator[tuple[str, str]]:
    """Yield the facts about a source by name, as text."""
    yield "Source", adoption.source
    yield "Digest", adoption.digest
    yield "Format", adoption.format
    yield "Class", adoption.estimator or "not named"
    yield "Stored with", _versions(adoption.stored_with) or "not named"
    use = "Compared with" if adoption.served_by == "graph" else "Answers with"
    yield use, _versions(adoption.answered_with) or "not known"
    for note in adoption.notes:
        yield "Note", note
    yield "Served", served(adoption)
    yield "Trained on rows of the table", {True: "yes", False: "no", None: "not said"}[adoption.seen]


def served(adoption: Adoption) -> str:
    """Return how the model is served, and the reason if it is not a graph."""
    if adoption.served_by == "graph":
        return "as an ONNX graph"
    reason = f", because {_why_no_graph(adoption.reason)}" if adoption.reason else ""
    return f"by the source itself, in a process of its own{reason}"


def _why_no_graph(reason: str) -> str:
    """Return the reason for readers who do not know the writers of graphs."""
    part = reason.removesuffix(" has no graph writer")
    return reason if part == reason else f"no ONNX graph can be written of {part}"


def equality(adoption: Adoption) -> Iterator[str]:
    """Yield sentences on how far the answers of the model are those of its source."""
    comparison = adoption.equality
    if adoption.recalibration:
        yield recalibration(adoption.recalibration)
        return
    if comparison is None and adoption.served_by == "runner":
        yield "The source itself answers, so that there is nothing to compare."
        return
    if comparison is None:
        yield "The source was not asked: whether the model answers as its source does is not known."
        return
    compared = compared_rows(comparison)
    yield from _differences(comparison, compared) if not comparison.is_proved else _proof(comparison, compared)
    largest, tolerance = difference(comparison.largest), difference(comparison.tolerance)
    absolute = "" if comparison.largest_absolute is None else f" ({difference(comparison.largest_absolute)} absolute)"
    yield f"The largest difference is {largest}{absolute}, where {tolerance} is allowed."
    if comparison.refused:
        yield _refusals(comparison, adoption)


def recalibration(changes: Recalibration) -> str:
    """Return what a recalibration changed, as a sentence."""
    rows = f"{count(changes.rows, 'labelled row')} of its traffic from {changes.first[:10]} to {changes.last[:10]}"
    if changes.factor is not None:
        return f"Its intervals are {changes.factor:.3g} times as wide as those of its source, fitted on {rows}."
    return f"Its probabilities are calibrated again on {rows}; their order is that of its source."


def compared_rows(comparison: Equality) -> str:
    """Return the rows that were compared as a noun phrase; without a table, there are probe rows only."""
    probes = count(comparison.probe_rows, "probe row")
    return f"{count(comparison.table_rows, 'row')} of the table and {probes}" if comparison.table_rows else probes


def _refusals(comparison: Equality, adoption: Adoption) -> str:
    kinds = ", ".join(f"{name} in {rows:,}" for name, rows in comparison.refusals.items())
    graph = "; the graph answers such rows" if adoption.served_by == "graph" else ""
    refused = f"The source refuses {count(comparison.refused, 'row')} that the contract accepts"
    return f"{refused}, with an error ({kinds}): they were not compared{graph}."


def _proof(comparison: Equality, compared: str) -> Iterator[str]:
    decisions = "" if comparison.flips is None else ", and every decision is the same"
    yield f"The model answers as its source does in {compared}{decisions}."


def _differences(comparison: Equality, compared: str) -> Iterator[str]:
    flips = "" if comparison.flips is None else f", and decides otherwise in {comparison.flips:,}"
    yield f"Of {compared}, the model differs from its source beyond the tolerance in {comparison.differing:,}{flips}."


def difference(value: float) -> str:
    """Return a difference between a source and its model, with two significant digits."""
    return f"{value:.2g}"


def from_threshold(threshold: str, evaluation: Evaluation) -> str:
    """Return the probabilities that lead to the decision for the second of two labels: at least 0.3, above 0.5.

    A source decides above its threshold; the threshold of its contract is the next number in float32.
    """
    return f"{'above' if evaluation.adoption else 'at least'} {threshold}"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
