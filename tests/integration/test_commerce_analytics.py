"""`commerce-analytics` from the lake to the exports and the report, compared with the oracle."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import psycopg
import pytest
from commerce_oracle import Shop, answers, read_shop
from prefect.exceptions import ParameterTypeError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from runs_here import run_here
from sample_dataset import client

from deployments.local import embedded
from deployments.samples.commerce import SampleShop, sample_shop
from flows.commerce_analytics import commerce_analytics
from tasks.engine.errors import CheckError, ContractError, MissingObjectError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "commerce"
AS_OF = date(2021, 12, 31)
TABLES = ("agg_public_holiday", "agg_shipments", "best_performing_product")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
HEADERS = {
    "agg_public_holiday": ["ingestion_date", *(f"tt_order_hol_{month}" for month in MONTHS)],
    "agg_shipments": ["ingestion_date", "tt_late_shipments", "tt_undelivered_items"],
    "best_performing_product": [
        *("ingestion_date", "product_name", "most_ordered_day", "is_public_holiday", "tt_review_points"),
        *(f"pct_{stars}_star_review" for stars in ("one", "two", "three", "four", "five")),
        *("pct_early_shipments", "pct_late_shipments"),
    ],
}
EMPTY = {
    "orders.csv": b"order_id,customer_id,order_date,product_id,unit_price,quantity,total_price\n",
    "reviews.csv": b"review,product_id\n",
    "shipment_deliveries.csv": b"shipment_id,order_id,shipment_date,delivery_date\n",
}


@pytest.fixture
def s3(bucket: str) -> "S3Client":
    del bucket  # its variables say where S3 is
    return client()


@pytest.fixture
def warehouse(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def put(s3: "S3Client", bucket: str, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        s3.put_object(Bucket=bucket, Key=f"orders_data/{name}", Body=content)


def put_sample(s3: "S3Client", bucket: str, orders: int = 600, *, seed: int = 1) -> SampleShop:
    shop = sample_shop(AS_OF, orders, seed=seed)
    put(s3, bucket, shop.files)
    return shop


def shop_of(files: dict[str, bytes], warehouse: psycopg.Connection) -> Shop:
    """The input of the oracle: the valid rows of the files, and the current calendar."""
    good = files | {
        "reviews.csv": b"\n".join(r for r in files["reviews.csv"].split(b"\n") if r[:2] not in (b"0,", b"6,", b"fi"))
    }
    calendar = warehouse.execute("SELECT calendar_dt, day_of_the_week_num, working_day FROM if_common.dim_dates")
    names = ["calendar_dt", "day_of_the_week_num", "working_day"]
    return read_shop(
        {name.removesuffix(".csv"): content for name, content in good.items()},
        pl.DataFrame(calendar.fetchall(), names, orient="row"),
    )


def tables(warehouse: psycopg.Connection, as_of: date) -> dict[str, dict[str, Any]]:
    found = {}
    for table in TABLES:
        with warehouse.cursor(row_factory=dict_row) as cursor:
            query = f"SELECT * FROM commerce_analytics.{table} WHERE ingestion_date = %s"
            (found[table],) = cursor.execute(query, [as_of]).fetchall()
    return found


def exported(s3: "S3Client", bucket: str, export_id: str = "default") -> dict[str, bytes]:
    prefix = f"analytics_export/{export_id}/"
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
    return {key.removeprefix(prefix): s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def as_csv(value: object) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return "" if value is None else str(value)


def assert_exports_say(files: dict[str, bytes], rows: dict[str, dict[str, Any]]) -> None:
    for table, row in rows.items():
        assert list(row) == HEADERS[table]
        found = list(csv.reader(io.StringIO(files[f"{table}.csv"].decode(), newline="")))
        assert found == [HEADERS[table], [as_csv(value) for value in row.values()]]


def test_tables_and_exports_agree_with_the_oracle(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> None:
    sample = put_sample(s3, bucket)
    for as_of in (AS_OF, date(2021, 3, 1)):
        loads = run_here(commerce_analytics, as_of=as_of, export_id=f"{as_of}")
        expected = answers(shop_of(sample.files, warehouse), as_of)
        assert expected["best_performing_product"]["product_name"]
        assert tables(warehouse, as_of) == expected
        assert_exports_say(exported(s3, bucket, f"{as_of}"), expected)
    assert {load.source_uri.rpartition("/")[2]: (load.rows_read, load.rows_rejected) for load in loads} == {
        name: (sample.rows[name], sample.bad_rows[name]) for name in sample.files
    }


def test_loaded_files_are_skipped(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> None:
    put_sample(s3, bucket)
    run_here(commerce_analytics, as_of=AS_OF)

    def state() -> object:
        objects = s3.list_objects_v2(Bucket=bucket, Prefix="analytics_export/")["Contents"]
        names = (
            "ledger.loads",
            "ledger.builds",
            "ledger.exports",
            "if_common.dim_dates",
            "commerce_analytics.agg_shipments",
        )
        rows = [warehouse.execute(f"SELECT xmin, * FROM {name}").fetchall() for name in names]
        stamps = [(item["Key"], item["LastModified"]) for item in objects if not item["Key"].endswith("manifest.json")]
        return stamps, rows

    before = state()
    assert {load.status for load in run_here(commerce_analytics, as_of=AS_OF)} == {"unchanged"}
    assert state() == before


def test_same_files_and_date_give_the_same_bytes_after_any_earlier_runs(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    put_sample(s3, bucket)
    run_here(commerce_analytics, as_of=AS_OF)
    first = exported(s3, bucket)
    for schema in ("commerce_analytics", "commerce_staging", "if_common", "ledger"):
        warehouse.execute(f"DROP SCHEMA {schema} CASCADE")
    run_here(commerce_analytics, as_of=date(2021, 6, 1))
    assert exported(s3, bucket) != first
    run_here(commerce_analytics, as_of=AS_OF)
    assert exported(s3, bucket) == first
    rows = warehouse.execute("SELECT ingestion_date FROM commerce_analytics.agg_shipments ORDER BY 1").fetchall()
    assert rows == [(date(2021, 6, 1),), (AS_OF,)]


def test_corrected_file_replaces_exactly_itself(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> None:
    before = put_sample(s3, bucket, 300)
    run_here(commerce_analytics, as_of=AS_OF)
    files = before.files | {"reviews.csv": sample_shop(AS_OF, 200, seed=7).files["reviews.csv"]}
    put(s3, bucket, {"reviews.csv": files["reviews.csv"]})
    statuses = {load.source_uri.rpartition("/")[2]: load.status for load in run_here(commerce_analytics, as_of=AS_OF)}
    assert statuses == {name: "replaced" if name == "reviews.csv" else "unchanged" for name in files}
    assert tables(warehouse, AS_OF) == answers(shop_of(files, warehouse), AS_OF)


def test_shipments_under_their_other_name_replace_the_first(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    sample = put_sample(s3, bucket, 300)
    run_here(commerce_analytics, as_of=AS_OF)
    expected = tables(warehouse, AS_OF)
    put(s3, bucket, {"shipments_deliveries.csv": sample.files["shipment_deliveries.csv"]})  # the first object remains
    loads = {load.table: load for load in run_here(commerce_analytics, as_of=AS_OF)}
    load = loads["commerce_staging.shipment_deliveries"]
    assert (load.status, load.source_uri) == ("replaced", f"s3://{bucket}/orders_data/shipments_deliveries.csv")
    count = "SELECT count(*), count(DISTINCT load_id) FROM commerce_staging.shipment_deliveries"
    assert warehouse.execute(count).fetchone() == (sample.rows["shipment_deliveries.csv"], 1)
    assert tables(warehouse, AS_OF) == expected
    s3.delete_object(Bucket=bucket, Key="orders_data/shipment_deliveries.csv")
    assert {load.status for load in run_here(commerce_analytics, as_of=AS_OF)} == {"unchanged"}


@pytest.mark.parametrize("missing", EMPTY)
def test_missing_file_fails_before_anything_is_loaded(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, missing: str
) -> None:
    put(s3, bucket, {name: content for name, content in EMPTY.items() if name != missing})
    put(s3, bucket, {f"old_{missing}": b""})
    with pytest.raises(MissingObjectError, match=f"s3://{bucket}/orders_data/{missing}") as caught:
        run_here(commerce_analytics, as_of=AS_OF)
    assert f"orders_data/old_{missing}" in str(caught.value)
    assert warehouse.execute("SELECT count(*) FROM ledger.loads").fetchone() == (0,)


def test_renamed_column_is_an_alias_or_an_error_that_names_the_nearest(s3: "S3Client", bucket: str) -> None:
    put(s3, bucket, EMPTY | {"orders.csv": EMPTY["orders.csv"].replace(b"total_price", b"amount")})
    run_here(commerce_analytics, as_of=AS_OF)
    put(s3, bucket, {"orders.csv": EMPTY["orders.csv"].replace(b"order_date", b"orderdate")})
    with pytest.raises(ContractError, match="order_date may be orderdate"):
        run_here(commerce_analytics, as_of=AS_OF)


def test_empty_files_give_rows_of_zeros_and_nulls(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> None:
    put(s3, bucket, EMPTY)
    run_here(commerce_analytics, as_of=AS_OF)
    found = tables(warehouse, AS_OF)
    assert set(found["agg_public_holiday"].values()) == {AS_OF, 0}
    assert set(found["agg_shipments"].values()) == {AS_OF, 0}
    assert set(found["best_performing_product"].values()) == {AS_OF, None}
    assert_exports_say(exported(s3, bucket), found)


def test_calendar_is_computed_for_the_configured_country(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, bucket, EMPTY)
    run_here(commerce_analytics, as_of=AS_OF)
    thanksgiving = "SELECT working_day FROM if_common.dim_dates WHERE calendar_dt = '2021-11-25'"
    assert warehouse.execute(thanksgiving).fetchone() == (False,)
    monkeypatch.setenv("COMMERCE_COUNTRY", "DE")
    run_here(commerce_analytics, as_of=AS_OF)
    assert warehouse.execute(thanksgiving).fetchone() == (True,)


def test_delivered_reference_tables_are_used_and_their_corrections_too(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    dates = b"calendar_dt,year_num,month_of_the_year_num,day_of_the_month_num,day_of_the_week_num,working_day\n"
    files = EMPTY | {
        "orders.csv": EMPTY["orders.csv"] + b"1,1,2021-12-30,1,5,2,10\n",
        "reviews.csv": EMPTY["reviews.csv"] + b"4,1\n",
        "dim_products.csv": b"product_id,product_category,product_name\n1,tools,pen\n",
        "dim_dates.csv": dates + b"2021-12-30,2021,12,30,4,False\n",
    }
    put(s3, bucket, files)
    run_here(commerce_analytics, as_of=AS_OF)
    assert warehouse.execute("SELECT count(*) FROM if_common.dim_dates").fetchone() == (1,)
    found = tables(warehouse, AS_OF)
    assert found["agg_public_holiday"]["tt_order_hol_dec"] == 1
    best = found["best_performing_product"]
    assert (best["product_name"], best["is_public_holiday"]) == ("pen", True)
    corrections = {"dim_products.csv": files["dim_products.csv"].replace(b"pen", b"ink")}
    put(s3, bucket, corrections | {"dim_dates.csv": files["dim_dates.csv"].replace(b"False", b"True")})
    run_here(commerce_analytics, as_of=AS_OF)
    found = tables(warehouse, AS_OF)
    assert found["agg_public_holiday"]["tt_order_hol_dec"] == 0
    assert found["best_performing_product"]["product_name"] == "ink"


def test_reference_tables_of_another_owner_are_read_and_never_changed(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, services: embedded.Services, database: str
) -> None:
    """The role of the flows may only read these tables, and their columns differ from those that Tally would create."""
    administration = make_conninfo(
        services.postgres.administrator_dsn if services.postgres else services.administration["WAREHOUSE_DSN"],
        dbname=str(conninfo_to_dict(database)["dbname"]),
    )
    with psycopg.connect(administration, autocommit=True) as owner:
        owner.execute(
            """
            CREATE SCHEMA if_common;
            CREATE TABLE if_common.dim_customers (customer_id int PRIMARY KEY, customer_name varchar, postal_code int);
            CREATE TABLE if_common.dim_addresses (postal_code int PRIMARY KEY, country text, region text, state text);
            CREATE TABLE if_common.dim_products (product_id int PRIMARY KEY, product_name varchar(50), note text);
            CREATE TABLE if_common.dim_dates (calendar_dt date PRIMARY KEY, day_of_the_week_num int, working_day bool);
            INSERT INTO if_common.dim_customers VALUES (1, 'Ann', 100);
            INSERT INTO if_common.dim_addresses VALUES (100, 'Palau', '', '');
            INSERT INTO if_common.dim_products VALUES (1, 'theirs', 'kept');
            INSERT INTO if_common.dim_dates SELECT d, extract(isodow FROM d), false
            FROM generate_series('2021-12-01'::date, '2021-12-31', '1 day') AS d;
            GRANT USAGE ON SCHEMA if_common TO PUBLIC;
            GRANT SELECT ON ALL TABLES IN SCHEMA if_common TO PUBLIC
            """
        )
        names = ("dim_customers", "dim_addresses", "dim_products", "dim_dates")

        def theirs() -> object:
            return [owner.execute(f"SELECT xmin, * FROM if_common.{name} ORDER BY 2").fetchall() for name in names]

        before = theirs()
        files = EMPTY | {
            "orders.csv": EMPTY["orders.csv"] + b"1,1,2021-12-30,1,5,2,10\n",
            "reviews.csv": EMPTY["reviews.csv"] + b"4,1\n",
            "dim_products.csv": b"product_id,product_category,product_name\n1,tools,ours\n",
        }
        put(s3, bucket, files)
        run_here(commerce_analytics, as_of=AS_OF)
        assert theirs() == before
        found = tables(warehouse, AS_OF)
        assert found["agg_public_holiday"]["tt_order_hol_dec"] == 1
        assert found["best_performing_product"]["product_name"] == "theirs"
        # The next run sees a change of the other owner.
        owner.execute("UPDATE if_common.dim_products SET product_name = 'new'")
        run_here(commerce_analytics, as_of=AS_OF)
        assert tables(warehouse, AS_OF)["best_performing_product"]["product_name"] == "new"
        owner.execute("DROP SCHEMA if_common CASCADE")


def test_failed_check_leaves_tables_and_exports_as_they_were(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection
) -> None:
    put_sample(s3, bucket, 100)
    run_here(commerce_analytics, as_of=AS_OF)
    before = tables(warehouse, AS_OF), exported(s3, bucket)
    dates = b"calendar_dt,year_num,month_of_the_year_num,day_of_the_month_num,day_of_the_week_num,working_day\n"
    put(s3, bucket, {"dim_dates.csv": dates + b"2001-01-01,2001,1,1,1,f\n"})
    with pytest.raises(CheckError, match="orders of the year have dates that the calendar lacks"):
        run_here(commerce_analytics, as_of=AS_OF)
    assert (tables(warehouse, AS_OF), exported(s3, bucket)) == before


def test_report_shows_the_figures_in_the_ui_and_on_a_page_of_its_own(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, prefect_server: str
) -> None:
    sample = put_sample(s3, bucket, 300)
    s3.delete_object(Bucket=bucket, Key="orders_data/dim_products.csv")
    commerce_analytics(as_of=AS_OF, export_id="team-1")
    url = f"{prefect_server}/artifacts/commerce-analytics/latest"
    artifact = str(httpx.get(url).raise_for_status().json()["data"])
    assert artifact.count("](data:image/svg+xml;base64,") == 2
    assert f"| {sample.rows['reviews.csv']:,} | {sample.rows['reviews.csv'] - 3:,} | 3 |" in artifact
    page = exported(s3, bucket, "team-1")["commerce_analytics.html"].decode()
    assert page.count('<img src="data:image/svg+xml;base64,') == 2
    assert "href=" not in page
    assert "src=" not in page.replace('src="data:', "")
    for text in (artifact, page):
        assert f"{sample.late_count:,}" in text
        assert "Late shipments" in text
        assert "sent 6 days or more after the order and not delivered" in text.replace("\\", "")
        assert "tt_" not in text.replace("\\", "")
        assert "dim" in text.partition("Warning")[2]  # the best product has no name
    assert warehouse.execute("SELECT DISTINCT as_of FROM ledger.exports").fetchall() == [(AS_OF,)]


def test_manifest_is_last_and_lists_every_file_with_its_date(s3: "S3Client", bucket: str) -> None:
    put(s3, bucket, EMPTY)
    run_here(commerce_analytics, as_of=AS_OF)
    objects = s3.list_objects_v2(Bucket=bucket, Prefix="analytics_export/default/")["Contents"]
    stamps = {item["Key"].rpartition("/")[2]: item["LastModified"] for item in objects}
    assert stamps["manifest.json"] == max(stamps.values())
    files = json.loads(exported(s3, bucket)["manifest.json"])["files"]
    assert {entry["uri"].rpartition("/")[2] for entry in files} == stamps.keys() - {"manifest.json"}
    assert {entry["as_of"] for entry in files} == {"2021-12-31"}


def test_date_is_that_of_the_scheduled_start(
    s3: "S3Client", bucket: str, warehouse: psycopg.Connection, prefect_server: str
) -> None:
    put(s3, bucket, EMPTY)
    today = datetime.now(UTC).date()
    commerce_analytics()
    ((found,),) = warehouse.execute("SELECT ingestion_date FROM commerce_analytics.agg_shipments").fetchall()
    assert found in (today, datetime.now(UTC).date())
    named = {"flow_runs": {"name": {"any_": [f"commerce-analytics-{found}"]}}}
    assert httpx.post(f"{prefect_server}/flow_runs/filter", json=named).json()


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("parameters", [{"export_id": "../other"}, {"export_id": ""}, {"as_of": "2021-02-30"}])
def test_invalid_parameters_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        commerce_analytics(**parameters)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real files are not there: {REAL}")
def test_real_files_agree_with_the_oracle(s3: "S3Client", bucket: str, warehouse: psycopg.Connection) -> None:
    files = {path.name: path.read_bytes() for path in REAL.glob("*.csv")}
    put(s3, bucket, files)
    for as_of in (date(2022, 9, 5), date(2022, 1, 1), date(2021, 2, 28)):
        loads = run_here(commerce_analytics, as_of=as_of)
        expected = answers(shop_of(files, warehouse), as_of)
        assert tables(warehouse, as_of) == expected
        assert_exports_say(exported(s3, bucket), expected)
    assert sorted((load.rows_read, load.rows_rejected) for load in loads) == [(7_236, 0), (10_000, 0), (10_000, 0)]
