"""Delimited text is read in whatever dialect and encoding it is written."""

import csv
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_deployer.contract.errors import DataError, SpecError
from tests.training.reading.files import read, read_one

#: Words with the letters that an encoding has beyond ASCII, as rows of a table have them.
WORDS = {
    "utf-8": ["Zürich", "北京", "Łódź", "naïve", "plain", "emoji 🎉"],
    "utf-8-sig": ["Zürich", "北京", "plain"],
    "utf-16": ["Zürich", "北京", "plain"],
    "utf-16-le": ["Zürich", "Köln", "plain"],
    "cp1252": ["Zürich", "Müller", "Straße", "café", "niño", "5 €", "plain"],
}


@dataclass(frozen=True)
class Writing:
    """How a table is written as text."""

    delimiter: str
    quote: str
    quoting: int
    encoding: str
    newline: str
    titles: int

    def write(self, rows: list[list[str]]) -> bytes:
        text = StringIO()
        for number in range(self.titles):
            text.write(f"Report number {number} of the sales team{self.newline}")
        writer = csv.writer(
            text,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=self.quoting,  # type: ignore[arg-type]
            lineterminator=self.newline,
        )
        writer.writerows(rows)
        return text.getvalue().encode(self.encoding)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Writing, list[list[str]]]:
    """Return a way to write a table, and a header with rows that it can write."""
    quote = draw(st.sampled_from("\"'"))
    writing = Writing(
        delimiter=draw(st.sampled_from(",;\t|")),
        quote=quote,
        quoting=csv.QUOTE_ALL if quote == "'" else draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])),
        encoding=draw(st.sampled_from(sorted(WORDS))),
        newline=draw(st.sampled_from(["\n", "\r\n"])),
        titles=draw(st.integers(0, 3)),
    )
    words = st.sampled_from(WORDS[writing.encoding])
    remarks = st.tuples(words, st.sampled_from(["", ", ", "; ", "|", ' "so called" ', "'s "]), words).map("".join)
    numbers = st.decimals(-1000, 1000, places=2).map(lambda number: str(number).replace(".", draw(st.just(","))))
    cells = st.tuples(words, st.one_of(remarks, st.just("")), numbers, st.sampled_from(["yes", "no"]))
    rows = draw(st.lists(cells, min_size=6, max_size=30))
    return writing, [["city", "remark", "price", "y"], *map(list, rows)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables())
def test_any_dialect_is_read_back(tmp_path: Path, table: tuple[Writing, list[list[str]]]) -> None:
    writing, rows = table
    frame = read_one(tmp_path / "t.csv", writing.write(rows)).frame
    assert [frame.columns, *([value or "" for value in row] for row in frame.iter_rows())] == rows


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"x,y\n1,a\n2,b\n", "',' between values, UTF-8, header in row 1"),
        ("x;y\n1,5;ä\n2,5;ö\n".encode("cp1252"), "';' between values, cp1252, header in row 1"),
        ("\ufeffx\ty\n1\ta\n2\tb\n".encode("utf-16-le"), "tabs between values, UTF-16, header in row 1"),
        (b"Sales 2024\n\nx;y\n1;a\n2;b\n3;a\n", "';' between values, UTF-8, header in row 3"),
        (b"# station, 5\nx,y\n1,a\n2,b\n", "',' between values, UTF-8, header in row 2"),
        (b"Sales;\n;\nx;y\n1;a\n2;b\n3;a\n", "';' between values, UTF-8, header in row 3"),
        (b"x, y\n1, a\n2, b\n", "',' between values, blanks after them left out, UTF-8, header in row 1"),
        (b"'x'|'y'\n'1'|'a'\n'2'|'b'\n", "'|' between values, quote ', UTF-8, header in row 1"),
        (b"y\na\nb\n", "one column, UTF-8, header in row 1"),
        (b"x,y\r1,a\r2,b\r", "',' between values, UTF-8, header in row 1"),
    ],
)
def test_the_dialect_is_noted(tmp_path: Path, content: bytes, note: str) -> None:
    table = read_one(tmp_path / "t.csv", content)
    assert table.notes == (f"read as CSV: {note}",)
    assert "y" in table.frame.columns
    assert table.frame["y"].to_list()[:2] in (["a", "b"], ["ä", "ö"])


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        ("Łódź;Kraków;święto;żółć", "cp1250"),
        ("Москва;Петербург;улица", "cp1251"),
        ("Αθήνα;Θεσσαλονίκη;Πάτρα", "cp1253"),
        ("İstanbul;Şişli;Eskişehir", "cp1254"),
        ("東京都;大阪市;名古屋", "cp932"),
        ("北京市;上海市;广州市", "gb18030"),
        ("서울특별시;부산;대한민국", "cp949"),
    ],
)
def test_other_legacy_encodings_are_recognized(tmp_path: Path, words: str, encoding: str) -> None:
    rows = [f"{word};{number}" for number in range(20) for word in words.split(";")]
    table = read_one(tmp_path / "t.csv", "\n".join(["city;y", *rows]).encode(encoding))
    assert table.frame["city"].to_list()[:3] == words.split(";")[:3]


def test_everything_can_be_stated(tmp_path: Path) -> None:
    content = "note\nx*y\n~1*2~*~a\u00e9~\n3*b\nsum\n".encode("latin-1")
    stated = {"delimiter": "*", "quote": "~", "encoding": "latin-1", "header_row": 2, "footer_rows": 1}
    table = read_one(tmp_path / "t.csv", content, **stated)
    assert table.frame.to_dict(as_series=False) == {"x": ["1*2", "3"], "y": ["aé", "b"]}


def test_a_table_without_a_header(tmp_path: Path) -> None:
    content = b"5.1,3.5,a\n4.9,3.0,b\n"
    table = read_one(tmp_path / "t.csv", content, target="column_3")
    assert table.frame.columns == ["column_1", "column_2", "column_3"]
    assert table.frame.height == 2
    assert "no header, so that the columns are called 'column_1' to 'column_3'" in table.notes[0]
    assert read_one(tmp_path / "t.csv", content, header_row=1).frame.columns == ["5.1", "3.5", "a"]
    assert read_one(tmp_path / "t.csv", b"a,b\nc,d\n", header_row=0).frame.height == 2
    assert read_one(tmp_path / "t.csv", b"1,2\n3,4\n", target="column_2").frame.height == 2


def test_years_and_counting_numbers_are_names(tmp_path: Path) -> None:
    assert read_one(tmp_path / "t.csv", b"country,2019,2020\nDE,1,2\nFR,3,4\n").frame.columns == [
        "country",
        "2019",
        "2020",
    ]
    assert read_one(tmp_path / "t.csv", b"0,1,2\n0.5,1.5,a\n2.5,1,b\n").frame.columns == ["0", "1", "2"]


def test_a_header_with_columns_without_names(tmp_path: Path) -> None:
    assert read_one(tmp_path / "t.csv", b"x,y,,\n1,a,,\n2,b,,\n").frame.columns == ["x", "y"]
    assert read_one(tmp_path / "t.csv", b"x,y\n1,a,\n2,b,\n").frame.columns == ["x", "y"]
    assert read_one(tmp_path / "t.csv", b"x\ty\n1\t5\ta\n2\t7\tb\n").frame.columns == ["", "x", "y"]
    assert read_one(tmp_path / "t.csv", b'"x","y"\n"1",5,a\n"2",7,b\n').frame.columns == ["", "x", "y"]
    assert read_one(tmp_path / "t.csv", b'"x","y"\n"car 1",5,a\n"car 2",7,b\n').frame.columns == ["", "x", "y"]


def test_decimal_commas_without_quotes_are_not_row_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2: 3 values, but the header has 2"):
        read_one(tmp_path / "t.csv", b"x,y\n1,5,a\n2,7,b\n")
    with pytest.raises(DataError, match="row 2: 3 values, but the header has 2"):
        read_one(tmp_path / "t.csv", b"name,y\nSmith, John,a\nDoe, Jane,b\n")


def test_blanks_after_delimiters_before_quotes(tmp_path: Path) -> None:
    table = read_one(tmp_path / "t.csv", b'x, y, z\n1, "a, b", c\n2, "d", e\n')
    assert table.frame.to_dict(as_series=False) == {"x": ["1", "2"], "y": ["a, b", "d"], "z": ["c", "e"]}


def test_blank_lines_are_left_out(tmp_path: Path) -> None:
    assert read_one(tmp_path / "t.csv", b"\nx,y\n\n1,a\n,\n2,b\n\n\n").frame["y"].to_list() == ["a", "b"]


def test_quotes_within_values_are_part_of_them(tmp_path: Path) -> None:
    rows = "".join(f'O"Brian{number},{number}\n' for number in range(7))
    table = read_one(tmp_path / "t.csv", f"name,y\n{rows}".encode())
    assert table.frame["name"].to_list() == [f'O"Brian{number}' for number in range(7)]


@pytest.mark.parametrize("size", [1, 100_000])
def test_backslashes_before_quotes(tmp_path: Path, size: int) -> None:
    rows = "".join(f'"a \\"quoted\\", word",{number}\n"c",2\n' for number in range(size))
    table = read_one(tmp_path / "t.csv", f"x,y\n{rows}".encode())
    assert table.frame["x"].unique().sort().to_list() == ['a "quoted", word', "c"]
    assert "backslashes before quotes" in table.notes[0]


def test_a_quote_in_the_middle_of_a_quoted_value(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 3: a quote opens here and does not close at the end of a value"):
        read_one(tmp_path / "t.csv", b'x,y\n"a",1\n"b "quoted" word",2\n')


def test_quote_that_is_not_closed(tmp_path: Path) -> None:
    """The row of a quote that is not closed is named, even if another one closes it."""
    rows = "".join(f"n{number},{number},b\n" for number in range(30))
    with pytest.raises(DataError, match=r"t\.csv, row 32: a quote opens here .*`data\.quote: none`"):
        read_one(tmp_path / "t.csv", f'name,x,y\n{rows}"19 inch,1,b\n{rows}'.encode())
    with pytest.raises(DataError, match=r"t\.csv, row 32: a quote opens here"):
        read_one(tmp_path / "t.csv", f'name,x,y\n{rows}"19 inch,1,b\n{rows}rack 19",2,b\n{rows}'.encode())
    table = read_one(tmp_path / "t.csv", quote="none")
    assert table.frame.height == 92
    assert table.frame["name"][30] == '"19 inch'


def test_values_of_several_lines(tmp_path: Path) -> None:
    content = b'name,x,y\n"two\nlines",1,a\n"a, list, of\nthings",2,b\n'
    assert read_one(tmp_path / "t.csv", content).frame["x"].to_list() == ["1", "2"]
    content = b'name,x,y\n"which,looks,like\na,row,of\nit",2,b\n'
    with pytest.raises(DataError, match=r"t\.csv, row 2: a quote opens here"):
        read_one(tmp_path / "t.csv", content)
    assert read_one(tmp_path / "t.csv", content, quote='"').frame.height == 1


def test_rows_of_the_wrong_length(tmp_path: Path) -> None:
    rows = "".join(f"{number},b,c\n" for number in range(20))
    with pytest.raises(DataError, match=r"t\.csv, row 22: 4 values, but the header has 3"):
        read_one(tmp_path / "t.csv", f"x,z,y\n{rows}1,2,3,4\n{rows}".encode())
    table = read_one(tmp_path / "t.csv", f'x,z,y\n"1,5",b,\n{rows}1,2\n3\n{rows}'.encode())
    assert table.frame.height == 43
    assert table.notes[1] == (
        "2 rows have fewer values than the header, the first is row 23; the values at the end count as missing"
    )


@pytest.mark.parametrize(
    ("footer", "question"),
    [
        ("Total,,20\n", r"row 22: the last row looks like totals .*`data\.footer_rows: 1`.*`data\.footer_rows: 0`"),
        ("\nSource: the sales team\n", r"row 23: the last row looks like totals"),
        ("190,,20\n", r"row 22: the last row looks like totals"),
        ("Saldo,,20\n", r"row 22: the last row looks like totals"),
        (",,\nSumme:,,20\nas of today\n", r"row 23: the rows from here on look like .*`data\.footer_rows: 2`"),
    ],
)
def test_a_footer_is_asked_about(tmp_path: Path, footer: str, question: str) -> None:
    text = "x,z,y\n" + "".join(f"{number},b,1\n" for number in range(20)) + footer
    with pytest.raises(DataError, match=rf"t\.csv, {question}"):
        read_one(tmp_path / "t.csv", text.encode())
    rows = len([line for line in footer.splitlines() if line.strip(",")])
    assert read_one(tmp_path / "t.csv", footer_rows=rows).frame.height == 20
    assert read_one(tmp_path / "t.csv", footer_rows=0).frame.height == 20 + rows


@pytest.mark.parametrize("last", ["190,b,20", "191,,20"])
def test_a_last_row_that_is_complete_or_no_sum_is_not_a_footer(tmp_path: Path, last: str) -> None:
    text = "x,z,y\n" + "".join(f"{number},b,1\n" for number in range(20)) + last
    assert read_one(tmp_path / "t.csv", text.encode()).frame.height == 21


def test_sparse_rows_are_not_a_footer(tmp_path: Path) -> None:
    rows = "".join("a,,\n" if number % 3 == 0 else f"Total,b,{number}\n" for number in range(30))
    assert read_one(tmp_path / "t.csv", f"x,z,y\n{rows}a,,\n".encode()).frame.height == 31


@pytest.mark.parametrize(
    ("data", "content", "complaint"),
    [
        (
            {},
            "x,y\n" + "Zürich,a\n" * 20,
            r"line 22, character 4: bytes that are not UTF-8, although",
        ),
        (
            {"encoding": "ascii"},
            "x,y\nZürich,a\n",
            r"line 2, character 2: bytes that are not ascii; state another",
        ),
        ({"header_row": 90}, "x,y\n1,a\n", r"data\.header_row: .*t\.csv has no row with names there"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, data: dict[str, object], content: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_one(tmp_path / "t.csv", content.encode() + (b"caf\xe9,b\n" if not data else b""), **data)


def test_an_encoding_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.encoding: not the name of an encoding"):
        read_one(tmp_path / "t.csv", b"x,y\n1,a\n", encoding="cp99999")


def test_bytes_beyond_the_sample_decide_too(tmp_path: Path) -> None:
    """Where only the last of many rows is not UTF-8, the whole file is read in its encoding."""
    rows = "x;y\n" + "plain;a\n" * 200_000 + "Zürich;b\n" * 3
    table = read_one(tmp_path / "t.csv", rows.encode("cp1252"))
    assert table.frame["x"][-1] == "Zürich"
    assert "cp1252" in table.notes[0]


def test_files_of_a_glob_may_be_written_differently(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("x,y\n1,a\n")
    (tmp_path / "2.csv").write_bytes("x;y\n2;ä\n".encode("cp1252"))
    table = read(tmp_path, "*.csv")
    assert table.frame.to_dict(as_series=False) == {"x": [1, 2], "y": ["a", "ä"]}
    assert len(table.notes) == 2


def test_a_renamed_target_shows_the_header_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,report,of,2024\n1,2,old target,4\n5,6,a,8\n9,10,b,12\n")
    table = read(tmp_path, "t.csv", rename={"old target": "y"})
    assert table.frame["y"].to_list() == ["a", "b"]
