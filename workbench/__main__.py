"""``python -m workbench``: the same as the command ``workbench``."""

import os
import sys

if __name__ == "__main__":
    # A file here that is named like a module is searched last; pathlib may be one.
    sys.path.sort(key=os.getcwd().__eq__)  # noqa: PTH109
    from workbench.cli.main import main

    main()
