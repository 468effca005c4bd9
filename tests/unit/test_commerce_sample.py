from datetime import date
from pathlib import Path

import polars as pl
from commerce_oracle import SCHEMAS, open_shipments, read_shop

from deployments.samples.commerce import SampleShop, main, sample_shop

AS_OF = date(2021, 12, 31)


def records(shop: SampleShop, name: str) -> list[str]:
    return shop.files[name].decode().splitlines()[1:]


def test_same_arguments_give_the_same_bytes() -> None:
    assert sample_shop(AS_OF, 200) == sample_shop(AS_OF, 200)
    assert sample_shop(AS_OF, 200).files != sample_shop(AS_OF, 200, seed=1).files


def test_counts_of_rows_and_bad_rows_equal_the_files() -> None:
    shop = sample_shop(AS_OF, 200)
    assert {name: len(records(shop, name)) for name in shop.files} == shop.rows
    bad = [line for line in records(shop, "reviews.csv") if line.split(",")[0] not in "12345"]
    assert len(bad) == shop.bad_rows["reviews.csv"] == sum(shop.bad_rows.values()) > 0


def test_expected_results_equal_the_oracle() -> None:
    shop = sample_shop(AS_OF, 3000)
    good = {name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()}
    files = {name.removesuffix(".csv"): content for name, content in shop.files.items() if name != "reviews.csv"}
    found = open_shipments(read_shop(files, good["dim_dates"]), AS_OF)
    assert found == {"tt_late_shipments": shop.late_count, "tt_undelivered_items": shop.undelivered_count}


def test_shipments_lie_on_both_sides_of_the_limits_for_late_and_undelivered() -> None:
    shop = sample_shop(AS_OF)
    ordered = [date.fromisoformat(line.split(",")[2]) for line in records(shop, "orders.csv")]
    shipped = [line.split(",")[2:] for line in records(shop, "shipment_deliveries.csv")]
    lags = {(date.fromisoformat(s) - day).days for day, (s, d) in zip(ordered, shipped, strict=True) if s and not d}
    ages = {(AS_OF - day).days for day, (s, _) in zip(ordered, shipped, strict=True) if not s}
    assert {5, 6, 7} <= lags
    assert {14, 15, 16} <= ages


def test_command_writes_the_files(tmp_path: Path) -> None:
    main(["2021-12-31", str(tmp_path / "shop"), "--orders", "20"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "shop").iterdir()} == sample_shop(AS_OF, 20).files
