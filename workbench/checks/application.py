"""Checks of the application over HTTP (guide §7.2)."""

from __future__ import annotations

import os

from workbench.checks.look import Look, NotConfiguredError, NotRunError
from workbench.checks.registry import Rows

TIMEOUT = 5.0
"""How long to wait for an answer, in seconds."""

HEALTH = "/api/v1/health"
REFUSED = {*range(300, 400), 401, 403}
"""The status codes of a page that refuses visitors who are not signed in."""


def app_health(look: Look) -> Rows:
    return _unless(look, HEALTH, {200})


def app_pages(look: Look) -> Rows:
    return [row for page in look.settings.app_pages for row in _unless(look, page, {200, *REFUSED})]


def app_auth_refuses(look: Look) -> Rows:
    page = look.settings.app_auth_page
    status, trouble = _get(look, page)
    if status is None or (status >= 400 and status not in REFUSED):
        raise NotRunError(
            f"The application gave no usable answer: {trouble or status} for {page}. See app-health."
        )
    return [] if status in REFUSED else [{"key": page, "answer": f"{status} without signing in"}]


def app_auth_admits(look: Look) -> Rows:
    name, how = look.settings.app_token_env, look.settings.app_auth
    token = os.environ.get(name or "")
    if look.settings.app_url and not token:
        raise NotConfiguredError(
            "No account is configured. Set app_token_env for this environment to the name of a variable, and the variable"
            " to the token of a signed-in person; app_auth says how it is sent."
        )
    rows = _unless(look, look.settings.app_auth_page, {200}, token)
    return [{**row, "sent": f"the token of ${name}, as app_auth says: {how}"} for row in rows]


def _unless(look: Look, page: str, well: set[int], token: str | None = None) -> Rows:
    status, trouble = _get(look, page, token)
    return [] if status in well else [{"key": page, "answer": trouble or str(status)}]


def _get(look: Look, page: str, token: str | None = None) -> tuple[int | None, str]:
    """Request a page; return its status code, or None and what went wrong."""
    if look.settings.app_url is None:
        raise NotConfiguredError("No application is configured. Set app_url for this environment.")
    import httpx  # slow to import, and needed only where an application is configured

    cookie = look.settings.app_auth.partition("cookie:")[2]
    headers = {"Cookie": f"{cookie}={token}"} if cookie else {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=look.settings.app_url, timeout=TIMEOUT) as client:
            return client.get(page, headers=headers if token else {}).status_code, ""
    except httpx.TimeoutException:
        return None, f"no answer within {TIMEOUT:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return None, f"no answer: {type(error).__name__}"
