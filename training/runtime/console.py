"""What a person reads while a model is trained: one line a stage."""

from rich import get_console

from model_deployer.training.runtime.launch import launch

_STYLES = {"warning": "yellow", "error": "red", "saved": "green"}


def print_stage(stage: str, text: str) -> None:
    """Print one line on the console that progress goes to; of processes launched together only the first one speaks."""
    if launch().is_worker:
        return
    get_console().print(f"[{_STYLES.get(stage, 'cyan')}]{stage:>10}[/]  ", end="")
    get_console().print(text, markup=False, highlight=False, soft_wrap=True)
