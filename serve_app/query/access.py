"""Who may read what: one read key per site, as a bearer token."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pistats.sites import Site, SiteStore, hash_key
from serve_app.query.problem import UNKNOWN_KEY, WRITE_KEY, QueryProblemError

BEARER = HTTPBearer(auto_error=False, description="The site's read key: `pistats site add` shows it once.")


async def site_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
) -> Site:
    """The site that the request's read key belongs to. 401 without a known key, 403 for a write key."""
    if credentials is None:
        raise _unknown("Send `Authorization: Bearer READ_KEY`.")
    sites: SiteStore = request.app.state.parts.sites
    key_hash = hash_key(credentials.credentials)
    site = await sites.by_read_key_hash(key_hash)
    if site is not None:
        return site
    if await sites.by_write_key_hash(key_hash) is not None:
        raise QueryProblemError(
            WRITE_KEY, "This is a write key, which anyone can see in the page: use the read key of the site."
        )
    raise _unknown("No site has this read key: `pistats site rotate-key` makes new keys.")


ReadableSite = Annotated[Site, Depends(site_of)]


def _unknown(detail: str) -> QueryProblemError:
    return QueryProblemError(UNKNOWN_KEY, detail, {"www-authenticate": "Bearer"})
