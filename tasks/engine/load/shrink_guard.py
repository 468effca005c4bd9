"""The shrink guard: refuses a replacement with far fewer rows, which usually is an accident."""

from tasks.contracts import Contract
from tasks.engine.errors import ShrinkError
from tasks.engine.settings import RunSettings


def check_shrink(
    contract: Contract, delivered: str, settings: RunSettings, *, before: int, after: int, force: bool
) -> None:
    """Refuse a replacement that loses too many rows, in the transaction of its load.

    Args:
        contract: The contract of the table.
        delivered: The address of the object, or the name of the partition, that replaces earlier rows.
        settings: `MIN_KEPT_SHARE`.
        before: Number of the replaced rows.
        after: Number of rows of the replacement.
        force: Whether the run allows any loss.

    Raises:
        ShrinkError: The replacement has no rows, or fewer rows than `MIN_KEPT_SHARE` of the replaced rows.
    """
    if force or contract.may_shrink or not before:
        return
    if after and after >= settings.min_kept_share * before:
        return
    least = max(settings.min_kept_share * before, 1)
    raise ShrinkError(
        f"{delivered}: expected at least {least:,.0f} rows to replace the {before:,} rows in {contract.table}, found"
        f" {after:,} rows; nothing was loaded, and the table keeps its previous rows. Have the object delivered again."
        " If these are the right rows, run again with force, or set may_shrink in the contract of"
        f" {contract.dataset}. MIN_KEPT_SHARE sets how large a share must remain"
    )
