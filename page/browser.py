"""Drives the parameter page in Chromium: browser.py PAGE TOOL PICTURES. Called by page/test."""

import hashlib
import hmac
import http.server
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PAGE, TOOL, PICTURES = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], pathlib.Path(sys.argv[3])
ADDRESS = PAGE.as_uri()


def check(holds, what):
    if not holds:
        sys.exit(f"page: FAILED: {what}")


def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    # Root has no sandbox of its own; the page is ours.
    for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en", "--window-size=800,1500"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


def opened(driver):
    driver.get(ADDRESS)
    ready = lambda driver: driver.execute_script("return document.body.dataset.ready")
    WebDriverWait(driver, 10).until(ready)


def speak(driver, language):
    driver.find_element(By.CSS_SELECTOR, f'[data-language="{language}"]').click()


def fill(driver, form, **fields):
    """Sets the fields of a form as if they had been typed."""
    driver.execute_script(
        """
        const form = document.getElementById(arguments[0]);
        for (const [name, value] of Object.entries(arguments[1])) {
            form.elements[name].value = value;
        }
        form.dispatchEvent(new Event("input", {bubbles: true}));
        """,
        form,
        fields,
    )


def made(driver):
    names = driver.find_elements(By.CSS_SELECTOR, "#made dt")
    values = driver.find_elements(By.CSS_SELECTOR, "#made dd code")
    return {name.text: value.text for name, value in zip(names, values)}


def explained(driver):
    """What the page shows, as the tool writes it."""
    lines = []
    rows = driver.execute_script(
        """
        return [...document.getElementById("explained").children].map((child) => child.matches("ol")
            ? [...child.children].map((row) => [...row.children].map((cell) => cell.textContent))
            : child.matches("button") ? null : child.textContent)
        """
    )
    for row in rows:
        if isinstance(row, list):
            lines += [f"{number:>2}  {title:<52}{outcome}" for number, title, outcome in row]
        elif row is not None:
            lines.append(row)
    return "\n".join(lines) + "\n"


def vectors(driver):
    count = 0
    for line in pathlib.Path("tests/data/vectors.txt").read_text().splitlines():
        fields = line.split()
        if not fields or fields[0] != "good" or not 8 <= len(fields[3]) <= 32 or len(fields[2]) != 10:
            continue
        _, kind, stamp, secret, password = fields
        for sign_type in {"sha256": "01", "sm3": "2"}[kind]:
            fill(driver, "make", device_id="lamp-01", secret=secret, sign_type=sign_type, stamp=stamp)
            expected = {"ClientId": f"lamp-01_0_{sign_type}_{stamp}", "Username": "lamp-01", "Password": password}
            check(made(driver) == expected, f"{line}: {made(driver)}")
            count += 1
    check(count >= 8, f"only {count} vectors")
    print(f"{count} logins of vectors are made")


def password(secret, stamp):
    return hmac.new(stamp.encode(), secret.encode(), hashlib.sha256).hexdigest()


def random_login(rng):
    """A login that is right, or nearly."""
    device, secret = rng.choice(["lamp", "lamp-01", "a_0_1_2026112209", "x" * 128]), rng.choice(["12345678", "s3cr3t-1_x"])
    stamp, sign = rng.choice(["2026112209", "2026112224", "2026112208", "2999010100", "2026023103"]), rng.choice("0112")
    client_id = f"{device}_0_{sign}_{stamp}"
    right = password(secret, stamp)
    spoil_id = rng.choice([None] * 6 + [f"{client_id}_1720423123000", f" {client_id}", f'"{client_id}"', device, "", client_id[:-1], client_id.replace("_0_", "_2_", 1)])
    sent = rng.choice(
        [right] * 4
        + [right.upper(), f'"{right}"', right[:40], right + "0", secret, "", "f" * 64, password(secret, "2026112208"), password(stamp, secret), "\u00e9"]
    )
    return {
        "client_id": client_id if spoil_id is None else spoil_id,
        "username": rng.choice([device] * 6 + ["", "other"]),
        "password": sent,
        "secret": secret,
        "keep_alive": rng.choice(["120"] * 5 + ["0", "29", "65535"]),
        "at": rng.choice(["2026-11-22T09:30:00Z", "2026-11-22T12:00:00Z", "2026-11-20T00:00:00Z"]),
        "options": rng.choice([""] * 4 + ["timestamp_max_age=25h", "other_clients=defer", "keepalive=any sign_types=0,1", "plugin_opt_timestamp_max_ahead unlimited"]),
        "device": device,
    }


def by_the_tool(login, folder):
    secrets = folder / "iotda.secrets"
    secrets.write_text(f"{login['device']}:{login['secret']}\n")
    secrets.chmod(0o600)
    command = [TOOL, "explain", "--secrets-file", str(secrets), "--keepalive", login["keep_alive"], "--at", login["at"]]
    if login["client_id"]:
        command += ["--client-id", login["client_id"]]
    if login["username"]:
        command += ["--username", login["username"]]
    if login["password"]:
        command.append("--password-stdin")
    said = subprocess.run(command + login["options"].split(), input=login["password"], capture_output=True, encoding="utf-8")
    check(said.returncode in (0, 1), said)
    return said.stdout


def agreement(driver):
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    verdicts = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(200):
            login = random_login(rng)
            fill(driver, "explain", log_line="", **{name: value for name, value in login.items() if name != "device"})
            driver.execute_script('document.querySelector("#explain button[type=submit]").click()')
            page, tool = explained(driver), by_the_tool(login, pathlib.Path(folder))
            check(page == tool, f"seed {seed}: {login}\n--- the page\n{page}--- the tool\n{tool}")
            verdict = next(line for line in tool.splitlines() if line.startswith(("accepted", "refused", "deferred")))
            verdicts[verdict.split(" (")[0]] = verdicts.get(verdict.split(" (")[0], 0) + 1
    check(len(verdicts) >= 5, verdicts)
    print(f"200 random logins: page and tool agree word for word: {verdicts}")


def log_lines(driver):
    line = 'iotda-auth: refused client="dev_0_1_2026112209_17" user="dev" address=203.0.113.7 reason=bad_client_id shape=tail'
    fill(driver, "explain", log_line=line)
    driver.execute_script('document.querySelector("#explain button[type=submit]").click()')
    said = subprocess.run([TOOL, "explain", "--log-line", line], capture_output=True, encoding="utf-8")
    check(explained(driver) == said.stdout, f"{explained(driver)}\n{said.stdout}")
    print("a line of the log is explained as by the tool")


def copying(driver):
    fill(driver, "make", device_id="lamp-01", secret="12345678", sign_type="0", stamp="2025041401")
    driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    driver.find_element(By.CSS_SELECTOR, "#commands summary").click()
    buttons = driver.find_elements(By.CSS_SELECTOR, "#made button, #lines button")
    texts = driver.find_elements(By.CSS_SELECTOR, "#made dd code, #lines pre")
    check(len(buttons) == len(texts) == 8, f"{len(buttons)} buttons, {len(texts)} texts")
    field = driver.find_element(By.NAME, "log_line")
    for button, text in zip(buttons, texts):
        button.click()
        WebDriverWait(driver, 5).until(lambda _: button.text == "Copied")
        field.clear()
        field.send_keys(Keys.CONTROL, "v")
        check(field.get_property("value") == text.get_property("textContent"), f"copied {field.get_property('value')!r}")
    field.clear()
    print(f"{len(buttons)} copy buttons")


def keyboard(driver):
    """Only keys: from the top of the page to a login of sign type 1, and to an explanation."""
    opened(driver)
    active = lambda: driver.switch_to.active_element
    press = lambda *keys: webdriver.ActionChains(driver).send_keys(*keys).perform()

    def tab_to(name, most=40):
        for _ in range(most):
            press(Keys.TAB)
            if name in (active().get_attribute("name"), active().get_attribute("id"), active().get_attribute("type")):
                return
        check(False, f"no way to {name} by keys")

    tab_to("device_id")
    press("lamp-01")
    tab_to("secret")
    press("12345678")
    tab_to("sign_type")
    press(Keys.ARROW_DOWN)
    check(made(driver)["ClientId"].startswith("lamp-01_0_1_20"), made(driver))
    tab_to("client_id")
    press("lamp-01", Keys.ENTER)
    check("shape=" in explained(driver), explained(driver))
    print("all of it by keyboard")


def names(driver):
    for field in driver.find_elements(By.CSS_SELECTOR, "input, textarea, button, summary"):
        if field.is_displayed():
            check(field.accessible_name.strip(), f"no name for screen readers: {field.get_attribute('outerHTML')}")


def languages(driver):
    for language, code in [("en", "en"), ("zh", "zh-CN")]:
        opened(driver)
        speak(driver, language)
        check(driver.execute_script("return document.documentElement.lang") == code, language)
        empty = driver.execute_script("return [...document.querySelectorAll('[data-text]')].filter((e) => !e.textContent.trim()).length")
        check(empty == 0, f"{language}: {empty} empty texts")
        fill(driver, "make", device_id="lamp-01", secret="12345678", sign_type="1", stamp="2026112209")
        login = {"client_id": "lamp-01_0_1_2026112209", "username": "lamp-01", "at": "2026-11-22T09:30:00Z", "secret": "12345678"}
        fill(driver, "explain", password=password("12345678", "2026112208"), **login)
        driver.execute_script('document.querySelector("#explain button[type=submit]").click()')
        check("password=hour" in explained(driver), explained(driver))
        driver.execute_script("document.getElementById('commands').open = true")
        names(driver)
        driver.execute_script("document.getElementById('commands').open = false")
        for scheme in ["light", "dark"]:
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
            for width in [800, 360]:
                driver.execute_cdp_cmd(
                    "Emulation.setDeviceMetricsOverride", {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width == 360}
                )
                needed = driver.execute_script("return document.documentElement.scrollWidth")
                check(needed <= width, f"{language}: {needed} px of {width}")
                height = driver.execute_script("return document.documentElement.scrollHeight")
                driver.execute_cdp_cmd(
                    "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width == 360}
                )
                driver.save_screenshot(str(PICTURES / f"page-{language}-{scheme}-{width}.png"))
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    english, chinese = driver.execute_script("return [Object.keys(TEXTS.en), Object.keys(TEXTS.zh)]")
    check(english == chinese, "a text is missing in one language")
    print("English and Chinese, light and dark, 800 and 360 px wide")


class Recorder(http.server.BaseHTTPRequestHandler):
    seen = []

    def do_GET(self):
        Recorder.seen.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def nothing_leaves(driver):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    there = f"http://127.0.0.1:{server.server_port}/"
    said = driver.execute_async_script(
        """
        const [there, done] = arguments;
        fetch(there, {mode: "no-cors"}).then(() => done("sent"), () => done("refused"));
        """,
        there,
    )
    driver.execute_script("new Image().src = arguments[0] + 'image'; navigator.sendBeacon(arguments[0] + 'beacon', 'x');", there)
    check(said == "refused", "fetch is not refused")
    stored = driver.execute_async_script(
        """
        const done = arguments[0];
        const sizes = [localStorage.length, sessionStorage.length, document.cookie.length];
        indexedDB.databases().then((list) => done([...sizes, list.length]), () => done([...sizes, 0]));
        """
    )
    check(stored == [0, 0, 0, 0], f"something is stored: {stored}")
    requests = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in requests if m["method"] == "Network.requestWillBeSent"]
    left = {url for url in sent if not url.startswith(("file:", "data:")) and not url.startswith(there)}
    check(not left and not Recorder.seen, f"requests: {left} {Recorder.seen}")
    print(f"nothing is sent (of {len(sent)} loads all are files) and nothing is stored")


def leaving(driver):
    opened(driver)
    fill(driver, "make", device_id="lamp-01", secret="12345678", sign_type="0")
    fill(driver, "explain", secret="12345678", password="x")
    driver.get("about:blank")
    driver.back()
    WebDriverWait(driver, 10).until(lambda d: d.execute_script("return document.body.dataset.ready"))
    kept = driver.execute_script("return [...document.querySelectorAll('[name=secret], [name=password], [name=device_id]')].map((e) => e.value).join('')")
    check(kept == "" and not made(driver), f"kept: {kept}")
    print("the fields are empty after leaving")


def main():
    size = PAGE.stat().st_size
    check(size < 150_000, f"{size} bytes")
    driver = browser()
    try:
        opened(driver)
        ready = driver.execute_script("return Math.round(Number(document.body.dataset.milliseconds))")
        print(f"{size} bytes, ready {ready} ms after the page's start")
        speak(driver, "en")
        vectors(driver)
        agreement(driver)
        log_lines(driver)
        copying(driver)
        keyboard(driver)
        nothing_leaves(driver)
        languages(driver)
        leaving(driver)
        errors = [entry for entry in driver.get_log("browser") if "127.0.0.1" not in entry["message"]]
        check(not errors, errors)
    finally:
        driver.quit()


main()
