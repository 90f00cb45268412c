"""The built site in a real browser: `make browser`. Screenshots go to `build/screenshots`."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading

import pytest

from support import TESTS

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="needs the packages chromium and chromium-driver"
    ),
]
ROOT = TESTS.parent
PAGES = [
    "",
    "methods/",
    "methods/aft/",
    "methods/metricopt/",
    "tfzoo/aft/",
    "guides/own-data/",
    "where/",
    "api/aft/",
    "CHANGELOG/",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the freshly built site, on a server in this process."""
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    subprocess.run(words, cwd=ROOT, check=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver


def shown(driver, width, address, name):
    """Opens a page at a given width and saves a screenshot of its beginning."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(address)
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    driver.save_screenshot(str(folder / f"{name or 'index'}-{width}.png"))


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_read(page, width, site, driver):
    shown(driver, width, site + page, page.strip("/").replace("/", "-"))
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    wide = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, window = driver.execute_script(wide)
    assert content <= window == width
    asked = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    assert [name for name in driver.execute_script(asked) if not name.startswith(site)] == []


def test_search_finds_a_layer(site, driver):
    shown(driver, 1280, f"{site}?q=AFTLocal", "search")
    driver.implicitly_wait(20)
    link = ".md-search-result__link[href*='/api/aft/'][href$='#tfzoo.aft.AFTLocal']"
    assert "AFTLocal" in driver.find_element("css selector", link).get_attribute("textContent")
    driver.save_screenshot(str(ROOT / "build" / "screenshots" / "search-1280.png"))
