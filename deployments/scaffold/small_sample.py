"""The small sample of a new pipeline's test."""

from deployments.scaffold.anonymised import ROWS, csv_sample, disguised, is_private
from deployments.scaffold.pipeline import NewPipeline
from tasks.contracts.formats import Csv
from tasks.engine.samples.files import SampleFile
from tasks.engine.samples.profiler import first_rows


def sample_of(file: SampleFile, p: NewPipeline) -> tuple[str, bytes, int]:
    """Return the name, the content and the number of rows of a small anonymised sample."""
    profile = p.profile
    form = profile.declared_format
    if not isinstance(form, Csv):
        raise NotImplementedError(profile.format)
    frame = first_rows(file, profile, ROWS)
    private = {column.source: column for column in profile.columns if is_private(column)}
    rows = [
        [
            disguised(private[name], value) if value is not None and name in private else value
            for name, value in zip(frame.columns, row, strict=True)
        ]
        for row in frame.iter_rows()
    ]
    return p.file_name, csv_sample(profile, form, rows), len(rows)
