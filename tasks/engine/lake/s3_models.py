"""botocore and its model of S3, loaded once per process and in half the time that botocore takes by itself."""

import functools
import gc
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.loaders import Loader

_SUFFIXES: dict[str, Callable[[bytes], bytes]] = {".json": bytes, ".json.gz": gzip.decompress}
_PYOPENSSL = "urllib3.contrib.pyopenssl"


@functools.cache
def s3_models() -> "Loader":
    """Return the loader with botocore's model of S3 in memory."""
    with _without_pyopenssl():
        import botocore.session  # noqa: F401, PLC0415 - slow to import
    from botocore.loaders import JSONFileLoader, Loader  # noqa: PLC0415

    class Files(JSONFileLoader):
        """Reads objects into plain dictionaries. botocore's own class makes an `OrderedDict` of each object."""

        def load_file(self, file_path: str) -> Any:
            for suffix, unpack in _SUFFIXES.items():
                if (path := Path(f"{file_path}{suffix}")).is_file():
                    return json.loads(unpack(path.read_bytes()))
            return None

    class Models(Loader):
        """Lists the services by their folders. botocore's own class also looks for files in the folder of each."""

        def list_available_services(self, type_name: str) -> list[str]:
            del type_name
            folders = [os.scandir(path) for path in self.search_paths if Path(path).is_dir()]
            return sorted({entry.name for folder in folders for entry in folder if entry.is_dir()})

    loader = Models(file_loader=Files())
    # Loading merges files in place, so it must happen before threads share the loader.
    loader.load_service_model("s3", "service-2", api_version=None)
    # The model and the modules live as long as the process, so the garbage collector need not scan them again.
    gc.freeze()
    return loader


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause the garbage collector in a block that makes many objects and no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _without_pyopenssl() -> Iterator[None]:
    """Hide urllib3's adapter of pyOpenSSL, which botocore imports where pyOpenSSL is installed.

    botocore takes only the class `SSLContext` from the adapter. Without the adapter, it takes the same class of Python
    from urllib3.
    """
    if _PYOPENSSL in sys.modules:
        yield
        return
    sys.modules[_PYOPENSSL] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if sys.modules.get(_PYOPENSSL) is None:
            del sys.modules[_PYOPENSSL]
