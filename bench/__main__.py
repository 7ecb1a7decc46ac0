"""python -m bench."""

from .cli.main import main

raise SystemExit(main())
