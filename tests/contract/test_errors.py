from collections.abc import Iterator

from model_deployer.contract import errors
from model_deployer.contract.errors import REQUEST_ERRORS, RequestError
from model_deployer.serving.protocols.registry import PROTOCOLS


def below(error: type[RequestError]) -> Iterator[type[RequestError]]:
    for each in error.__subclasses__():
        yield each
        yield from below(each)


def test_the_catalogue_holds_every_refusal_once() -> None:
    assert PROTOCOLS  # translators may not bring refusals of their own
    ours = [error for error in below(RequestError) if error.__module__.startswith("model_deployer.")]
    assert sorted(REQUEST_ERRORS, key=repr) == sorted(ours, key=repr)


def test_every_code_is_used_once() -> None:
    codes = [error.code for error in REQUEST_ERRORS]
    assert len(set(codes)) == len(codes)


def test_the_tree_in_the_docstring_is_the_catalogue() -> None:
    assert errors.__doc__
    lines = [line.split() for line in errors.__doc__.splitlines() if line.startswith("        ")]
    drawn = [tuple(line[1:]) for line in lines if line[0] in ("├──", "└──")]
    assert drawn == [
        (error.__name__, str(error.status), error.grpc_status, "yes" if error.retry else "no", error.code)
        for error in REQUEST_ERRORS
    ]
