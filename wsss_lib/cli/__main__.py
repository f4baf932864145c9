"""``python -m wsss_lib.cli`` is ``wsss``, for launchers that start a module."""

import sys

from wsss_lib.cli import main

sys.exit(main())
