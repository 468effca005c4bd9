"""The part of `make demo` that analyses a shop's orders, reviews and shipments as of a day."""

from datetime import date

from deployments.samples.commerce import SampleShop, sample_shop
from deployments.samples.sample import DemoResult, DemoRun, Sample
from tasks.contracts import commerce

SHOP_DAY = date(2021, 12, 31)


def run_commerce(_demo: DemoRun) -> DemoResult:
    """Write the files of a shop, analyse them, and compare the results with the generated data."""
    return run_shop(put_shop())


def put_shop() -> SampleShop:
    """Generate the files of a shop and write them to the lake."""
    from tasks.connections import open_lake, value_of  # noqa: PLC0415 - Prefect reads its settings when imported

    shop = sample_shop(SHOP_DAY)
    with open_lake() as lake:
        for name, content in shop.files.items():
            lake.write(f"{value_of(commerce.PREFIX)}{name}", iter([content]), "text/csv")
    return shop


def run_shop(shop: SampleShop) -> DemoResult:
    """Run `commerce-analytics`, print its results, and compare them with the generated data."""
    from flows.commerce_analytics import commerce_analytics  # noqa: PLC0415 - Prefect reads its settings when imported
    from tasks.connections import open_warehouse  # noqa: PLC0415

    loads = commerce_analytics(as_of=SHOP_DAY)
    loaded = {load.source_uri.rpartition("/")[2]: (load.rows_read, load.rows_rejected) for load in loads}
    differences = [
        f"expected (rows, bad rows) {generated} in {name}, found {loaded.get(name)}"
        for name in shop.files
        if (generated := (shop.rows[name], shop.bad_rows[name])) != loaded.get(name)
    ]
    with open_warehouse() as connection:
        found = connection.execute(
            "SELECT tt_late_shipments, tt_undelivered_items, tt_review_points, product_name, most_ordered_day"
            " FROM commerce_analytics.agg_shipments INNER JOIN commerce_analytics.best_performing_product"
            " USING (ingestion_date) WHERE ingestion_date = %s",
            [SHOP_DAY],
        ).fetchone()
    wanted = shop.late_count, shop.undelivered_count, shop.review_points
    if found is None or found[:3] != wanted:
        differences.append(f"expected (late, undelivered, points of the best product) {wanted}, found {found}")
    else:
        late, undelivered, points, name, day = found
        print(f"\nShop as of {SHOP_DAY}: {late:,} late shipments, {undelivered:,} undelivered items;")
        print(f"  best product: {name}, {points:,} review points, most ordered on {day}")
    return DemoResult(loads, differences, ["commerce_analytics.html"])


SAMPLE = Sample(run_commerce, f"commerce-analytics/commerce-analytics -p as_of={SHOP_DAY}")
