import sys
import zipfile
from pathlib import Path

import pytest

from model_deployer.adoption.cell import environment
from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import prepare_environment
from model_deployer.adoption.cell.pythons import installed_pythons, ordered
from model_deployer.adoption.cell.requirements import requirements


def write_wheel(folder: Path, version: str, python: str = "py3") -> None:
    """Write a wheel of an empty package."""
    name = f"tiny_model_library-{version}"
    with zipfile.ZipFile(folder / f"{name}-{python}-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_model_library.py", f"__version__ = {version!r}\n")
        wheel.writestr(
            f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: tiny-model-library\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{name}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {python}-none-any\n"
        )
        wheel.writestr(f"{name}.dist-info/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels in place of an index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.1", "1.4", "2.0"):
        write_wheel(folder, version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_an_environment_is_made_once(index: Path, tmp_path: Path) -> None:
    made = prepare_environment(["tiny-model-library==1.1"], None, tmp_path / "cache")
    assert made.versions["tiny-model-library"] == "1.1"
    assert made.notes == ()
    assert made.python.exists()
    (index / "tiny_model_library-1.1-py3-none-any.whl").unlink()
    assert prepare_environment(["tiny-model-library==1.1"], None, tmp_path / "cache") == made
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_nearest_version_takes_the_place_of_one_that_is_gone(index: Path, tmp_path: Path) -> None:
    made = prepare_environment(["tiny-model-library==1.2"], None, tmp_path / "cache")
    assert made.versions["tiny-model-library"] in ("1.4", "2.0")  # pip cannot choose the nearest one
    (note,) = made.notes
    assert note.startswith("tiny-model-library 1.2 cannot be installed here; ")


def test_a_python_that_is_missing_is_named(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with other versions is not used any more as soon as there is another Python."""
    here = {sys.version_info[:2]: Path(sys.executable)}
    monkeypatch.setattr(environment, "installed_pythons", lambda: here)
    write_wheel(index, "1.2", "cp38")
    made = environment.prepare_environment(["tiny-model-library==1.2"], None, tmp_path / "cache")
    assert made.notes[1:] == ("the versions of the source need Python 3.8, which is not installed",)
    assert environment.prepare_environment(["tiny-model-library==1.2"], None, tmp_path / "cache") == made
    write_wheel(index, "1.2")
    monkeypatch.setattr(environment, "installed_pythons", lambda: here | {(3, 99): Path(sys.executable)})
    assert environment.prepare_environment(["tiny-model-library==1.2"], None, tmp_path / "cache").notes == ()


def test_a_package_that_does_not_exist(index: Path, tmp_path: Path) -> None:
    with pytest.raises(CellError, match="cannot be installed here: "):
        prepare_environment(["not-a-package==1.0"], None, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_the_nearest_python_is_tried_first() -> None:
    versions = [(3, 8), (3, 10), (3, 11), (3, 13)]
    assert ordered(versions, (3, 10)) == [(3, 10), (3, 8), (3, 11), (3, 13)]
    assert installed_pythons()


def test_requirements() -> None:
    lines = requirements(["joblib"], ["sklearn", "numpy", "lightgbm"], {"scikit-learn": "1.3.2", "numpy": "<2"})
    assert lines == ["joblib", "lightgbm", "numpy<2", "pandas", "pandas<3", "scikit-learn==1.3.2", "scipy"]
    assert "xgboost-cpu==3.2.0" in requirements(["xgboost"], ["xgboost"], {"xgboost": "3.2.0"})


def test_old_boosters_get_what_was_there_in_their_time() -> None:
    old = requirements(["xgboost"], [], {"xgboost": "1.4.2"})
    assert {"xgboost==1.4.2", "pandas<2", "numpy<2", "setuptools<81", "scikit-learn<1.6"} <= set(old)
    binary = requirements(["xgboost"], [], {"xgboost": "<3.1"})
    assert {"xgboost-cpu<3.1", "pandas<3", "scikit-learn<1.8"} <= set(binary)
    pinned = requirements(["pickle"], ["xgboost"], {"xgboost": "<1", "scikit-learn": "0.22"})
    assert {"xgboost<1", "numpy<1.24", "scikit-learn==0.22"} <= set(pinned)
    assert {"numpy<1.17", "scipy<1.3"} <= set(requirements(["pickle"], [], {"scikit-learn": "0.18.2"}))
    assert "scikit-learn<1.6" not in pinned
    assert {"keras>=2.13,<3", "numpy<2", "onnx<1.18"} < set(requirements(["keras_h5"], [], {"keras": "2.2.4"}))
    keras_1 = requirements(["keras_h5"], [], {"keras": "1.2.2"})
    assert {"keras==2.1.6", "tensorflow<1.15", "h5py<3", "numpy<1.20", "tf2onnx"} < set(keras_1)
    assert "tensorflow-cpu" not in keras_1
    saved = requirements(["saved_model"], [], {"tensorflow": "1.14.0"})
    assert {"tensorflow-cpu>=2.13,<2.16", "numpy<2", "onnx<1.18", "tf2onnx"} < set(saved)
    assert not [line for line in saved if line.startswith(("tensorflow=", "tensorflow>"))]
    assert "numpy" in requirements(["keras"], [], {"keras": "3.1.0"})
