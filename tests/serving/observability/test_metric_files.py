"""The files of metrics: they outlive a worker, and no full disk ends one."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from model_deployer.serving.observability import metric_files, metric_specs
from model_deployer.serving.observability.metric_files import MetricFile, ParentCounters, Place
from model_deployer.serving.observability.workers import STALL_SECONDS, WorkerWatch
from tests.support import tiny
from tests.support.processes import serve


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 160 KB, on which two of a worker's files have room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(autouse=True)
def _files_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MetricFile, "is_any_in_memory", False)


def count(file: MetricFile, name: str) -> float:
    value: float = file.read_value(name)[0]  # type: ignore[no-untyped-call]
    return value


def stored(file: Path | str) -> list[tuple[str, float]]:
    """Return the names and values of a file."""
    values = MetricFile.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call]
    return [(name, value) for name, value, _, _ in values]


def fill(file: MetricFile, names: range) -> None:
    for number in names:
        file.write_value(f"{number}: a name of a hundred characters {'x' * 70}", number, 0.0)  # type: ignore[no-untyped-call]


def test_a_file_is_continued(tmp_path: Path) -> None:
    file = str(tmp_path / "counter_1.db")
    fill(MetricFile(file), range(2_000))
    assert sum(value for _, value in stored(file)) == sum(range(2_000))
    assert count(MetricFile(file), f"1999: a name of a hundred characters {'x' * 70}") == 1_999


def test_a_file_that_outgrows_the_disk_goes_on_in_memory(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    (small_disk / "other").write_bytes(b"x" * 80_000)
    file = MetricFile(str(small_disk / "counter_1.db"))
    assert not MetricFile.is_any_in_memory
    fill(file, range(2_000))
    assert MetricFile.is_any_in_memory
    assert sum(value for _, value, _ in file.read_all_values()) == sum(range(2_000))
    (small_disk / "other").unlink()
    fill(file, range(2_000, 4_000))
    assert sum(value for _, value, _ in file.read_all_values()) == sum(range(4_000))
    (small_disk / "other").write_bytes(b"x" * 80_000)
    fill(MetricFile(str(small_disk / "counter_2.db")), range(2_000))
    assert not (small_disk / "counter_2.db").exists()


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "counter_1.db"
    fill(MetricFile(str(file)), range(10))
    content = file.read_bytes()
    file.write_bytes(content[:8] + b"\xff\xff\xff\x7f" + content[12:])
    fill(MetricFile(str(file)), range(10))
    assert len(stored(file)) == 10


def test_a_folder_that_does_not_exist_is_no_reason_to_fail(tmp_path: Path) -> None:
    fill(MetricFile(str(tmp_path / "absent" / "counter_1.db")), range(2_000))
    assert MetricFile.is_any_in_memory


def test_places_are_used_again(tmp_path: Path) -> None:
    first, second = Place(tmp_path), Place(tmp_path)
    assert (first.number, second.number) == (1, 2)
    assert [(worker.number, worker.pid) for worker in metric_files.occupants(tmp_path)] == [
        (1, os.getpid()),
        (2, os.getpid()),
    ]
    (tmp_path / "gauge_livesum_1.db").write_bytes(b"")
    os.close(first._descriptor)  # as if its process had ended
    assert [worker.number for worker in metric_files.occupants(tmp_path)] == [2]
    assert not (tmp_path / "gauge_livesum_1.db").exists()
    assert Place(tmp_path).number == 1


def test_a_place_keeps_counts_and_not_the_state_of_the_process_before(tmp_path: Path) -> None:
    """Whatever version a worker served before, the next one with its place shows its own."""
    for name in ("counter_1.db", "gauge_livemax_1.db", "gauge_livesum_1.db", "gauge_livemax_2.db"):
        (tmp_path / name).touch()
    assert Place(tmp_path).number == 1
    assert {file.name for file in tmp_path.glob("*.db")} == {"counter_1.db", "gauge_livemax_2.db"}


def test_a_worker_without_a_sign_of_life_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_files, "shared_folder", lambda: tmp_path)
    place, watch = Place(tmp_path), WorkerWatch()
    watch.record_stalls(1e12)  # it has not begun
    place.show_life()
    last_sign = next(metric_files.occupants(tmp_path)).last_sign
    for seconds in (1, STALL_SECONDS + 1, STALL_SECONDS + 6):
        watch.record_stalls(last_sign + seconds)
    parent = tmp_path / "counter_parent.db"
    counts = {json.loads(key)[1]: value for key, value in stored(parent)}
    assert [name for name, value in counts.items() if value] == [metric_specs.WORKER_STALLS.name]
    ParentCounters(tmp_path).add(metric_specs.WORKER_STALLS)
    assert sum(value for _, value in stored(parent)) == 2


@pytest.mark.slow
def test_a_full_disk_ends_no_worker(tmp_path: Path, small_disk: Path) -> None:
    with serve(
        [], tiny.home(tmp_path / "home", "1.0.0"), tmp_path / "log", variables={"TMPDIR": str(small_disk)}
    ) as server:
        (worker,) = server.workers()
        (small_disk / "rest").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
        statuses = [httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code for _ in range(50)]
        assert statuses == [200] * 50
        assert server.metric("model_rows_total") == 50
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        assert [process.pid for process in server.workers()] == [worker.pid]
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        (warning,) = [line for line in lines if line["level"] != "info"]
        assert "kept in memory" in warning["message"]
        assert warning["reason"] == "No space left on device"
