"""Guide §7.2: the application itself, asked over HTTP."""

from __future__ import annotations

import os

from workbench.checks.registry import Look, NotConfiguredError, NotRunError, Rows

TIMEOUT = 5.0
"""Seconds the application has to answer."""

HEALTH = "/api/v1/health"


def app_health(look: Look) -> Rows:
    return _unless_ok(look, HEALTH)


def app_pages(look: Look) -> Rows:
    return [row for page in look.settings.app_pages for row in _unless_ok(look, page, signed_out=True)]


def app_auth_refuses(look: Look) -> Rows:
    page = look.settings.app_auth_page
    status, trouble = _get(look, page)
    if status in {401, 403} or (status is not None and 300 <= status < 400):
        return []
    if status is None or status >= 400:
        raise NotRunError(f"The application did not say: {trouble or status} for {page}. See app-health.")
    return [{"key": page, "answer": f"{status} without signing in"}]


def app_auth_admits(look: Look) -> Rows:
    name = look.settings.app_token_env
    if look.settings.app_url is None:
        _base(look)
    if name is None or not os.environ.get(name):
        raise NotConfiguredError(
            "There is no account to try it with. Name a variable with a signed-in person's token as app_token_env"
            " for this environment, and set it; app_auth says how it is sent."
        )
    page = look.settings.app_auth_page
    status, trouble = _get(look, page, token=os.environ[name])
    if status == 200:
        return []
    sent = f"{status} with the token of ${name}, sent as app_auth has it: {look.settings.app_auth}"
    return [{"key": page, "answer": trouble or sent}]


def _unless_ok(look: Look, page: str, signed_out: bool = False) -> Rows:
    status, trouble = _get(look, page)
    sent_to_sign_in = signed_out and status is not None and (300 <= status < 400 or status in {401, 403})
    if status == 200 or sent_to_sign_in:
        return []
    return [{"key": page, "answer": trouble or str(status)}]


def _base(look: Look) -> str:
    if look.settings.app_url is None:
        raise NotConfiguredError("No application is configured. Set app_url for this environment.")
    return look.settings.app_url


def _get(look: Look, page: str, token: str | None = None) -> tuple[int | None, str]:
    """Ask for a page; return its status, or what went wrong."""
    base = _base(look)
    import httpx  # slow to load, and wanted only where an application is configured

    cookie = look.settings.app_auth.partition("cookie:")[2]
    sent = {"Cookie": f"{cookie}={token}"} if cookie else {"Authorization": f"Bearer {token}"}
    headers = sent if token else {}
    try:
        with httpx.Client(base_url=base, timeout=TIMEOUT) as client:
            return client.get(page, headers=headers).status_code, ""
    except httpx.TimeoutException:
        return None, f"no answer within {TIMEOUT:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return None, f"no answer: {type(error).__name__}"
