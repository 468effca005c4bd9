"""The S3 clients: how one is created, and how the steps of a run share them."""

import os
import threading
from typing import TYPE_CHECKING, Any

from tasks.engine.lake.aws_sessions import login_of, new_session
from tasks.engine.lake.s3_models import without_collection
from tasks.engine.lake.uploads import CHECKSUMS, Checksums
from tasks.engine.settings import LakeSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 4
"""How often a request is sent until it succeeds, with up to 1, 2 and 4 seconds between the attempts."""
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30
"""Seconds without a byte after which a connection counts as lost."""
MOST_CONNECTIONS = 50
"""Maximum number of idle connections of a client: loads side by side share it."""


def new_client(settings: LakeSettings) -> "S3Client":
    """Create a client."""
    with without_collection():
        return _new_client(settings)


def _new_client(settings: LakeSettings) -> "S3Client":
    core = new_session()
    from botocore.config import Config  # noqa: PLC0415 - slow to import

    checksums = Checksums()
    core.register("before-sign.s3.UploadPart", checksums.choose_signature)
    # boto3 would make the same client, and its import takes 3 MB and 0.04 s more.
    client: Any = core.create_client(
        "s3",
        endpoint_url=settings.endpoint_url,
        **login_of(settings),
        config=Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            max_pool_connections=MOST_CONNECTIONS,
            # Every S3 server supports path style. AWS supports it for bucket names without dots.
            s3={"addressing_style": "path"} if settings.endpoint_url else {},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    created: S3Client = client
    CHECKSUMS[created] = checksums
    return created


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
