"""The panels as a page, for who should not see code: Voila, on a page that asks nothing of the network.

The kernel behind the page does what the panel asks of it; the page can send it no code of its own.
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
_PONG = 30_000  # milliseconds in which a browser answers that it is still there
_FORGOTTEN = 3_600  # seconds after which a kernel ends whose browser went without a word


class Page(Voila):
    """Voila with one notebook, and nothing else to be had from it."""

    listening: Callable[[str], None]
    """Told the address, the token in it, once it can be opened."""

    def launch_browser(self) -> None:
        """Say where the page is: nobody can be told before the port is known."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        self.listening(f"http://{host}:{self.port}/?{urlencode({'token': self.token})}")


class Served(NamedTuple):
    """With which of `workbench.panels.PAGES` it begins, and whether personal data may be seen on it."""

    name: str
    unmask: bool = False


def serve_page(served: Served, *, host: str, port: int, token: str, listening: Callable[[str], None]) -> None:
    """Serve the panels until interrupted; the environment is the one that the variables name.

    Parameters
    ----------
    served : Served
        What is on the page.
    host, port : str, int
        Where to listen; where somebody else does, another port is taken.
    token : str
        What a browser has to show.
    listening : callable
        Told the address once it can be opened.
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
    config.Voila.config_file_paths = []  # nothing that lies in a folder loosens what follows
    config.Voila.identity_provider_class = VoilaIdentityProvider
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    config.Voila.tornado_settings = {"headers": headers, "ws_ping_timeout": _PONG}
    config.Voila.log_level = logging.ERROR
    config.VoilaConfiguration.template = "workbench"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.file_allowlist = []  # files are handed out without asking for a token
    config.VoilaConfiguration.show_tracebacks = False
    config.VoilaConfiguration.strip_sources = True
    # A page made before anybody asked for it would show the database as it was then.
    config.VoilaConfiguration.preheat_kernel = False
    config.VoilaExecutor.cell_error_instruction = "What went wrong is told where the page was started."
    config.KernelManager.transport_encryption = "auto"  # other users of the machine can reach local ports
    config.MappingKernelManager.cull_idle_timeout = _FORGOTTEN
    config.MappingKernelManager.cull_connected = False
    return config


def page_of(served: Served) -> Any:
    """Return the notebook that is the page: it opens the workbench, and shows the panels."""
    # Two cells, so that the page can say how far it is.
    sources = (
        "from workbench.panels.pages import Pages\nfrom workbench.panels.panel import opened",
        f"opened(Pages, {served.name!r}, unmask={served.unmask})",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata.update(
        title="Murmurant workbench",
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
        language_info={"name": "python"},
    )
    return notebook
