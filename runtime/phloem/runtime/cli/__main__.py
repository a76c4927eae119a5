"""`python -m phloem.runtime.cli`: the same as `phloem`."""

import sys

from phloem.runtime.cli import main

sys.exit(main())
