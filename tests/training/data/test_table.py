import hashlib
from pathlib import Path

import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.spec import Data, Spec

FRAME = pl.DataFrame({"x": [1, 2, 3], "y": ["a", "b", "a"]})


def read(folder: Path, path: str, **data: object) -> Table:
    return read_table(Spec(name="m", data=Data.model_validate({"path": path, "target": "y"} | data)), folder)


def test_every_format_gives_the_same_table(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    FRAME.write_parquet(tmp_path / "t.parquet")
    FRAME.write_ipc(tmp_path / "t.arrow")
    FRAME.write_ndjson(tmp_path / "t.jsonl")
    for suffix in ("csv", "parquet", "arrow", "jsonl"):
        assert read(tmp_path, f"t.{suffix}").frame.equals(FRAME), suffix


def test_the_format_can_be_stated(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text('{"x"\n1\n2\n')
    with pytest.raises(DataError, match=r"t\.txt, line 2: not valid JSON"):
        read(tmp_path, "t.txt", target='{"x"')
    assert read(tmp_path, "t.txt", target='{"x"', format="csv", quote="none").frame.to_series().to_list() == [1, 2]


def test_the_version_is_the_digest_of_the_content(tmp_path: Path) -> None:
    contents = ["x,y\n1,a\n", "x,y\n2,b\n"]
    for name, content in zip(("a.csv", "b.csv"), contents, strict=True):
        (tmp_path / name).write_text(content)
    table = read(tmp_path, "*.csv")
    assert table.version == "sha256:" + hashlib.sha256("".join(contents).encode()).hexdigest()
    assert table.frame.to_dicts() == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]


def test_times_and_late_decimals_of_a_csv_are_understood(tmp_path: Path) -> None:
    rows = "".join(f"{number},2013-01-01T00:00:00\n" for number in range(500))
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}0.5,2013-01-02T00:00:00\n", encoding="utf-8-sig")
    assert read(tmp_path, "t.csv").frame.schema == {"x": pl.Float64, "y": pl.Datetime("us")}


def test_a_number_with_leading_zeros_is_a_code(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("zip,count,y\n01234,0,a\n90210,10,b\n")
    assert read(tmp_path, "t.csv").frame.to_dict(as_series=False) == {
        "zip": ["01234", "90210"],
        "count": [0, 10],
        "y": ["a", "b"],
    }


def test_missing_marks_count_among_numbers_only(tmp_path: Path) -> None:
    """Marks of a missing number are understood among numbers only."""
    (tmp_path / "t.csv").write_text("whole,real,country,y\n1,0.5,NA,a\nNA,?,DE,b\n,NaN,,c\n")
    assert read(tmp_path, "t.csv").frame.to_dict(as_series=False) == {
        "whole": [1, None, None],
        "real": [0.5, None, None],
        "country": ["NA", "DE", None],
        "y": ["a", "b", "c"],
    }


def test_booleans_dates_and_long_digits_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("b,d,n,y\nTrue,2013-01-01,12345678901234567890,a\n,NA,1,b\nfalse,2013-01-02,2,c\n")
    frame = read(tmp_path, "t.csv").frame
    assert frame["b"].to_list() == [True, None, False]
    assert frame["d"].dtype == pl.Datetime("us")
    assert frame["n"].to_list() == ["12345678901234567890", "1", "2"]


def test_what_is_called_a_category_stays_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1.50,a\n2.00,b\n")
    spec = Spec.model_validate(
        {"name": "m", "data": {"path": "t.csv", "target": "y"}, "features": {"x": {"kind": "categorical"}}}
    )
    assert read_table(spec, tmp_path).frame["x"].to_list() == ["1.50", "2.00"]


def test_times_in_json_are_understood(tmp_path: Path) -> None:
    lines = ['{"x": "2013-01-01T12:00:00Z", "w": "2013-01-01", "v": "2013-x", "y": 1}', '{"x": null, "y": 2}']
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    kinds = [column.dtype for column in read(tmp_path, "t.jsonl").frame]
    assert kinds == [pl.Datetime("us", "UTC"), pl.Datetime("us"), pl.String, pl.Int64]


def test_ignored_columns_are_left_out(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    assert read(tmp_path, "t.csv", ignore=["x"]).frame.columns == ["y"]


def test_an_ignored_column_that_slices_are_made_of_is_kept(tmp_path: Path) -> None:
    FRAME.with_columns(z=pl.Series([1, 2, 3])).write_csv(tmp_path / "t.csv")
    data = {"path": "t.csv", "target": "y", "ignore": ["x", "z"]}
    spec = Spec.model_validate({"name": "m", "data": data, "slices": ["x"]})
    assert read_table(spec, tmp_path).frame.columns == ["x", "y"]


def test_files_may_differ_in_number_types(tmp_path: Path) -> None:
    """Files may differ in the type of a number and in empty columns."""
    (tmp_path / "1.csv").write_text("x,y,z\n1,a,\n")
    (tmp_path / "2.csv").write_text("z,x,y\n3,1.5,b\n")
    assert read(tmp_path, "*.csv").frame.to_dicts() == [{"x": 1.0, "y": "a", "z": None}, {"x": 1.5, "y": "b", "z": 3}]


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ("x,w\n1,a\n", r"2\.csv: its columns differ from those of .*1\.csv: 'w', 'y'"),
        ("x,y\none,a\n", r"2\.csv: column 'x' is String, but Int64 in .*1\.csv"),
    ],
)
def test_a_file_that_differs_is_named(tmp_path: Path, second: str, complaint: str) -> None:
    (tmp_path / "1.csv").write_text("x,y\n1,a\n")
    (tmp_path / "2.csv").write_text(second)
    with pytest.raises(DataError, match=complaint):
        read(tmp_path, "*.csv")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("t.csv", b"", "the table has no rows"),
        ("t.csv", b"x,y\n", "the table has no rows"),
        ("t.csv", b"x,y,x\n1,a,2\n", "the header names 'x' more than once"),
        ("t.csv", b"x,\n1,a\n", "has no column 'y'"),
        ("t.csv", b"x y\n1 a\n2 b\n", r"it has only 'x y'; .*`data\.delimiter`"),
        ("t.csv", b"x,y\n1,a\n1,a,2,3\n", r"t\.csv, row 3: 4 values, but the header has 2; .*`data\.delimiter`"),
        ("t.parquet", b"PAR1 but no more", r"t\.parquet: cannot be read as Parquet"),
        ("t.arrow", b"ARROW1\0\0nonsense", r"t\.arrow: cannot be read as Arrow"),
        ("t.arrow", b"nonsense", "the table has no rows"),
        ("t.jsonl", b'{"x": 1, "y": 2}\n{"x": 1, "y": \n', r"t\.jsonl, line 2: expected one JSON object per line"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        read(tmp_path, name)


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    FRAME.clear().write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="the table has no rows"):
        read(tmp_path, "t.parquet")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("absent.csv", "there is no file"),
        ("*.parquet", "there is no file"),
        (".", "holds no table, such as a .csv"),
    ],
)
def test_a_path_without_a_file(tmp_path: Path, path: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read(tmp_path, path)


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t[1].csv")
    assert read(tmp_path, "t[1].csv").frame.height == 3


def test_an_absolute_path(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    assert read(Path("elsewhere"), str(tmp_path / "*.csv")).frame.height == 3


def test_every_absent_column_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"arrival": [1], "origin": ["JFK"]}).write_csv(tmp_path / "t.csv")
    with pytest.raises(DataError) as caught:
        read(tmp_path, "t.csv", target="arival", time="origins", ignore=["zzz"])
    assert str(caught.value).splitlines() == [
        "data.target: the table has no column 'arival'; did you mean 'arrival'?",
        "data.time: the table has no column 'origins'; did you mean 'origin'?",
        "data.ignore[0]: the table has no column 'zzz'; it has 'arrival', 'origin'",
    ]


def test_names_of_columns_are_read_as_they_are_meant(tmp_path: Path) -> None:
    names = ['say "x"', "a,b", "two\nlines", " lead", "", "y"]
    pl.DataFrame({name: [1, 1] for name in names}).write_csv(tmp_path / "t.csv")
    assert read(tmp_path, "t.csv").frame.columns == names


def test_a_name_that_polars_takes_for_a_pattern(tmp_path: Path) -> None:
    pl.DataFrame({"*": [1, 2], "x": [3, 4], "y": [5, 6]}).write_parquet(tmp_path / "star.parquet")
    assert read(tmp_path, "star.parquet").frame.columns == ["*", "x", "y"]
    pl.DataFrame({"^x$": [1, 2], "x": [3, 4], "y": [5, 6]}).write_parquet(tmp_path / "pattern.parquet")
    with pytest.raises(DataError, match="rename the column"):
        read(tmp_path, "pattern.parquet")
