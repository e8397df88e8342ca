"""The configuration of the server, and the problems that `deployer check` reports."""

import re
from pathlib import Path

import pytest

from model_deployer.contract.errors import UsageError
from model_deployer.serving.config import configuration
from tests.support import tiny
from tests.support.processes import ROOT, run, serve

SERVICE = (ROOT / "service.py").read_text()
CONFIGURATION = ROOT / "configuration.yaml"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "configuration.yaml"
    file.write_text(text)
    return [line.removeprefix(f"{file}:") for line in configuration.check(file)]


def test_nothing_is_wrong_with_the_file_that_is_there() -> None:
    assert configuration.check(CONFIGURATION) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 2", "1: version: BentoML does not start with this key; leave it out"),
        ("service: {}", "1: service: unknown key; did you mean 'services'?"),
        ("services:\n  worker: 2", "2: services.worker: unknown key; did you mean 'workers'?"),
        ("services: {metrics: {enabeld: true}}", "1: services.metrics.enabeld: unknown key; did you mean 'enabled'?"),
        ("services: {Runer: {}}", "1: services.Runer: unknown key; did you mean 'Runner'?"),
        ("services: {Runner: {workers: 0}}", "1: services.Runner.workers: expected greater than 0"),
        ("serving:\n  engin: cpu", "2: serving.engin: unknown key; did you mean 'engine'?"),
        ("serving: {engine: cp}", "1: serving.engine: expected 'auto', 'cpu', 'cuda' or 'runner'; did you mean 'cpu'?"),
        ("serving: 5", "1: serving: expected `key: value` lines"),
    ],
)  # fmt: skip
def test_what_is_misspelt_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("metrics: {enabled: true}", "services.metrics.enabled: only `enabled: false` is possible, as the service has"),
        ("metrics: {namespace: x}", "services.metrics.namespace: only `enabled: false` is possible"),
        ("traffic: {timeout: 5}", "services.traffic.timeout: the time limit of a request belongs to the model"),
        ("ModelService: {traffic: {max_concurrency: 5}}", "services.ModelService.traffic.max_concurrency: `serving."),
        ("endpoints: {livez: /alive}", "services.endpoints.livez: the paths of the probes are /livez and /readyz"),
        ("http: {response: {trace_id: true}}", "services.http.response.trace_id: every response has its id"),
        ("grpc: {max_message_length: 5}", "services.grpc.max_message_length: `serving.grpc_port` enables gRPC"),
        ("monitoring: {enabled: true}", "services.monitoring.enabled: it has no effect in this service"),
        ("threads: 4", "services.threads: it has no effect in this service; leave it out"),
    ],
)
def test_a_setting_without_effect_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (message,) = problems(tmp_path, f"services: {{{text}}}")
    assert message.startswith(f"1: {problem}")
    with pytest.raises(UsageError, match=re.escape(problem)):
        configuration.refuse_unsupported(tmp_path / "configuration.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "workers: 2, backlog: 128, resources: {cpu: 2}, runner_connection: {max_age: 5}",
        "ssl: {enabled: true, certfile: a, keyfile: b}",
        "http: {host: 127.0.0.1, port: 80, cors: {enabled: true, access_control_allow_origins: '*'}}",
        "logging: {access: {enabled: true}}, tracing: {sample_rate: 1.0}, metrics: {enabled: false}",
        "Runner: {workers: 2, traffic: {max_concurrency: 5}}, traffic: {concurrency: 8}",
    ],
)
def test_a_setting_with_an_effect_is_accepted(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, f"services: {{{text}}}") == []


def test_everything_that_is_wrong_is_named(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "services: {a: 1, b: 2, workers: x}\nserving: {c: 3}\nd: 4\n")) == 5


def test_environment_variables_are_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER_ENGIN", "cpu")
    monkeypatch.setenv("DEPLOYER_QUEUE_ROWS", "many")
    monkeypatch.setenv("DEPLOYER_API_KEYS", "0123456789abcdef")
    assert problems(tmp_path, "serving: {}") == [
        "DEPLOYER_ENGIN: no such environment variable; did you mean 'DEPLOYER_ENGINE'?",
        "DEPLOYER_QUEUE_ROWS: expected a valid integer, unable to parse string as an integer",
    ]


def test_the_services_that_may_be_named_are_those_that_there_are() -> None:
    assert re.findall(r"^class (\w+):$", SERVICE, re.MULTILINE) == ["Runner", "ModelService"]
    assert configuration.check(CONFIGURATION) == []


def test_what_a_service_has_under_its_name_counts_most(tmp_path: Path) -> None:
    file = tmp_path / "configuration.yaml"
    file.write_text("services: {workers: 2, traffic: {timeout: 9}, Runner: {workers: 3}}")
    assert configuration.service_configuration(file, "ModelService") == {"workers": 2, "traffic": {"timeout": 9}}
    runner = configuration.service_configuration(file, "Runner", workers=1, traffic={"max_concurrency": 5})
    assert runner == {"workers": 3, "traffic": {"timeout": 9, "max_concurrency": 5}}


@pytest.mark.slow
def test_the_command_says_no_with_its_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "configuration.yaml"
    file.write_text("serving: {engin: cpu}")
    assert run("deployer", "check").returncode == 0
    completed = run("deployer", "check", str(file))
    assert (completed.returncode, completed.stdout) == (1, "")
    assert completed.stderr == f"error: {file}:1: serving.engin: unknown key; did you mean 'engine'?\n"
    assert run("deployer", "check", str(tmp_path / "absent.yaml")).returncode == 2


@pytest.mark.slow
def test_a_server_says_at_its_start_what_it_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER_ENGIN", "cpu")
    with serve([], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log") as server:
        assert server.log.read_text().count("did you mean 'DEPLOYER_ENGINE'?") == 1
