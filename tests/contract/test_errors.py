from collections.abc import Iterator

from model_deployer.contract import errors
from model_deployer.contract.errors import REQUEST_ERRORS, RequestError
from model_deployer.serving.protocols.registry import PROTOCOLS


def subclasses(error: type[RequestError]) -> Iterator[type[RequestError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_the_catalogue_holds_every_refusal_once() -> None:
    assert PROTOCOLS  # translators must not define errors of their own
    defined = [error for error in subclasses(RequestError) if error.__module__.startswith("model_deployer.")]
    assert sorted(REQUEST_ERRORS, key=repr) == sorted(defined, key=repr)


def test_every_code_is_used_once() -> None:
    codes = [error.code for error in REQUEST_ERRORS]
    assert len(set(codes)) == len(codes)


def test_the_tree_in_the_docstring_is_the_catalogue() -> None:
    assert errors.__doc__
    lines = [line.split() for line in errors.__doc__.splitlines() if line.startswith("        ")]
    tree = [tuple(line[1:]) for line in lines if line[0] in ("├──", "└──")]
    assert tree == [
        (error.__name__, str(error.status), error.grpc_status, "yes" if error.retry else "no", error.code)
        for error in REQUEST_ERRORS
    ]
