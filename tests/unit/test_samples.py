"""The samples are found by the name `SAMPLE` that their modules assign."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from deployments import samples
from deployments.local import stack
from deployments.local.prefect_services import PROJECT
from deployments.samples.sample import Sample, find_samples

Package = Callable[[str], ModuleType]
TEXT = """
from deployments.samples.sample import DemoResult, Sample
SAMPLE = Sample(lambda demo: DemoResult(), "parcels-daily/parcels-daily -p day=2021-04-01")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Create a package with one module of this text."""

    def create(text: str) -> ModuleType:
        folder = tmp_path / "made_up_samples"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "parcels_demo.py").write_text(text)
        (folder / "parcels_rows.py").write_text("raise RuntimeError('this module declares no sample')")
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("made_up_samples", "made_up_samples.parcels_demo"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module("made_up_samples")

    return create


def test_module_that_assigns_a_sample_is_found(package: Package) -> None:
    (found,) = find_samples(package(TEXT))
    assert isinstance(found, Sample)
    assert found.command == "parcels-daily/parcels-daily -p day=2021-04-01"


def test_sample_of_another_type_is_refused(package: Package) -> None:
    with pytest.raises(TypeError, match=r"parcels_demo\.SAMPLE: expected a Sample, found int"):
        find_samples(package("SAMPLE = 1"))


def test_every_demo_module_declares_a_sample() -> None:
    assert len(find_samples()) == len(list(Path(samples.__path__[0]).glob("*_demo.py")))


def test_search_for_samples_does_not_import_prefect() -> None:
    code = "import sys; from deployments.samples import sample; sample.find_samples(); print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout == "False\n", "Prefect reads its settings when it is imported: import flows inside of functions"


CONFIG = """
deployments:
  - {name: parcels-daily, entrypoint: flows.parcels_daily.parcels_daily, tags: [parcels]}
  - {name: boxes-daily, entrypoint: flows.boxes_daily.boxes_daily}
  - {name: plan, entrypoint: flows.plan.plan, tags: [operations]}
"""


def test_stack_names_the_runs_of_the_deployed_pipelines(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prefect.yaml").write_text(CONFIG)
    found = find_samples(package(TEXT))
    monkeypatch.setattr(stack, "find_samples", lambda: found)
    monkeypatch.setattr(stack, "PROJECT", tmp_path)
    assert list(stack._first_runs()) == [
        "parcels-daily/parcels-daily -p day=2021-04-01",
        "boxes-daily/boxes-daily",
    ]


def test_stack_names_no_run_without_a_deployed_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prefect.yaml").write_text("deployments: []")
    monkeypatch.setattr(stack, "PROJECT", tmp_path)
    assert list(stack._first_runs()) == []
