"""What only people know about a model, for its documents: model.yaml says it, and nothing can measure it."""

from pydantic import BaseModel, ConfigDict


class CardStatements(BaseModel):
    """Statements of the model's owner; what is None was not said, and the model card names it as such.

    Attributes:
        intended_users: Who uses the answers, and for which decision.
        out_of_scope: For whom, and for which decisions, the model is not meant.
        oversight: How a person reviews, overrides and stops the answers.
        current_practice: How the decision is made today, and how good that is.
        source: Where the table comes from.
        collection: How, and for which purpose, the data were collected.
        period: The time that the data are from.
        personal_data: Which personal data the table has, and on which basis they are used.
        preprocessing: What was done to the data before the table was written.
        fairness: Which groups of people were considered, and what was found.
        misuse: Foreseeable misuse, and what prevents it.
        review: When the model is reviewed, and when it is trained again at the latest.
        retention: How long requests, answers and logs are kept.
        deprecation: How long a version is served after its successor.
        approval: Who approved the use of the model, and when.
        energy: The energy of the training.
        citation: How to cite the model.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    intended_users: str | None = None
    out_of_scope: str | None = None
    oversight: str | None = None
    current_practice: str | None = None
    source: str | None = None
    collection: str | None = None
    period: str | None = None
    personal_data: str | None = None
    preprocessing: str | None = None
    fairness: str | None = None
    misuse: str | None = None
    review: str | None = None
    retention: str | None = None
    deprecation: str | None = None
    approval: str | None = None
    energy: str | None = None
    citation: str | None = None
