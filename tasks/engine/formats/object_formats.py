"""The format of an object: what its contract declares, or what the suffix of its name says."""

from tasks.contracts import Contract
from tasks.contracts.formats import Compression, Csv, Format, Json, Ndjson, Parquet
from tasks.engine.errors import ContractError

COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
FORMATS: dict[str, Format] = {
    ".csv": Csv(),
    ".tsv": Csv(delimiter="\t"),
    ".psv": Csv(delimiter="|"),
    ".json": Json(),
    ".geojson": Json(),
    ".ndjson": Ndjson(),
    ".jsonl": Ndjson(),
    ".parquet": Parquet(),
}
"""The format of an object whose contract declares none, by the suffix of the object's name."""

_OTHERS = {
    (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tar.zst"): (
        "the suffix of an archive. Deliver each file of the archive as an object of its own, such as .csv.gz"
    ),
    (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"): "the suffix of a workbook. Deliver each sheet as an object in CSV",
    (".bz2", ".xz", ".lzma", ".lz4", ".br", ".sz", ".z"): (
        "the suffix of another compression. Deliver the object uncompressed, or as .gz or .zst"
    ),
    (".gzip", ".zstd"): "another suffix. Let the name end with .gz or .zst",
    (".avro", ".orc", ".arrow", ".feather"): "the suffix of another format. Deliver the object as parquet",
    (".xml", ".html", ".sql", ".sqlite", ".db", ".dbf"): "the suffix of another format. Deliver the rows as CSV",
}
"""What the suffixes of formats and compressions that Tally does not read say, with the next step."""


def format_of(name: str, contract: Contract) -> tuple[Format, Compression | None]:
    """Return the format and the compression of an object.

    The contract's declarations come first, then the suffix of the name (in lower or upper case).

    Raises:
        ContractError: The contract declares no format, and the name has no known suffix. Or the name of a parquet file
            ends like the name of a compressed object.
    """
    stem, compression = _uncompressed(name.lower())
    form = contract.format or next((form for suffix, form in FORMATS.items() if stem.endswith(suffix)), None)
    if form is None or (isinstance(form, Parquet) and compression):
        declare = (
            f'Declare the format in the contract of {contract.dataset}, such as format=Csv(delimiter=";"), or correct'
            " the dataset's key"
        )
        other = next((what for suffixes, what in _OTHERS.items() if name.lower().endswith(suffixes)), "")
        raise ContractError(
            f"{name}: expected a name that ends with {', '.join(FORMATS)}, or a contract that declares the format."
            f" {' or '.join(COMPRESSIONS)} may follow, except after .parquet."
            f" {f'Found {other}, or correct the key of the dataset' if other else declare}"
        )
    return form, compression if isinstance(form, Parquet) else form.compression or compression


def _uncompressed(name: str) -> tuple[str, Compression | None]:
    """Return a name without the suffix of its compression, and the compression."""
    for suffix, compression in COMPRESSIONS.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), compression
    return name, None


def is_seekable(name: str, contract: Contract) -> bool:
    """Return whether the reader of an object moves back and forth in it, which only the reader of parquet does."""
    return isinstance(format_of(name, contract)[0], Parquet)
