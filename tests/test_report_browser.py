"""The page of `mvgen report` in a real browser, opened from the disk."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_build import FakeStages, list_clips, make_config, make_source
from PIL import Image

from mvgen.building.build import build
from mvgen.core.config import BuildConfig
from mvgen.core.records import BuiltClip, Clip
from mvgen.core.stopwatch import Stopwatch
from mvgen.report.page import write_report
from mvgen.store import layout
from mvgen.store.manifest import ViewRow, read_table

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: uv sync")

SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
MARKUP = "<img src=x onerror=console.error(1)>"


@dataclass(frozen=True)
class LiftedStages(FakeStages):
    """lifted : id of a clip whose skin comes nearer to the right, in the second frame"""

    lifted: str = ""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        still = FakeStages.builder(self, config, attention)

        def build_one(clip: Clip, clock: Stopwatch) -> BuiltClip:
            built = still(clip, clock)
            if clip.id != self.lifted:
                return built
            lift = np.zeros((len(clip.frames), 16, 16), np.float16)
            lift[1] = np.linspace(0, 0.02, 16)
            return replace(built, reconstruction=replace(built.reconstruction, lift=lift))

        return build_one


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of five clips with a page."""
    folder = tmp_path_factory.mktemp("browser")
    root = make_source(folder / MARKUP)
    config = make_config(root, folder / "out", angles="-45,-15,15,45")
    clips = list_clips(root)
    build(config, LiftedStages(root, face=frozenset({clips[1].id}), lifted=clips[2].id))
    write_report(folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    playwright.expect.set_options(timeout=30_000)  # a busy machine is no error
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:
    opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *SOFTWARE_GL])
    yield opened
    opened.close()


@dataclass
class Opened:
    """An open page. told : console messages and exceptions; asked : URLs it loaded"""

    page: Any
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def view(self) -> str:
        return str(self.page.inner_text("#yaw-value"))

    @property
    def frame(self) -> int:
        return int(self.page.input_value("#frame"))

    def press(self, *keys: str, on: str = "#stage") -> None:
        self.page.focus(on)
        for key in keys:
            self.page.keyboard.press(key)
        self.drawn()

    def drawn(self) -> None:
        """Wait until the images show the view and frame of the sliders."""
        expect = playwright.expect(self.page.locator("#view"))
        expect.to_have_attribute("data-view", self.view)
        expect.to_have_attribute("data-frame", str(self.frame))
        expect.to_have_attribute("data-layer", self.page.input_value("input[name=layer]:checked"))

    def surface(self) -> np.ndarray:
        """(H, W, 3) float, pixels of the 3D view on the screen, once it shows the frame of the slider."""
        self.drawn()
        playwright.expect(self.page.locator("#surface")).to_have_attribute("data-frame", str(self.frame))
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.page.evaluate("() => document.activeElement.blur()")  # no outline around it
        picture = Image.open(io.BytesIO(self.page.locator("#surface").screenshot())).convert("RGB")
        return np.asarray(picture, float)

    @property
    def angles(self) -> tuple[int, int]:
        """Yaw and pitch of the 3D view, degrees."""
        across, up = self.page.get_attribute("#surface", "data-angles").split()
        return int(across), int(up)

    def pixels(self, canvas: str) -> np.ndarray:
        """(S, S, 3) float, pixels of a canvas."""
        script = (
            "id => { const c = document.getElementById(id);"
            " const copy = new OffscreenCanvas(c.width, c.width).getContext('2d', {willReadFrequently: true});"
            " copy.drawImage(c, 0, 0);"
            " return [c.width, ...copy.getImageData(0, 0, c.width, c.width).data]; }"
        )
        side, *values = self.page.evaluate(script, canvas)
        return np.array(values, float).reshape(side, side, 4)[..., :3]


@pytest.fixture
def opened(browser: Any, out: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The page in a fresh tab; at the end, check that it logged nothing and loaded nothing."""
    page = browser.new_page(**getattr(request, "param", {}))
    tab = Opened(page)
    page.on("console", lambda message: tab.told.append(message.text))
    page.on("pageerror", lambda error: tab.told.append(str(error)))
    page.on("request", lambda asked: tab.asked.append(asked.url))
    page.goto((out / layout.REPORT).as_uri())
    tab.drawn()
    yield tab
    page.close()
    assert tab.told == []
    assert [url for url in tab.asked if not url.startswith("data:")] == [(out / layout.REPORT).as_uri()]


def rows_of(out: Path, clip: int) -> dict[float | None, ViewRow]:
    """Yaw -> row, of one clip of the store."""
    rows = read_table(out / layout.TABLE)
    name = list(dict.fromkeys(row.clip for row in rows))[clip]
    return {row.yaw: row for row in rows if row.clip == name}


def frame_shown(out: Path, rows: dict[float | None, ViewRow], shown: np.ndarray) -> tuple[float | None, int]:
    """(yaw, frame) of the stored image that is most similar to the shown one."""
    off = {
        (yaw, index): np.abs(np.asarray(Image.open(out / row.frames_directory / name), float) - shown).mean()
        for yaw, row in rows.items()
        for index, name in enumerate(row.frame_names)
    }
    return min(off, key=lambda place: off[place])


def test_the_slider_turns_the_picture(out: Path, opened: Opened) -> None:
    rows = rows_of(out, 0)
    assert opened.frame == rows[None].apex_index
    for index, yaw in enumerate((-45.0, -15.0, 15.0, 45.0)):
        opened.page.fill("#yaw", str(index))
        opened.drawn()
        assert frame_shown(out, rows, opened.pixels("view")) == (yaw, opened.frame)
        assert frame_shown(out, rows, opened.pixels("source")) == (None, opened.frame)
        assert opened.view == f"{yaw:+g}°".replace("-", "−")
        assert opened.page.inner_text("#status").startswith(f"{opened.view} sees {'25' if abs(yaw) > 20 else '75'} %")
    opened.page.fill("#frame", "1")
    opened.drawn()
    assert frame_shown(out, rows, opened.pixels("view")) == (45.0, 1)


def test_the_clip_plays_at_five_yaws_and_stops(out: Path, opened: Opened) -> None:
    rows = rows_of(out, 0)
    opened.page.select_option("#speed", "0.25")
    for yaw, turn in ((15.0, None), (45.0, "ArrowRight"), (-45.0, "Home"), (-15.0, "ArrowRight"), (15.0, "ArrowRight")):
        opened.press(*([turn] if turn else []))
        opened.page.click("#play")
        assert opened.page.get_attribute("#play", "aria-pressed") == "true"
        for index in (0, 1, 2, 3, 0) if turn is None else ((opened.frame + 2) % 4,):
            playwright.expect(opened.page.locator("#view")).to_have_attribute("data-frame", str(index))
        opened.page.click("#play")
        assert opened.page.inner_text("#play") == "Play"
        opened.drawn()
        assert frame_shown(out, rows, opened.pixels("view")) == (yaw, opened.frame)
        stopped = opened.frame
        opened.page.wait_for_timeout(300)
        assert opened.frame == stopped


def test_keys_do_everything(out: Path, opened: Opened) -> None:
    opened.press("Home")
    assert opened.view == "−45°"
    opened.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert opened.view == "−15°"
    opened.press("End", "ArrowRight")
    assert opened.view == "+45°"
    opened.press(".", ".", ".")
    assert opened.frame == (rows_of(out, 0)[None].apex_index + 3) % 4
    opened.press(",")
    assert opened.frame == (rows_of(out, 0)[None].apex_index + 2) % 4
    opened.press("c")
    assert not opened.page.is_visible("#source")
    opened.press("c")
    assert opened.page.is_visible("#source")
    opened.press(" ")
    assert opened.page.inner_text("#play") == "Pause"
    opened.press(" ")
    assert opened.page.inner_text("#play") == "Play"
    opened.press("]")
    assert opened.page.input_value("#clip") == "1"
    assert opened.view == "+45°"  # the angle stays
    assert frame_shown(out, rows_of(out, 1), opened.pixels("view")) == (45.0, opened.frame)
    opened.press("[", "[")
    assert opened.page.input_value("#clip") == "4"
    opened.press("5")
    assert opened.page.is_checked("input[value=attention]")


def test_every_control_is_reached_by_tab(opened: Opened) -> None:
    reached = []
    for _ in range(19):
        opened.page.keyboard.press("Tab")
        reached.append(opened.page.evaluate("document.activeElement.id || document.activeElement.name"))
    solid = ["face", "zoom", "relief", "exaggerate"]
    wanted = [
        "clip",
        "previous",
        "next",
        "stage",
        "surface",
        "yaw",
        "frame",
        "play",
        "speed",
        "beside",
        *solid,
        "layer",
    ]
    assert [name for name in reached if name in wanted] == wanted


@pytest.mark.parametrize("layer", ["unseen", "depth", "motion", "attention"])
def test_overlays_cover_both_images_and_are_explained(opened: Opened, layer: str) -> None:
    plain = {canvas: opened.pixels(canvas) for canvas in ("view", "source")}
    opened.page.check(f"input[value={layer}]")
    opened.drawn()
    for canvas, before in plain.items():
        changed = np.abs(opened.pixels(canvas) - before).max(axis=-1) > 8
        assert changed[12:].mean() > 0.15
        assert changed[:4].mean() < 0.05  # no surface there
    assert opened.page.is_visible(f"[data-layer={layer}]")
    opened.page.check("input[value='']")
    opened.drawn()
    assert not opened.page.is_visible(f"[data-layer={layer}]")


def test_the_curves_are_those_of_the_clip_and_the_cursor_is_at_its_frame(out: Path, opened: Opened) -> None:
    def shown() -> list[str]:
        return opened.page.eval_on_selector_all(".signals:not([hidden])", "all => all.map(one => one.dataset.clip)")

    def line() -> float:
        script = "all => all.map(one => one.transform.baseVal.consolidate().matrix.e)"
        places = opened.page.eval_on_selector_all(".signals:not([hidden]) .cursor", script)
        assert places
        assert len(set(places)) == 1
        return float(places[0])

    assert shown() == ["0"]
    last = rows_of(out, 0)[None].frames - 1
    for frame in (0, 1, last):
        opened.page.fill("#frame", str(frame))
        opened.drawn()
        assert line() == pytest.approx(272 * frame / last, abs=0.01)
    shown_now = ".signals:not([hidden]) .chart:first-child [data-values] >> nth=0"
    values = opened.page.get_attribute(shown_now, "data-values").split(" ")
    assert len(values) == last + 1
    assert opened.page.inner_text(shown_now).strip() == f"{values[last]} of"
    chart = opened.page.locator(".signals:not([hidden]) .chart:first-child svg[role=img]")
    scale = chart.bounding_box()["width"] / 320
    chart.click(position={"x": scale * (44 + 272 / last), "y": scale * 60})
    assert opened.frame == 1
    assert opened.page.inner_text(shown_now).strip() == f"{values[1]} of"
    opened.press("]")
    assert shown() == ["1"]
    assert line() == pytest.approx(272 * opened.frame / (rows_of(out, 1)[None].frames - 1), abs=0.01)


def test_dragging_the_picture_turns_it(opened: Opened) -> None:
    opened.press("Home")
    box = opened.page.locator("#view").bounding_box()
    middle = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + box["width"] * 0.9, middle)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * 0.1, middle, steps=5)
    opened.page.mouse.up()
    opened.drawn()
    assert opened.view == "+45°"
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    opened.drawn()
    assert opened.view == "+45°"


def changed(one: np.ndarray, other: np.ndarray) -> float:
    """Share of pixels that differ."""
    return float((np.abs(one - other).max(axis=-1) > 16).mean())


def test_the_surface_turns_by_mouse_and_keys(opened: Opened) -> None:
    start = opened.surface()
    assert opened.angles == (15, 0)  # as the view
    assert 0.1 < (start.max(axis=-1) > 16).mean() < 0.95  # there is a surface, and there is room around it
    box = opened.page.locator("#surface").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.page.mouse.move(x, y)
    opened.page.mouse.down()
    opened.page.mouse.move(x - box["width"] / 4, y + box["height"] / 9, steps=4)
    opened.page.mouse.up()
    dragged = opened.surface()
    assert opened.angles == (60, 20)
    assert changed(start, dragged) > 0.1
    opened.page.mouse.move(x, y)
    opened.press("ArrowRight", "ArrowUp", "ArrowUp", on="#surface")
    turned = opened.surface()
    assert opened.angles == (65, 30)
    assert changed(dragged, turned) > 0.02
    assert opened.view == "+15°"  # the views stay
    opened.press("+", on="#surface")
    assert changed(turned, opened.surface()) > 0.02
    opened.press("-", "0", on="#surface")
    opened.surface()
    assert opened.angles == (0, 0)
    opened.press("End")
    opened.surface()
    assert opened.angles == (45, 0)


def test_the_surface_plays(out: Path, opened: Opened) -> None:
    shown = []
    for frame in range(4):
        opened.page.fill("#frame", str(frame))
        shown.append(opened.surface())
    assert min(changed(one, other) for one, other in pairwise(shown)) > 0.1
    opened.page.click("#play")
    for frame in (0, 1, 2):
        playwright.expect(opened.page.locator("#surface")).to_have_attribute("data-frame", str(frame))
    opened.page.click("#play")


def test_the_surface_is_that_of_the_frame(opened: Opened) -> None:
    opened.page.select_option("#clip", "1")
    opened.page.check("#relief")

    def moved() -> float:
        shapes = []
        for frame in (0, 1):
            opened.page.fill("#frame", str(frame))
            shapes.append(opened.surface())
        return float(np.abs(shapes[1] - shapes[0]).mean())

    once = moved()
    assert once > 0
    opened.page.check("#exaggerate")
    assert moved() > 3 * once


def test_the_surface_has_the_texture_of_the_frame_and_overlay(opened: Opened) -> None:
    opened.press("0", on="#surface")
    plain = opened.surface()
    size = plain.shape[1::-1]
    source = np.asarray(Image.fromarray(opened.pixels("source").astype(np.uint8)).resize(size), float)
    inner = np.s_[
        size[1] // 4 : -(size[1] // 4), size[0] // 4 : -(size[0] // 4), 2
    ]  # blue, which the mark has least of
    assert np.corrcoef(plain[inner].ravel(), source[inner].ravel())[0, 1] > 0.4
    opened.page.check("input[value=depth]")
    assert changed(plain, opened.surface()) > 0.1
    opened.page.check("#relief")
    shape = opened.surface()
    assert changed(plain, shape) > 0.02
    opened.page.fill("#frame", "0")
    assert changed(shape, opened.surface()) == 0  # nothing of the picture, and this surface stays


def test_without_webgl_the_page_says_so_and_the_rest_works(out: Path, driver: Any) -> None:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-3d-apis"])
    page = browser.new_page()
    tab = Opened(page)
    page.on("console", lambda message: tab.told.append(message.text))
    page.on("pageerror", lambda error: tab.told.append(str(error)))
    page.goto((out / layout.REPORT).as_uri())
    tab.drawn()
    assert page.inner_text("#no-surface").startswith("No 3D view: this browser has no WebGL")
    assert not page.is_visible("#surface")
    assert page.is_disabled("#zoom")
    tab.press("End")
    assert tab.view == "+45°"
    browser.close()
    assert tab.told == []


@pytest.mark.parametrize("opened", [{"viewport": {"width": 360, "height": 740}}], indirect=True)
def test_a_narrow_screen_needs_no_scrolling_sideways(opened: Opened) -> None:
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.page.locator("#view").bounding_box()["width"] > 120


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_text_has_enough_contrast(opened: Opened, request: pytest.FixtureRequest) -> None:
    scheme = request.node.callspec.params["opened"]["color_scheme"]
    script = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
    paper, *inks = (opened.page.evaluate(script, f"--{name}") for name in ("paper", "ink", "soft", "accent", "warn"))
    assert (luminance(paper) < 0.1) == (scheme == "dark")
    for ink in inks:
        light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG defines it."""
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
