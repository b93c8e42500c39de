"""`pistats reset-password`: a new password for the dashboard."""

import asyncio
from typing import Annotated

import typer

from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.dashboard_access import PasswordRole, remove_viewer_password
from pistats.dashboard_access import reset_password as store_new_password
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.settings import Settings

RoleOption = Annotated[
    PasswordRole,
    typer.Option(help="`admin` may do everything, `viewer` sees every site's numbers and changes nothing."),
]
RemoveOption = Annotated[bool, typer.Option("--remove", help="Take the viewers' password away instead.")]


def reset_password(role: RoleOption = "admin", remove: RemoveOption = False, data: DataOption = DEFAULT_DATA) -> None:
    """Make a new password for the dashboard and print it, once. Who is signed in by it has to sign in again.

    A new admin's password ends the viewers' sign-ins, too.

    Examples: pistats reset-password · pistats reset-password --role viewer [--remove]
    """
    if remove and role == "admin":
        raise typer.BadParameter("Only the viewers' password can be removed: add `--role viewer`.")
    system, settings = runtime.read(data), Settings(data=data)

    async def run() -> str:
        client = connect(system.mongodb_uri)
        try:
            if remove:
                await remove_viewer_password(client[settings.database()])
                return "removed"
            return await store_new_password(client[settings.database()], role=role)
        finally:
            await client.close()

    print(asyncio.run(run()))
