import pytest

from model_deployer.contract.artifact import open_artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import CheckFailed
from model_deployer.handoff.grpc_replay import replay_grpc
from model_deployer.handoff.sample_requests import collect_samples
from tests.serving.test_vectors import VARIABLES
from tests.support import tensor_models, tiny
from tests.support.processes import free_port
from tests.support.servers import Profile, SharedServers


@pytest.mark.parametrize("contract", [tiny.WITH_SETS, tiny.OF_A_NUMBER], ids=["sets", "a number"])
def test_what_was_answered_over_http_is_answered_over_grpc(contract: Contract, servers: SharedServers) -> None:
    server = servers.get(Profile(contract, speaks_grpc=True))
    address = f"127.0.0.1:{server.grpc_port}"
    samples = collect_samples(server.url, open_artifact(server.model))
    assert replay_grpc(address, samples) == len(samples.golden) + len(samples.edge) == 1
    (golden,) = samples.golden
    row = golden.request["rows"][0] | {"distance": 1.0, "temp": None, "remark": None}
    other = golden.model_copy(update={"request": {"rows": [row]}})
    with pytest.raises(CheckFailed, match="'example': the answer over gRPC differs from the answer over HTTP"):
        replay_grpc(address, samples.model_copy(update={"golden": (other,)}))
    with pytest.raises(CheckFailed, match="gRPC"):
        replay_grpc(f"127.0.0.1:{free_port()}", samples)


def test_tensors_are_asked_over_both(servers: SharedServers) -> None:
    """Every wrong tensor of the sample requests is refused, and every golden one answered alike."""
    contract = tensor_models.WITH_TENSORS
    server = servers.get(Profile(contract, tensor_models.write_tensors, VARIABLES, speaks_grpc=True))
    samples = collect_samples(server.url, open_artifact(server.model))
    assert replay_grpc(f"127.0.0.1:{server.grpc_port}", samples) == len(samples.golden) + len(samples.edge)
    cases = {sample.case for sample in samples.invalid}
    assert any("nested lists of different lengths" in case for case in cases)
    assert any("null in nested lists" in case for case in cases)
