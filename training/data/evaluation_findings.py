"""What the findings about a table mean where it evaluates a model that was trained elsewhere.

The columns are those that the model reads: none can be left out, and no row of the table trains it.
"""

from collections.abc import Iterable

from model_deployer.contract.evaluation import Finding

#: The codes of findings that are about training only.
_ABOUT_TRAINING = {
    "numbers_as_text",
    "repeated_units",
    "field_is_group",
    "field_spans_groups",
    "test_rows_in_training",
}

_KNOWN_IN_TIME = "make sure that it is known at the time of prediction"

#: The consequence of a finding for such a model, by its code.
_CONSEQUENCES = {
    "empty_column": "no figure covers another value",
    "constant_column": "no figure covers another value",
    "identifier_column": "make sure that the model may read an identifier",
    "leakage": _KNOWN_IN_TIME,
    "one_sided_column": _KNOWN_IN_TIME,
}


def evaluation_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that concern such a model, with their consequences for it.

    Args:
        findings: The findings about the table.
    """
    return [_for_evaluation(finding) for finding in findings if finding.code not in _ABOUT_TRAINING]


def _for_evaluation(finding: Finding) -> Finding:
    consequence = _CONSEQUENCES.get(finding.code)
    if consequence is None:
        return finding
    severity = "warning" if finding.severity == "error" else finding.severity
    observation = finding.message.rpartition(";")[0].replace("training and validation rows", "reference rows")
    return finding.model_copy(update={"severity": severity, "message": f"{observation}; {consequence}"})
