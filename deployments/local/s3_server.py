"""The S3 server of the demo and the tests: ministack with a filter that rejects requests without a user's key.

ministack by itself gives root rights to an unsigned request, to the key `test` and to any key that looks like an
account number. It also accepts unsigned requests that erase all data. The filter rejects these requests. ministack
checks the signature of all other requests.

Run this module as a script. The environment configures ministack (`GATEWAY_PORT`, `AUTH`, `SERVICES`, ...).
`AWS_ACCESS_KEY_ID` is a random root key. Only the process that starts this script knows it, and creates the IAM users
with it.
"""

import asyncio
import os
from typing import Any
from urllib.parse import parse_qs

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import app as ministack  # type: ignore[import-untyped]
from ministack.core.iam_evaluator import is_root_access_key  # type: ignore[import-untyped]
from ministack.core.router import extract_access_key_id  # type: ignore[import-untyped]

HEALTH = "/_ministack/health"
BLOCK_BYTES = 1 << 18
_REFUSAL = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
    b"<Message>Expected a request signed with the key of an IAM user.</Message></Error>"
)


def is_admitted(scope: Any) -> bool:
    """Return whether ministack may process the request and check its signature."""
    if scope["type"] == "lifespan":
        return True
    if scope["type"] != "http":
        return False
    if scope["path"].startswith(("/_ministack", "/_localstack")):
        return bool(scope["path"] == HEALTH and scope["method"] == "GET")
    signatures = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]
    if len(signatures) > 1:  # the filter and ministack might read different ones
        return False
    key = extract_access_key_id(
        {"authorization": "".join(signatures)},
        parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True),
    )
    return not is_root_access_key(key) or key == os.environ["AWS_ACCESS_KEY_ID"]


def in_blocks(send: Any) -> Any:
    """Wrap `send` to send a body in blocks.

    ministack sends each body as a whole, and the connection would hold a second copy of it.
    """

    async def send_blocks(message: Any) -> None:
        body = memoryview(message.get("body", b""))
        while len(body) > BLOCK_BYTES:
            await send({"type": message["type"], "body": bytes(body[:BLOCK_BYTES]), "more_body": True})
            body = body[BLOCK_BYTES:]
        await send({**message, "body": bytes(body)} if body else message)

    return send_blocks


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    if is_admitted(scope):
        await ministack(scope, receive, in_blocks(send))
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"application/xml")]})
        await send({"type": "http.response.body", "body": _REFUSAL})
    else:
        await send({"type": "websocket.close", "code": 1008})


def main() -> None:
    """Serve on the loopback interface until SIGTERM."""
    config = Config()
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()
