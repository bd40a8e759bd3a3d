"""C{python -m voipcluster.voipctl}."""

import sys

from voipcluster.voipctl.main import main

sys.exit(main())
