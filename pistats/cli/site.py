"""`pistats site`: the sites that may send events, and their keys."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import orjson
import typer
from rich.table import Table

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption, JsonOption, refusing
from pistats.local import runtime
from pistats.mongo.client import connect
from pistats.settings import Settings
from pistats.sites import (
    Site,
    SiteKeys,
    SiteStore,
    check_keep_days,
    check_name,
    check_origin,
    check_timezone,
)

site_commands = typer.Typer(help="The sites that may send events, and their keys.", no_args_is_help=True)
T = TypeVar("T")

KeepDays = Annotated[
    int | None,
    typer.Option(
        help="Days that its events stay in the warehouse. Unset: for ever.", callback=refusing(check_keep_days)
    ),
]


def _check_origins(origins: list[str]) -> None:
    for origin in origins:
        check_origin(origin)


@site_commands.command("add", epilog="Example: pistats site add news --timezone Europe/Berlin")
def add(
    name: Annotated[
        str,
        typer.Argument(
            help="Letters, digits, dots and dashes; `example.com` or `news`.", callback=refusing(check_name)
        ),
    ],
    timezone: Annotated[
        str,
        typer.Option(help="IANA time zone of the site's days, as `Europe/Berlin`.", callback=refusing(check_timezone)),
    ] = "UTC",
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Take events only from pages of this origin; may be repeated. Unset: any.",
            callback=refusing(_check_origins),
        ),
    ] = None,
    truncate_ip: Annotated[
        bool, typer.Option("--truncate-ip/--whole-ip", help="Store addresses cut to /24 (IPv6: /48), or whole.")
    ] = True,
    keep_days: KeepDays = None,
    as_json: JsonOption = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Add a site and print its write key and read key. They are shown once: only their hashes are kept."""
    origins = allowed_origin or []
    keys = _with_sites(
        data,
        lambda sites: sites.add(name, timezone, allowed_origins=origins, truncate_ip=truncate_ip, keep_days=keep_days),
    )
    _show_keys(keys, as_json, data)


@site_commands.command("list", epilog="Example: pistats site list --json")
def list_sites(as_json: JsonOption = False, data: DataOption = DEFAULT_DATA) -> None:
    """List the sites."""
    sites: list[Site] = _with_sites(data, lambda store: store.list())
    if as_json:
        print(orjson.dumps([_public(site) for site in sites]).decode())
        return
    table = Table("Site", "Time zone", "Allowed origins", "Created")
    for site in sites:
        created = datetime.fromtimestamp(site.created_time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(site.name, site.timezone, ", ".join(site.allowed_origins) or "any", created)
    Console().print(table if sites else "No site yet. Add one: pistats site add NAME")


@site_commands.command("change", epilog="Example: pistats site change news --keep-days 365")
def change(
    name: Annotated[str, typer.Argument(help="The site.")],
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Take events only from pages of this origin; may be repeated.", callback=refusing(_check_origins)
        ),
    ] = None,
    any_origin: Annotated[bool, typer.Option("--any-origin", help="Take events from pages of any origin.")] = False,
    truncate_ip: Annotated[
        bool | None, typer.Option("--truncate-ip/--whole-ip", help="Store addresses cut to /24 (IPv6: /48), or whole.")
    ] = None,
    keep_days: KeepDays = None,
    keep_for_ever: Annotated[bool, typer.Option("--keep-for-ever", help="Keep its events for ever.")] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Change the rules of a site; what is not named stays as it is. Name and time zone are fixed."""

    async def apply(sites: SiteStore) -> Site:
        before = await sites.get(name)
        return await sites.change(
            name,
            allowed_origins=[] if any_origin else allowed_origin or (before.allowed_origins if before else ()),
            truncate_ip=(before is None or before.truncate_ip) if truncate_ip is None else truncate_ip,
            keep_days=None if keep_for_ever else keep_days or (before.keep_days if before else None),
        )

    print(orjson.dumps(_public(_with_sites(data, apply)), option=orjson.OPT_INDENT_2).decode())


@site_commands.command("rotate-key", epilog="Example: pistats site rotate-key news --which write")
def rotate_key(
    name: Annotated[str, typer.Argument(help="The site.")],
    which: Annotated[Literal["both", "write", "read"], typer.Option(help="Which key to replace.")] = "both",
    as_json: JsonOption = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Replace a site's keys and print the new ones. The old ones are refused within seconds."""
    _show_keys(_with_sites(data, lambda sites: sites.rotate_key(name, which)), as_json, data)


def _with_sites(data: Any, use: Callable[[SiteStore], Awaitable[T]]) -> T:
    """Run `use` on the site store of the running system."""
    system, settings = runtime.read(data), Settings(data=data)

    async def run() -> T:
        client = connect(system.mongodb_uri)
        try:
            return await use(SiteStore(client[settings.database()]))
        finally:
            await client.close()

    return asyncio.run(run())


def _show_keys(keys: SiteKeys, as_json: bool, data: Any) -> None:
    shown = {name: value for name, value in asdict(keys).items() if value is not None}
    if as_json:
        print(orjson.dumps(shown).decode())
        return
    console = Console()
    for name, value in shown.items():
        console.print(f"{name.replace('_', ' '):10}", value, markup=False, highlight=False, soft_wrap=True)
    if keys.write_key:
        tag = f'<script defer src="{runtime.read(data).url}/t.js" data-key="{keys.write_key}"></script>'
        console.print("\nPaste this into every page, before </head>:\n", markup=False)
        console.print(tag, markup=False, highlight=False, soft_wrap=True)
    console.print("\nThe keys are shown once.", style="yellow")


def _public(site: Site) -> dict[str, Any]:
    """A site without the hashes of its keys."""
    return {name: value for name, value in asdict(site).items() if not name.endswith("_hash")}
