"""
Tests without sockets, files of the node or waiting.

Generated input is the same in every run, so that a failure can be seen again and CI does not fail by chance. To look further:
C{HYPOTHESIS_PROFILE=explore script/test unit}.
"""

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=20)
settings.register_profile("explore", derandomize=False, deadline=None, max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
