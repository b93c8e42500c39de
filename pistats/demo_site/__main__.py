"""`python -m pistats.demo_site --port 8080 --key WRITE_KEY --api http://127.0.0.1:8000`."""

import argparse
import asyncio

from pistats.demo_site.server import application, serve


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pistats.demo_site", description="A small news site with the tracker."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="TCP port; 0: a free one")
    parser.add_argument("--key", required=True, help="write key of the site")
    parser.add_argument("--api", required=True, help="base of piStats' HTTP endpoint, as the browser reaches it")
    arguments = parser.parse_args()
    asyncio.run(serve(application(arguments.key, arguments.api), arguments.host, arguments.port))


main()
