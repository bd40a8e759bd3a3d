"""C{python -m voipcluster.voipctl}."""

import sys

from voipcluster.voipctl.cli import main

sys.exit(main())
