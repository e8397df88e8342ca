"""The section of report.html on the source of a model that was trained elsewhere."""

from model_deployer.contract import origin_text
from model_deployer.contract.evaluation import Evaluation
from model_deployer.training.report.html_elements import Html, definition_list, element, number_cell, section, table


def source_section(evaluation: Evaluation) -> Html | None:
    """Return what the source is, and on which rows the model answers otherwise; None for a model trained here."""
    adoption = evaluation.adoption
    if adoption is None:
        return None
    text = " ".join(["The model was trained elsewhere.", origin_text.seen(adoption), *origin_text.equality(adoption)])
    rows = adoption.equality.rows if adoption.equality else ()
    cells = [[row.case, number_cell(origin_text.difference(row.difference)), row.source, row.served] for row in rows]
    head = ["Row", "Difference", "Answer of the source", "Answer of the model"]
    facts = definition_list(origin_text.source_facts(adoption))
    return section("Does it answer as its source?", element("p", text), table(head, cells) if cells else Html(), facts)
