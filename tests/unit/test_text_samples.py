"""The small sample of a test that the scaffold writes has rows of the proposed contract, in each dialect."""

import io
from pathlib import Path

import pytest

from deployments.scaffold.pipeline import NewPipeline
from deployments.scaffold.small_sample import sample_of
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.samples.contracts import proposed_contract
from tasks.engine.samples.files import SampleFile
from tasks.engine.samples.partitions import pattern_of
from tasks.engine.samples.profiler import profile_sample

FILES = {
    "index.csv": ",name,amount\n0,x,1\n1,y,2\n",
    "unnamed.csv": "id,,name,\n1,2,x,\n3,4,y,\n",
    "last.csv": "id,name,\n1,x,\n2,y,\n",
    "statement.csv": "Account;;;\nIBAN;DE02;;\n\nDate;Payee;Amount;\n01.04.2024;A;1,50;\n02.04.2024;B;2,50;\n",
    "nameless.dat": "1|x|2.5\n2|y|3.5\n",
    "twice.csv": "id,Order,order\n1,x,2\n2,y,3\n",
    "layout.txt": "id      name     price\n1       x y       1.50\n2       z        12.50\n3                 2.50\n",
}


@pytest.mark.parametrize("name", FILES)
def test_every_row_of_the_small_sample_fits_the_contract(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(FILES[name])
    file = SampleFile(str(path), name, path.stat().st_size, lambda: path.open("rb"))
    profile = profile_sample(file)
    assert profile.rejections == ()
    _, data, count = sample_of(file, NewPipeline("parcels", profile, pattern_of("parcels/x.csv")))
    contract = proposed_contract(profile)
    batches = [RowEncoder(contract).encode(batch) for batch in read_batches(io.BytesIO(data), name, contract)]
    assert sum(len(batch.rejected) for batch in batches) == 0
    assert sum(batch.count for batch in batches) == count == profile.row_count
