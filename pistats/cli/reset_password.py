"""`pistats reset-password`: a new password for the dashboard."""

import asyncio

from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.dashboard_access import reset_password as store_new_password
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.settings import Settings


def reset_password(data: DataOption = DEFAULT_DATA) -> None:
    """Make a new password for the dashboard and print it, once. Everyone who is signed in has to sign in again.

    Example: pistats reset-password
    """
    system, settings = runtime.read(data), Settings(data=data)

    async def run() -> str:
        client = connect(system.mongodb_uri)
        try:
            return await store_new_password(client[settings.database()])
        finally:
            await client.close()

    print(asyncio.run(run()))
