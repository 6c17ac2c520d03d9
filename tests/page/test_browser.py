"""The classroom page in a real browser: what people see of a training, of a Pi that dies, and of a lost connection.

Leaves pictures in artifacts/page/, and in its summary.json how long the page took to show that a worker was killed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pisyft import events
from pisyft.lab import Lab
from pisyft.page.app import Door
from pisyft.page.story import Story
from pisyft.page.watch import NOTICED_AFTER_SECONDS
from tests.cli.test_cli import run_environment
from tests.conftest import LANGUAGES, REPOSITORY
from tests.helpers import PATIENCE_SECONDS, wait_until
from tests.page.serving import Server

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install 'pisyft[dev]'")
from selenium.common.exceptions import WebDriverException  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
)

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
).split()
PICTURES = REPOSITORY / "artifacts" / "page"
TOKEN = "open sesame, twice"
# So many that the training is under way when a worker is killed, also on a slow machine.
ROUNDS = 60


class Page:
    """What somebody sees who looks at the page."""

    def __init__(self, driver) -> None:
        self._driver = driver

    def open(self, url: str) -> None:
        # Another page first: an address that differs in its fragment only does not load again.
        self._driver.get("about:blank")
        self._driver.get(url)

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def ask(self, script: str, *arguments: object):
        return self._driver.execute_script(f"return {script}", *arguments)

    def text(self, selector: str) -> str:
        """What can be read there; nothing, where there is nothing."""
        return self.ask("document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def attribute(self, selector: str, name: str) -> str | None:
        return self.ask("document.querySelector(arguments[0])?.getAttribute(arguments[1]) ?? null", selector, name)

    def count(self, selector: str) -> int:
        return self.ask("document.querySelectorAll(arguments[0]).length", selector)

    def shows(self, selector: str) -> bool:
        return self.ask("document.querySelector(arguments[0])?.checkVisibility() ?? false", selector)

    def prefer(self, theme: str) -> None:
        """Light or dark, as a browser's user may."""
        preference = {"name": "prefers-color-scheme", "value": theme}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preference]})

    def click(self, selector: str) -> None:
        self._driver.find_element("css selector", selector).click()

    def type(self, selector: str, text: str) -> None:
        field = self._driver.find_element("css selector", selector)
        field.clear()
        field.send_keys(text)
        field.submit()

    def round(self) -> int:
        """The number of the round that is shown."""
        return int(self.text("#figure-round").split()[0].replace("–", "0"))

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self._driver.save_screenshot(str(PICTURES / f"{name}.png"))

    def complaints(self) -> list[str]:
        """What the browser has refused or failed to do since it was asked last."""
        logged = self._driver.get_log("browser")
        return [each["message"] for each in logged if each["level"] in ("WARNING", "SEVERE")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Iterator:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options, Service(DRIVER))
    try:
        yield made
    finally:
        made.quit()


@pytest.fixture
def page(driver) -> Iterator[Page]:
    driver.delete_all_cookies()
    driver.get_log("browser")
    made = Page(driver)
    made.size(1920, 1080)
    yield made
    driver.get("about:blank")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(Door())
    yield made
    made.stop()


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`pisyft` with these arguments. Ctrl-C ends it, if it has not ended by then."""
    command = [sys.executable, "-m", "pisyft", *map(str, arguments)]
    with subprocess.Popen(command, env=run_environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()


def pi(name: str, **facts: object) -> dict:
    told = {"id": name, "address": "192.168.1.21:8777", "online": True, "since": time.time(), "problem": None}
    told["paused"] = False
    told |= {"languages": list(LANGUAGES), "by_language": [40, 60, 80, 20], "released": 0, "doing": "idle"}
    return {**told, "board": {"model": "Raspberry Pi 4 Model B Rev 1.5", "temperature_celsius": 51.2}, **facts}


def show(server: Server, *happened: events.Event, pis: tuple[dict, ...] = ()) -> None:
    """Have the page show Pis, and a run of which these events are known."""
    story = Story()
    for event in happened:
        story.take(time.time(), event)
    server.sections.put(
        {
            "classroom": {"name": "room 2", "pis": [each["id"] for each in pis], "hint": "pisyft train"},
            **{f"pi:{each['id']}": each for each in pis},
            **story.sections,
        }
    )


def test_a_class_watches_a_training_in_which_a_worker_dies(names_folder, tmp_path, page):
    """Three workers; one is killed in the middle, its card changes, and the rounds go on without it."""
    with Lab(names_folder, ["alice", "bob", "carol"], policy="strict", certificates=True) as lab:
        coordinator, run = lab.folder / "classroom" / "coordinator", tmp_path / "run"
        watch = ("classroom", "watch", "--classroom", coordinator, "--run", run, "--port", 0)
        train = ("train", "--classroom", coordinator, "--out", run, "--aggregation", "masks", "--good-enough", 0)
        with running(*watch) as watching:
            page.open(watching.stdout.readline().split()[0])
            wait_until(lambda: page.count('[data-online="true"]') == 3, "all three are online")
            assert "Waiting for the first round" in page.text("#round-picture")
            page.picture("waiting")

            with running(*train, "--rounds", ROUNDS) as training:
                wait_until(lambda: page.round() >= 2, "the second round has begun")
                page.picture("training")
                killed = time.time()
                lab.kill("carol")
                wait_until(lambda: page.attribute('[data-pi="carol"]', "data-online") == "false", "carol is offline")
                noticed = float(page.attribute('[data-pi="carol"]', "data-since"))
                shown = time.time()
                page.picture("a-pi-is-lost")
                wait_until(lambda: page.text("#status").startswith("Finished"), "the run has finished")
                training.wait(PATIENCE_SECONDS)

            assert training.returncode == 0
            assert page.text("#figure-round") == f"{ROUNDS} of {ROUNDS}"
            assert page.text("#figure-online") == "2 of 3"
            assert "Cannot be reached" in page.text('[data-pi="carol"]')
            wait_until(lambda: "model v1" in page.text('[data-pi="alice"]'), "alice has the release")
            assert page.text("#figure-released") == "v1"
            assert page.count("#curves .together") == 3
            # Each worker has fewer than ten held-out names of every language.
            assert "No worker has enough of these names of any one language" in page.text("#confusion")
            assert page.complaints() == []
            page.picture("finished")
            page.size(390, 844)
            page.picture("phone")
        assert watching.returncode == 0

    sums = [events.from_line(line)[1] for line in (run / events.FILE).read_bytes().splitlines()]
    contributors = [each.contributors for each in sums if isinstance(each, events.Summed)]
    assert len(contributors) == ROUNDS
    assert (contributors[0], contributors[-1]) == (["alice", "bob", "carol"], ["alice", "bob"])
    measured = {
        "seconds_until_a_killed_worker_is_noticed": round(noticed - killed, 3),
        "seconds_until_its_card_has_changed": round(shown - killed, 3),
        "seconds_promised": NOTICED_AFTER_SECONDS,
    }
    (PICTURES / "summary.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


STARTED = events.RunStarted(["alice", "bob"], list(LANGUAGES), 5, "additive", "tutorial", "fedavg")
BOTH = ["alice", "bob"]
SUM = events.SumStarted("ab12", "additive", BOTH, ["join", "share", "upload"])


def test_the_picture_shows_who_has_trained_whose_shares_have_arrived_and_the_sum(server, page):
    began = [STARTED, events.RoundStarted(1), SUM]
    shared = [*began, *(events.Answered(each, "join") for each in BOTH), events.Answered("alice", "share")]
    page.open(f"http://localhost:{server.port}/")

    show(server, *shared, pis=(pi("alice"), pi("bob")))
    wait_until(lambda: page.count(".share.there") == 1, "alice's share has gone to bob")
    assert page.attribute(".share.there", "data-from") == "alice"
    assert page.text(".steps .now") == "Share\n1 of 2"

    trained = [*shared, events.Answered("bob", "share"), events.Training("alice", 140, 140, 1.5, True)]
    show(server, *trained, events.Training("bob", 70, 140, 2.0), pis=(pi("alice"), pi("bob", doing="training")))
    wait_until(lambda: page.count(".node.trained") == 1, "alice has trained")
    assert "Training: 70 of 140 names" in page.text('[data-pi="bob"]')
    assert page.text(".steps .now") == "Train\n1 of 2"

    uploaded = [*trained, events.Training("bob", 140, 140, 2.0, True), events.Answered("alice", "upload")]
    show(server, *uploaded, pis=(pi("alice"), pi("bob")))
    wait_until(lambda: page.count(".part.there") == 1, "alice's partial sum is there")
    assert page.count(".sum.done") == 0

    show(server, *uploaded, events.Answered("bob", "upload"), events.Summed(BOTH, 280), pis=(pi("alice"), pi("bob")))
    wait_until(lambda: page.count(".sum.done") == 1, "there is a sum")
    assert "Nobody has seen what a single one did" in page.text("#sentence")
    assert page.text(".steps li:last-child") == "Sum\n2 of 2"


def test_with_masks_the_picture_has_masks_and_the_sum_is_there_when_they_are_off(server, page):
    steps = ["join", "share", "upload", "confirm", "unmask"]
    three = (pi("alice"), pi("bob"), pi("carol", online=False, problem="worker carol: nothing listens there."))
    ids = [each["id"] for each in three]
    started = events.RunStarted(ids, list(LANGUAGES), 5, "masks", "tutorial", "fedavg")
    begun = [started, events.RoundStarted(1), events.SumStarted("ab12", "masks", ids, steps)]
    masked = [*begun, *(events.Answered(each, step) for step in ("join", "share") for each in ids)]
    lost = [*masked, events.Lost("carol", "upload", "the connection broke")]
    open_masks = [*lost, *(events.Answered(each, step) for step in steps[2:] for each in BOTH)]
    page.open(f"http://localhost:{server.port}/")

    show(server, *masked, pis=three)
    wait_until(lambda: page.count(".mask.there") == 3, "every two have a mask")
    assert page.count(".share") == 0

    show(server, *open_masks, events.Summed(BOTH, 280), pis=three)
    wait_until(lambda: page.count(".sum.done") == 1, "there is a sum")
    assert (page.count(".mask.there"), page.count(".part.there")) == (0, 2)
    assert page.attribute(".node.lost", "data-node") == "carol"
    assert "It is without carol" in page.text("#sentence")
    assert "nothing listens there" in page.text('[data-pi="carol"]')


def test_the_confusion_matrix_tells_what_names_were_taken_for(server, page):
    rows = [[9, 3, 0, 0], [0, 12, 0, 0], [0, 0, 6, 6], [0, 0, 0, 0]]
    page.open(f"http://localhost:{server.port}/")

    show(server, STARTED, events.Evaluated(1, "validation", 36, 0.75, 1.0, rows, {"alice": (0.75, 1.0)}))

    wait_until(lambda: page.count("#confusion .on") == 3, "there are three rows with names")
    titles = page.ask("[...document.querySelectorAll('#confusion [title]')].map((each) => each.title)")
    assert "Czech taken for Italian: 3 of 12 names" in titles
    assert page.ask("[...document.querySelectorAll('#confusion .on')].map((each) => each.textContent)") == [
        *("75", "100", "50")
    ]
    assert page.count("#confusion .few") == 4  # of Polish, too few names to tell


def test_a_round_that_is_given_up_says_because_of_whom(server, page):
    page.open(f"http://localhost:{server.port}/")

    reason = "round ab12 was given up because of bob"
    show(server, STARTED, events.RoundStarted(1), SUM, events.RoundGivenUp(reason, 30), pis=(pi("alice"), pi("bob")))

    wait_until(lambda: page.count(".sum.failed") == 1, "the sum has failed")
    assert page.text("#sentence") == "Round ab12 was given up because of bob"
    assert "tried again in" in page.text("#status")


def test_names_of_languages_and_workers_are_text_and_never_markup(server, page):
    evil = "<img src=x onerror=document.title='owned'>"
    page.open(f"http://localhost:{server.port}/")

    show(server, pis=(pi(evil, languages=[evil], by_language=[10], doing=evil, problem=evil, board={"model": evil}),))

    wait_until(lambda: evil in page.text(".card h3"), "the card is there")
    assert page.count("img") == 0
    assert page.ask("document.title") == "room 2 · PiSyft"
    assert page.complaints() == []


def test_markup_is_refused_by_the_browser_itself(server, page):
    page.open(f"http://localhost:{server.port}/")

    with pytest.raises(WebDriverException, match="TrustedHTML"):
        page.ask("(document.body.innerHTML = '<b>x</b>')")


def test_a_lost_connection_is_told_and_mended(page):
    server = Server(Door())
    port = server.port
    page.open(f"http://localhost:{port}/")
    wait_until(lambda: page.text("#classroom") == "room 2", "the page is there")
    assert not page.shows("#lost")

    server.stop()
    wait_until(lambda: page.shows("#lost"), "the loss is told")
    assert "connection to the instructor's machine is lost" in page.text("#lost")
    page.picture("connection-lost")
    again = Server(Door(), port)
    try:
        wait_until(lambda: not page.shows("#lost"), "it is mended")
    finally:
        again.stop()


def test_with_the_token_in_its_address_the_page_opens_and_the_address_forgets_it(page):
    server = Server(Door(TOKEN))
    try:
        page.open(f"http://localhost:{server.port}/#{TOKEN.replace(' ', '%20')}")
        wait_until(lambda: page.text("#classroom") == "room 2", "the page is open")
        assert page.ask("location.href") == f"http://localhost:{server.port}/"
        assert TOKEN not in page.ask("document.documentElement.outerHTML + document.cookie")
        # The cookie stays.
        page.open(f"http://localhost:{server.port}/")
        wait_until(lambda: page.text("#classroom") == "room 2", "the page is open again")
    finally:
        server.stop()


def test_without_a_token_the_page_asks_for_it_until_it_is_right(page):
    server = Server(Door(TOKEN))
    try:
        page.open(f"http://localhost:{server.port}/")
        wait_until(lambda: page.shows("#door"), "the page asks")
        page.type("#token", "open nettle")
        wait_until(lambda: "not the token" in page.text("#door-problem"), "a wrong one is told")
        assert page.text("#classroom") == "Classroom"
        page.type("#token", TOKEN)
        wait_until(lambda: page.text("#classroom") == "room 2", "the page is open")
        assert not page.shows("#door")
    finally:
        server.stop()


@pytest.mark.parametrize("preferred", ["light", "dark"])
def test_the_page_is_light_or_dark_as_the_browser_is_or_as_was_chosen(server, page, preferred):
    other = {"light": "dark", "dark": "light"}[preferred]
    page.prefer(preferred)
    page.open(f"http://localhost:{server.port}/")
    wait_until(lambda: page.text("#classroom") == "room 2", "the page is there")
    background = page.ask("getComputedStyle(document.documentElement).backgroundColor")
    assert page.attribute("html", "data-theme") == preferred

    page.click("#theme")
    assert page.attribute("html", "data-theme") == other
    assert page.ask("getComputedStyle(document.documentElement).backgroundColor") != background
    page.open(f"http://localhost:{server.port}/")
    wait_until(lambda: page.text("#classroom") == "room 2", "the page is there again")
    assert page.attribute("html", "data-theme") == other


WINDOWS = [(1920, 1080), (1366, 768), (1280, 720), (1024, 768), (390, 844), (320, 568)]


@pytest.mark.parametrize(("width", "height"), WINDOWS)
@pytest.mark.parametrize("count", [3, 10])
def test_the_page_fits_into_every_window(server, page, width, height, count):
    page.size(width, height)
    ids = [f"pi-{number}" for number in range(count)]
    started = events.RunStarted(ids, list(LANGUAGES), 5, "additive", "tutorial", "fedavg")
    matrix = [[10, 0, 0, 0]] * 4
    told = events.Evaluated(1, "validation", 40, 0.25, 2.0, matrix, dict.fromkeys(ids, (0.25, 2.0)))
    summed = events.SumStarted("ab12", "additive", ids, ["join", "share", "upload"])
    page.open(f"http://localhost:{server.port}/")

    show(server, started, told, events.RoundStarted(2), summed, pis=tuple(map(pi, ids)))

    wait_until(lambda: page.count(".card") == count, "all cards are there")
    assert page.ask("document.documentElement.scrollWidth") <= width
    if width > 1200:  # a projector scrolls badly
        assert page.ask("document.documentElement.scrollHeight") <= height
        for part in (".round svg", ".sentence", ".plot + .plot svg", ".cells", ".card:last-child"):
            bottom = page.ask("document.querySelector(arguments[0]).getBoundingClientRect().bottom", part)
            assert bottom <= height, part
        assert page.ask("document.querySelector('.round svg').getBoundingClientRect().height") > height / 3


@pytest.mark.parametrize(("width", "height"), WINDOWS[:3])
def test_the_letters_of_the_matrix_are_as_high_as_those_beside_it_however_many_languages(server, page, width, height):
    page.size(width, height)
    many = [f"Language {letter}" for letter in "ABCDEFGHIJKLMNOPQR"]
    ids = [f"pi-{number}" for number in range(10)]
    started = events.RunStarted(ids, many, 5, "additive", "tutorial", "fedavg")
    told = events.Evaluated(1, "validation", 180, 0.1, 2.0, [[10] + [0] * 17] * 18, dict.fromkeys(ids, (0.1, 2.0)))
    page.open(f"http://localhost:{server.port}/")

    show(server, started, told, pis=tuple(map(pi, ids)))

    wait_until(lambda: page.count(".cells .row") == 18, "the matrix is there")
    size = "parseFloat(getComputedStyle(document.querySelector(arguments[0])).fontSize)"
    assert page.ask(size, ".cells .row") >= 0.9 * page.ask(size, "#confusion .note")
    assert page.ask("document.querySelector('.cells .row').scrollHeight") <= page.ask(
        "document.querySelector('.cells .cell').clientHeight + 3"
    )


def test_without_a_matrix_the_curves_have_its_place(server, page):
    ids = [f"pi-{number}" for number in range(10)]
    pis = tuple(map(pi, ids))
    started = events.RunStarted(ids, list(LANGUAGES), 5, "additive", "tutorial", "fedavg")
    wide = "document.querySelector('.plot').clientWidth"

    def evaluated(rows: list[list[int]]) -> events.Evaluated:
        return events.Evaluated(1, "validation", 40, 0.2, 2.0, rows, dict.fromkeys(ids, (0.25, 2.0)))

    page.open(f"http://localhost:{server.port}/")
    show(server, started, evaluated([[10, 0, 0, 0]] * 4), pis=pis)
    wait_until(lambda: page.count(".cells") == 1, "there is a matrix")
    beside = page.ask(wide)
    show(server, started, evaluated([[0] * 4] * 4), pis=pis)
    wait_until(lambda: "fewer tell nothing" in page.text("#confusion"), "there is none")

    assert page.ask(wide) > 1.4 * beside
    drawn = "document.querySelector('.plot svg').viewBox.baseVal.width"
    wait_until(lambda: abs(page.ask(drawn) - page.ask(wide)) < 2, "the curves are drawn as wide")


def test_two_pis_of_one_colour_differ_by_dashes(server, page):
    ids = [f"pi-{number}" for number in range(10)]
    started = events.RunStarted(ids, list(LANGUAGES), 5, "additive", "tutorial", "fedavg")
    told = events.Evaluated(1, "validation", 40, 0.25, 2.0, [[0] * 4] * 4, dict.fromkeys(ids, (0.25, 2.0)))
    summed = events.SumStarted("ab12", "additive", ids, ["join", "share", "upload"])
    page.open(f"http://localhost:{server.port}/")

    show(server, started, told, events.RoundStarted(2), summed, pis=tuple(map(pi, ids)))
    wait_until(lambda: page.count(".card") == 10 and page.count(".part") == 10, "all are there")

    looks = """[...document.querySelectorAll(arguments[0])].map((each) => {
        const style = getComputedStyle(each, arguments[1]);
        return [style[arguments[2]], style[arguments[3]]].join(" ");
    })"""
    for what in (
        (".card", None, "borderLeftColor", "borderLeftStyle"),
        (".key span:not(.together, .each)", "::before", "borderTopColor", "borderTopStyle"),
        (".plot:first-child .of-pi", None, "stroke", "strokeDasharray"),
        (".part line", None, "stroke", "strokeDasharray"),
    ):
        shown = page.ask(looks, *what)
        assert len(shown) == len(set(shown)) == 10, shown


def test_a_pi_that_its_owner_has_paused_is_shown_so_and_counted_apart(server, page):
    page.open(f"http://localhost:{server.port}/")

    show(server, pis=(pi("alice"), pi("bob", paused=True)))

    wait_until(lambda: "Paused by its owner" in page.text('[data-pi="bob"]'), "bob is paused")
    assert "Waiting" in page.text('[data-pi="alice"]')
    assert page.text("#figure-online") == "1 of 2, 1 paused"


@pytest.mark.parametrize("count", [3, 10])
def test_every_card_tells_how_many_names_it_holds_and_what_its_figures_are_of(server, page, count):
    page.size(1280, 720)
    page.open(f"http://localhost:{server.port}/")

    show(server, pis=tuple(pi(f"pi-{number}", released=2) for number in range(count)))

    wait_until(lambda: page.count(".card") == count, "all cards are there")
    facts = page.text(".card .facts")
    assert "200 names" in facts and "model v2" in facts and "51 °C" in facts


def test_a_card_beside_one_with_a_problem_is_no_higher_than_it_needs_to_be(server, page):
    page.size(1024, 768)
    page.open(f"http://localhost:{server.port}/")

    show(server, pis=(pi("alice"), pi("bob", online=False, problem="Nothing listens there. " * 10)))

    wait_until(lambda: page.count(".card") == 2, "both cards are there")
    alice, bob = page.ask("[...document.querySelectorAll('.card')].map((each) => each.clientHeight)")
    assert bob > alice + 50


def test_what_to_type_breaks_at_spaces_only_and_can_be_copied(server, page):
    page.size(1280, 720)
    # So many options that lines would end within one.
    hint = " ".join([".venv/bin/pisyft train", *(f"--worker p{'i' * n}=192.168.1.2:8777" for n in range(12))])
    page.open(f"http://localhost:{server.port}/")

    show(server)
    server.sections.put({"classroom": {"name": "room 2", "pis": [], "hint": hint}})

    wait_until(lambda: page.text("#round-picture code") == hint, "it is shown")
    lines = "[...document.querySelectorAll('#round-picture code span')].map((each) => each.getClientRects().length)"
    assert page.ask(lines) == [1] * 26
    high = "document.querySelector(arguments[0]).getBoundingClientRect().height"
    assert page.ask(high, "#round-picture code") > 2 * page.ask(high, "#round-picture code span")  # it does break
    assert (
        page.ask("window.getSelection().selectAllChildren(document.querySelector('code')) ?? getSelection() + ''")
        == hint
    )


def test_after_a_training_that_came_to_no_round_nobody_waits_for_one(server, page):
    page.open(f"http://localhost:{server.port}/")

    show(server, STARTED, events.RunStopped("bob is paused by its owner"), pis=(pi("alice"), pi("bob", paused=True)))

    wait_until(lambda: "bob is paused" in page.text("#status"), "it is told why")
    assert page.text("#round-picture strong") == "The training has stopped"
    assert "Waiting" not in page.text("#round-picture")
    assert page.text("#round-picture code") == "pisyft train"


def test_a_training_that_stops_in_a_round_says_in_which_step(server, page):
    page.open(f"http://localhost:{server.port}/")

    show(server, STARTED, events.RoundStarted(1), SUM, events.RunStopped("interrupted"), pis=(pi("alice"), pi("bob")))

    wait_until(lambda: "interrupted" in page.text("#status"), "it is told why")
    assert page.text(".steps .now") == "Agree\n0 of 2"
    assert page.text("#sentence") == "The training has stopped here."


def test_a_pi_lacks_a_release_only_when_it_has_gone_round(server, page):
    pis = (pi("alice", released=2), pi("bob", released=1))
    page.open(f"http://localhost:{server.port}/")

    show(server, STARTED, events.PhaseStarted("releasing"), pis=pis)
    wait_until(lambda: "model v1" in page.text('[data-pi="bob"]'), "bob is there")
    assert "lacks" not in page.text('[data-pi="bob"]')

    show(server, STARTED, events.Released(2, ["bob"]), events.RunFinished(1), pis=pis)
    wait_until(lambda: "model v1, lacks v2" in page.text('[data-pi="bob"]'), "bob lacks it")
