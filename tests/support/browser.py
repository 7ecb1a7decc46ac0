"""A headless Chromium that opens pages from files: its console, its requests, keys, and the pixels of a canvas."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium and chromedriver here: apt-get install chromium chromium-driver"
)


class Browser:
    """A page in a window."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.errors: list[str] = []
        self.requests: list[str] = []

    def open(self, path: Path, place: str = "", width: int = 1280, height: int = 900) -> None:
        """Opens a file in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        self.driver.get(path.as_uri() + place)
        self.settle()

    def js(self, code: str) -> Any:
        """What a script returns."""
        return self.driver.execute_script(code)

    def settle(self) -> None:
        """Waits until the images that are shown are decoded and drawn, and the address is written."""
        self.driver.set_script_timeout(30)
        self.driver.execute_async_script(
            "const done = arguments[0]; const images = [...document.images].slice(0, 40);"
            "Promise.all(images.map((one) => one.decode().catch(() => 0))).then(() => setTimeout(done, 400));"
        )

    def press(self, *keys: str) -> None:
        """Presses keys where the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()
        self.settle()

    def pixel(self, x: float = 0.5, y: float = 0.5, canvas: int = 0) -> list[int]:
        """The colour of the viewer's canvas at a place in 0..1."""
        found: list[int] = self.js(
            f"const c = document.querySelectorAll('.stage canvas')[{canvas}];"
            f"return [...c.getContext('2d').getImageData(c.width * {x}, c.height * {y}, 1, 1).data.slice(0, 3)]"
        )
        return found

    def address(self) -> dict[str, str]:
        """What stands after the # of the address."""
        found: dict[str, str] = self.js("return Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
        return found

    def logs(self) -> tuple[list[str], list[str]]:
        """All console errors and all requests so far, the page itself and what stands in it left out."""
        self.errors += [one["message"] for one in self.driver.get_log("browser") if one["level"] == "SEVERE"]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith(("data:", "file:", "about:")) or url.endswith(".ico"):
                    self.requests.append(url)
        return self.errors, self.requests


@contextmanager
def browser(dark: bool = False) -> Iterator[Browser]:
    """A fresh Chromium with a profile of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        if dark:
            features = [{"name": "prefers-color-scheme", "value": "dark"}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        yield Browser(driver)
    finally:
        driver.quit()
