"""The clients of S3 that the steps of a run share."""

import os
import threading
from typing import TYPE_CHECKING

from tasks.engine.lake.client import new_client
from tasks.engine.settings import LakeSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Clients:
    """The S3 clients that the steps of a run share: one for each service and login, for all buckets and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[int, LakeSettings], S3Client] = {}

    def client_for(self, settings: LakeSettings) -> "S3Client":
        """Return the client for these settings. A forked process gets its own."""
        key = os.getpid(), settings.model_copy(update={"bucket": "", "named_by": ""})
        with self._lock:
            if key not in self._known:
                self._known[key] = new_client(settings)
            return self._known[key]

    def clear(self) -> None:
        """Forget the clients, which may still be in use."""
        with self._lock:
            self._known.clear()
