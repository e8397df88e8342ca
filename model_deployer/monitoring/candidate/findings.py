"""What a comparison says about the candidate: one finding each for the loss, the cost, refusals, latency and flips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model_deployer.contract.number_format import count, number, percent
from model_deployer.contract.trial import Finding, Verdict
from model_deployer.monitoring.candidate.replay_report import (
    Changes,
    Latency,
    LossComparison,
    Refusals,
    Reproduction,
)
from model_deployer.monitoring.candidate.row_blocks import MAX_COMPARED_BLOCKS
from model_deployer.monitoring.candidate.row_losses import WorstRise
from model_deployer.monitoring.statistics.paired_comparison import MIN_DIFFERENT_BLOCKS

#: A larger latency counts only if it is larger by this many milliseconds, too: a client's clock is not finer.
_MIN_MILLISECONDS = 5.0

#: With fewer requests, their 99th percentile says nothing.
_MIN_REQUESTS = 100


@dataclass(frozen=True)
class Limits:
    """What a candidate may do and still win.

    Attributes:
        tolerance: How much larger its loss may be, as a share of the champion's.
        max_refusals: The largest share of the champion's rows that it may refuse.
        max_flips: The largest share of decisions that may change; None for any.
        max_latency: The largest ratio of its 99th percentile to the recorded one.
        alpha: The largest probability that an interval is ever wrong.
        block: What a block of rows is: ``day``, ``hour``, ``request``, ``row_id`` or a captured field.
        must_win: Whether its loss must be smaller than the champion's; otherwise it must not be larger by more than the
            tolerance.
    """

    tolerance: float = 0.05
    max_refusals: float = 0.0
    max_flips: float | None = None
    max_latency: float = 1.5
    alpha: float = 0.05
    block: str = "day"
    must_win: bool = False


@dataclass(frozen=True)
class Compared:
    """What was compared.

    Attributes:
        losses: The losses of labelled rows, the one that decides first; empty without labels.
        changes: How the answers change; None if no row is answered by both.
        refusals: New refusals.
        latency: The latency; None if it was not measured.
        reproduction: Whether the champion gives the answers that were captured; None if that is not known.
        worst: How much the loss can rise, whatever the labels are; None if that is not known.
        without: The fields that the models were asked without.
    """

    losses: Sequence[LossComparison]
    changes: Changes | None
    refusals: Refusals
    latency: Latency | None
    reproduction: Reproduction | None
    worst: WorstRise | None
    without: Sequence[str] = ()


def findings(compared: Compared, limits: Limits) -> tuple[Finding, ...]:
    """Return the findings, the most important one first."""
    return tuple(_findings(compared, limits))


def _findings(compared: Compared, limits: Limits) -> Iterator[Finding]:
    yield _of_refusals(compared.refusals, limits)
    yield _of_loss(compared, limits)
    yield from _of_decisions(compared, limits)
    if compared.changes and compared.changes.flip_share is not None:
        yield _of_flips(compared.changes, limits)
    if compared.latency:
        yield _of_latency(compared.latency, limits)
    if compared.reproduction and not compared.reproduction.is_exact:
        yield _of_reproduction(compared.reproduction)
    if compared.without:
        names = ", ".join(f"'{name}'" for name in compared.without)
        yield Finding(name="fields", verdict="open", text=f"both models were asked without {names}, unlike in service")


def _of_loss(compared: Compared, limits: Limits) -> Finding:
    loss = compared.losses[0] if compared.losses else None
    worst = compared.worst
    is_harmless = worst is not None and not limits.must_win and worst.rise <= limits.tolerance * worst.expected
    if worst and is_harmless and (loss is None or _verdict(loss, limits) == "open"):
        text = (
            f"the answers differ so little that the loss can rise by {number(worst.rise, 3)} at most on these rows, "
            "whatever their labels are"
        )
        return Finding(name="loss", verdict="won", text=text)
    if loss:
        return Finding(name="loss", verdict=_verdict(loss, limits), text=_loss_text(loss, limits))
    text = "no row has a label yet, so the rows do not say which model is better; send labels to POST /feedback"
    return Finding(name="loss", verdict="open", text=text)


def _verdict(loss: LossComparison, limits: Limits) -> Verdict:
    """Return the verdict about a loss: won if the candidate is better, or worse by at most a tolerance that it has."""
    if loss.high < 0 or (loss.high <= loss.tolerance and not limits.must_win):
        return "won"
    return "lost" if loss.low > 0 else "open"


def _loss_text(loss: LossComparison, limits: Limits) -> str:
    verdict = _verdict(loss, limits)
    result = {
        "won": "the candidate is better" if loss.high < 0 else "the candidate is not worse than the tolerance",
        "lost": "the candidate is worse",
        "open": "the rows do not say yet that it is better" if limits.must_win else "the rows do not say yet",
    }[verdict]
    needed = f"; a verdict takes about {loss.needed_rows:,} labelled rows" if loss.needed_rows else ""
    if loss.blocks < MIN_DIFFERENT_BLOCKS and verdict == "open":
        blocks = _block_count(MIN_DIFFERENT_BLOCKS, limits.block)
        needed += f"{' and' if needed else '; a verdict takes'} at least {blocks}"
    tolerance = "" if limits.must_win else f"; tolerance {_signed(loss.tolerance)}"
    return (
        f"{loss.meaning}: {number(loss.candidate)} instead of {number(loss.champion)} on {loss.rows:,} labelled rows "
        f"in {_block_count(loss.blocks, limits.block)}, a difference of {_signed(loss.difference)} "
        f"({_signed(loss.low)} to {_signed(loss.high)}{tolerance}): {result}{needed}"
    )


def _block_count(blocks: int, block: str) -> str:
    is_unit = block in ("day", "hour", "request")
    singular, plural = (block, f"{block}s") if is_unit else (f"block by {block}", f"blocks by {block}")
    if blocks >= MAX_COMPARED_BLOCKS:
        return f"{blocks:,} groups of consecutive {plural}"
    return f"{blocks:,} {singular if blocks == 1 else plural}"


def _of_decisions(compared: Compared, limits: Limits) -> Iterator[Finding]:
    """Yield the finding about the loss of the decisions: it may be open if the probabilities are better."""
    flip_share = compared.changes.flip_share if compared.changes else None
    if flip_share is None:
        return
    if not compared.losses:
        if compared.worst and flip_share > limits.tolerance * compared.worst.expected:
            text = "no row has a label yet, so the rows do not say which of the changed decisions are right"
            yield Finding(name="error_rate", verdict="open", text=text)
        return
    loss = compared.losses[1]
    verdict = _verdict(loss, limits)
    is_better, is_harmless = compared.losses[0].high < 0, flip_share <= limits.tolerance * loss.champion
    if verdict == "open" and (is_better or is_harmless):
        verdict = "won"
    yield Finding(name=loss.name, verdict=verdict, text=_loss_text(loss, limits))


def _of_refusals(refusals: Refusals, limits: Limits) -> Finding:
    verdict: Verdict = "lost" if refusals.share > limits.max_refusals else "won"
    if not refusals.rows:
        return Finding(name="refusals", verdict=verdict, text="the candidate refuses no row that the champion answers")
    reasons = "; ".join(
        f"'{reason.field}' {reason.code} ({reason.rows:,})" if reason.field else f"{reason.code} ({reason.rows:,})"
        for reason in refusals.reasons[:3]
    )
    text = f"the candidate refuses {count(refusals.rows, 'row')} that the champion answers, {percent(refusals.share)}"
    text += f": {reasons}" if reasons else ""
    return Finding(name="refusals", verdict=verdict, text=text)


def _of_flips(changes: Changes, limits: Limits) -> Finding:
    assert changes.flip_share is not None
    is_above = limits.max_flips is not None and changes.flip_share > limits.max_flips
    allowed = "" if limits.max_flips is None else f"; at most {percent(limits.max_flips)} may change"
    text = f"{percent(changes.flip_share)} of the decisions change, {changes.flips:,} of {changes.rows:,} rows{allowed}"
    return Finding(name="flips", verdict="lost" if is_above else "won", text=text)


def _of_latency(latency: Latency, limits: Limits) -> Finding:
    if latency.failures:
        text = f"{latency.failures:,} of {latency.requests:,} requests got no answer, or an error of the server"
        return Finding(name="latency", verdict="lost", text=text)
    allowed = max(limits.max_latency * latency.recorded_p99, latency.recorded_p99 + _MIN_MILLISECONDS)
    verdict: Verdict = "lost" if latency.p99 > allowed else "won"
    text = (
        f"p99 {number(latency.p99, 3)} ms at {latency.speed:g} times the recorded pace, recorded "
        f"{number(latency.recorded_p99, 3)} ms; at most {number(allowed, 3)} ms may pass"
    )
    if latency.requests < _MIN_REQUESTS:
        verdict, text = "open", f"{text}; {latency.requests:,} requests are too few, at least {_MIN_REQUESTS}"
    elif verdict == "lost" and latency.delay_p99 > _MIN_MILLISECONDS:
        delay = number(latency.delay_p99, 3)
        verdict, text = "open", f"{text}; this client sent requests up to {delay} ms late, so use a lower --speed"
    return Finding(name="latency", verdict=verdict, text=text)


def _of_reproduction(reproduction: Reproduction) -> Finding:
    text = (
        f"the champion answers {reproduction.differing:,} of {reproduction.rows:,} of its captured rows differently "
        "now: the rows were not captured completely, or this machine computes differently"
    )
    return Finding(name="reproduction", verdict="open", text=text)


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, 3)}"
