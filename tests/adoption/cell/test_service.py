"""The worker that answers the processes of a server, in this process."""

from pathlib import Path

from model_deployer.adoption.cell.cell_worker.service import Worker


def test_a_request_that_waits_for_too_long_is_told_so(tmp_path: Path) -> None:
    worker = Worker(tmp_path, batch_seconds=0.01)
    with worker._lock:  # as while another batch is answered
        answer, _ = worker.answer({"verb": "describe"}, {})
    assert answer["error"]["type"] == "Busy"
