"""Reading requests and drivers: errors name file, line and reason."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from simulator.demand.inputs import BadInput, BadRow, BadRows, read_drivers, read_requests

HEADER = "t_s,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,party_size\n"
GOOD = "5,0.0,0.0,0.0009,0.0009,2\n"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(text: str, name: str = "requests.csv") -> Any:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return written


def read(path: Path, town: Any, *, skip: Any = False) -> Any:
    bad = BadRows(skip)
    return read_requests(path, town, 200.0, bad), bad


@pytest.mark.parametrize("name", ["requests.csv", "requests.csv.gz"])
def test_rows_are_snapped_and_sorted_by_time(town: Any, write: Any, name: str) -> None:
    requests, _ = read(write(HEADER + "7,0,0,0,0.0009,1\n" + GOOD, name), town)
    assert requests.asked.t_s.tolist() == [5.0, 7.0]
    assert requests.pickup_node.tolist() == [0, 0]
    assert requests.dropoff_node.tolist() == [6, 1]
    assert requests.asked.party_size.tolist() == [2, 1]


def test_parquet_and_csv_give_the_same_requests(town: Any, write: Any, tmp_path: Path) -> None:
    csv = pytest.importorskip("pyarrow.csv")
    from pyarrow import parquet

    path = write(HEADER + GOOD)
    parquet.write_table(csv.read_csv(path), tmp_path / "requests.parquet")
    requests, _ = read(tmp_path / "requests.parquet", town)
    assert requests.dropoff_node.tolist() == [6]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("soon,0,0,0,0.0009,1", "line 3: t_s is 'soon', not a number"),
        ("-1,0,0,0,0.0009,1", "line 3: t_s is -1.0, not a number of seconds from 0"),
        ("nan,0,0,0,0.0009,1", "line 3: t_s is nan"),
        ("1,95,0,0,0.0009,1", r"line 3: the pickup \(95.0, 0.0\) is not a place on the globe"),
        ("1,0,0,0,0.0009,0", "line 3: party_size is 0, not a whole number from 1 to 8"),
        ("1,0,0,0,0.0009,1.5", "line 3: party_size is 1.5"),
        ("1,0,0,0,0.0009,inf", "line 3: party_size is inf"),
        ("1,0,0,0,0.0009", "line 3: it has 5 values, the header 6"),
        ("1,0,0,0,0.0009,1,9", "line 3: it has 7 values"),
        ("1,0,0,0,0.5,1", "line 3: the dropoff is 55.* m from the nearest road, more than 200 m"),
        ("1,0,0,0,0.000001,1", "line 3: pickup and dropoff are at one place of the road"),
    ],
)
def test_a_bad_row_is_refused_with_line_and_reason_or_counted(town: Any, write: Any, row: Any, reason: Any) -> None:
    path = write(HEADER + GOOD + row + "\n" + GOOD)
    with pytest.raises(BadRow, match=f"requests.csv, {reason}"):
        read(path, town)
    requests, bad = read(path, town, skip=True)
    assert (len(requests), bad.count, len(bad.reasons)) == (2, 1, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "lacks the column t_s"),
        ("t_s,pickup_lat\n1,2\n", "lacks the column pickup_lng, dropoff_lat"),
        (HEADER, "holds no usable request"),
    ],
)
def test_a_file_that_is_no_table_of_requests_is_refused(town: Any, write: Any, text: str, reason: Any) -> None:
    with pytest.raises(BadInput, match=reason):
        read(write(text), town)


def test_files_that_are_missing_or_broken_are_named(town: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.csv does not exist"):
        read(tmp_path / "none.csv", town)
    for name in ("broken.csv.gz", "broken.parquet"):
        (tmp_path / name).write_bytes(b"neither")
        with pytest.raises(BadInput, match="cannot be read"):
            read(tmp_path / name, town)


def test_drivers_have_four_seats_unless_the_file_says_otherwise(town: Any, write: Any) -> None:
    plain = read_drivers(write("lat,lng\n0,0\n"), town, 200.0, BadRows())
    seated = read_drivers(write("seats,lng,lat\n6,0.0009,0\n"), town, 200.0, BadRows())
    assert (plain.seats.tolist(), seated.seats.tolist(), seated.node.tolist()) == ([4], [6], [1])
    with pytest.raises(BadRow, match="line 2: seats is 0"):
        read_drivers(write("lat,lng,seats\n0,0,0\n"), town, 200.0, BadRows())


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + GOOD,
        HEADER.replace("\n", "\r\n") + GOOD.replace("\n", "\r\n"),
        HEADER + "\n" + GOOD,
        HEADER + GOOD + "\n\n",
        HEADER + GOOD.replace("\n", ",\n"),
        HEADER.replace("\n", ",\n") + GOOD.replace("\n", ",,\n") + ",,,,,,\n",
    ],
)
def test_marks_line_ends_blank_lines_and_trailing_commas_do_not_matter(town: Any, write: Any, text: str) -> None:
    requests, _ = read(write(text), town)
    assert requests.asked.t_s.tolist() == [5.0]
    assert requests.asked.party_size.tolist() == [2]


@pytest.mark.parametrize(
    ("t_s", "reason"),
    [
        (4_070_908_800, r"line 3: t_s is 4070908800, 2099-01-01, 84 years after the middle request \(2014-12-21\)"),
        (799_866_000, r"line 3: t_s is 799866000, 1995-05-07, 20 years before the middle request"),
        (0, "line 3: t_s is 0, 1970-01-01, 45 years before the middle request"),
        (1e15, "line 3: t_s is 1000000000000000, no date, .* years after the middle request"),
    ],
)
def test_a_request_decades_away_is_refused_with_line_and_reason_or_counted(
    town: Any, write: Any, t_s: float, reason: str
) -> None:
    others = "".join(f"{1_419_181_200 + at},0,0,0.0009,0.0009,1\n" for at in (0, 60, 864_000))
    first, *rest = others.splitlines(keepends=True)
    path = write(HEADER + first + f"{t_s},0,0,0.0009,0.0009,1\n" + "".join(rest))
    with pytest.raises(BadRow, match=reason):
        read(path, town)
    requests, bad = read(path, town, skip=True)
    assert (len(requests), bad.count) == (3, 1)
