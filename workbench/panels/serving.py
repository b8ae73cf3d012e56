"""The panels as a page without code: Voila, on a page that loads nothing from the network.

The page cannot send code to the kernel behind it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import nbformat
from traitlets.config import Config
from voila.app import Voila
from voila.voila_identity_provider import VoilaIdentityProvider

_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # widgets bring their script as text
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'none'",
    )
)
_PONG = 30_000  # milliseconds in which a browser has to answer a ping
_IDLE = 3_600  # seconds after which a kernel without a browser ends


class Page(Voila):
    """Voila with one notebook, and nothing else."""

    listening: Callable[[str], None]
    """Called with the address, including the token, once the page can be opened."""

    def launch_browser(self) -> None:
        """Report the address: the port is not known earlier."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        self.listening(f"http://{host}:{self.port}/?{urlencode({'token': self.token})}")


class Served(NamedTuple):
    """The first of `workbench.panels.PAGES`, and whether personal data may be shown."""

    name: str
    unmask: bool = False


def serve_page(served: Served, *, host: str, port: int, token: str, listening: Callable[[str], None]) -> None:
    """Serve the panels until interrupted, for the environment named by the environment variables.

    Parameters
    ----------
    served : Served
        What is on the page.
    host, port : str, int
        Where to listen; if the port is in use, another is chosen.
    token : str
        The token that a browser has to send.
    listening : callable
        Called with the address once the page can be opened.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-page-") as folder:
        notebook = Path(folder) / f"{served.name}.ipynb"
        nbformat.write(page_of(served), notebook)
        page = Page.instance(config=_config(), ip=host, port=port, token=token)
        page.listening = listening
        page.initialize([str(notebook)])
        page.start()


def _config() -> Config:
    config = Config()
    config.Voila.config_file_paths = []  # no configuration file can loosen these settings
    config.Voila.identity_provider_class = VoilaIdentityProvider
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    config.Voila.tornado_settings = {"headers": headers, "ws_ping_timeout": _PONG}
    config.Voila.log_level = logging.ERROR
    config.VoilaConfiguration.template = "workbench"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.file_allowlist = []  # Voila serves files without asking for a token
    config.VoilaConfiguration.show_tracebacks = False
    config.VoilaConfiguration.strip_sources = True
    # A page prepared in advance would show the database as it was then.
    config.VoilaConfiguration.preheat_kernel = False
    config.VoilaExecutor.cell_error_instruction = "See the terminal in which the page was started."
    config.KernelManager.transport_encryption = "auto"  # other users of the machine can reach local ports
    config.MappingKernelManager.cull_idle_timeout = _IDLE
    config.MappingKernelManager.cull_connected = False
    return config


def page_of(served: Served) -> Any:
    """Return the notebook behind the page, which opens the workbench and shows the panels."""
    # Two cells, so that the page can show progress.
    sources = (
        "from workbench.panels.panel import Pages, opened",
        f"opened(Pages, {served.name!r}, unmask={served.unmask})",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata.update(
        title="Murmurant workbench",
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
        language_info={"name": "python"},
    )
    return notebook
