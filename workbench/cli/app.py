"""Every command of ``workbench``, registered by the modules that have them, in the order of the help."""

from workbench.cli import looking as looking
from workbench.cli import planning as planning
from workbench.cli import restoring as restoring

from workbench.cli import preparing as preparing  # isort: skip
from workbench.cli import notebooks as notebooks  # isort: skip
from workbench.cli.command import app as app
from workbench.cli.command import program as program
