"""The text of a sync report."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from tasks.engine.build.sql_files import DispositionKind
from tasks.engine.receipts import SyncReceipt
from tasks.sync_report import OPERATIONS, lag_of, sync_section

NOW = datetime(2022, 11, 3, 14, 30, tzinfo=UTC)


def section(receipt: SyncReceipt) -> str:
    return "\n".join(sync_section(receipt))


def test_section_of_a_run_without_a_change_says_so() -> None:
    assert "Nothing changed in the source." in section(SyncReceipt(7, False, "", (), (), ()))


@pytest.mark.parametrize(
    ("newest", "lag"),
    [
        ("2022-11-03 14:20:49.962", "0:09:10"),
        ("2022-11-03 14:29:59.5", "0:00:00"),
        ("2022-11-03 14:30:00.5", "0:00:00"),
        ("", "unknown"),
        ("infinity", "unknown"),
    ],
)
def test_lag_is_the_age_of_the_newest_change(newest: str, lag: str) -> None:
    assert lag_of(SyncReceipt(7, False, newest, (), (), (), (), (7, NOW))) == lag


def test_run_without_a_change_repeats_the_lag_of_the_run_that_brought_the_newest_change() -> None:
    later = SyncReceipt(9, False, "2022-11-03 14:20:49.962", (), (), (), (), (7, NOW))
    assert lag_of(later) == "0:09:10, by run 7"
    assert lag_of(SyncReceipt(9, False, "2022-11-03 14:20:49.962", (), (), ())) == "unknown"


def test_every_write_disposition_has_a_word() -> None:
    assert set(OPERATIONS) == set(get_args(DispositionKind))
