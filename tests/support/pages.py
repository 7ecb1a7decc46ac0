"""What a page tells its scripts."""

import json
import re
from typing import Any


def data_of(text: str) -> dict[str, Any]:
    """What a page's scripts are told."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told
