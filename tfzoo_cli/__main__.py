"""`python -m tfzoo_cli`."""

import sys

from tfzoo_cli.main import main

sys.exit(main())
