"""The parts of figures: panels, pages that hold their text, and the entries that choose images."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.figures import check_text

from bench.datasets.errors import InputError
from bench.datasets.sets import catalogue
from bench.datasets.sets.find import find
from bench.protocol.suite_files import load as load_suite
from bench.protocol.suite_files import suites
from bench.report import figure_entries, noise_figure
from bench.report.figure_entries import Box, Entry
from bench.report.panels import Panel, cells, grid, shown
from bench.report.style import WIDTH


@pytest.mark.parametrize(
    ("size", "count"), [((48, 64), 3), ((64, 48), 6), ((48, 48), 18), ((20, 96), 6), ((64, 48), 5)]
)
def test_every_page_holds_all_its_text(size: tuple[int, int], count: int) -> None:
    image = np.full((*size, 3), 0.5, np.float32)
    panels = [Panel("Gaussian blur, oracle width", image, 31.25)] * count
    figure = grid(panels, image, Box(top=2, left=4, side=16), "plain", "PSNR in dB of the whole image. " * 9)
    assert len(figure.axes) == count + 1
    assert figure.get_figwidth() == WIDTH
    check_text(figure)


def test_a_noise_card_draws_every_plane_of_a_file_with_many_channels() -> None:
    lags = [SimpleNamespace(rows=0, columns=1, correlation=SimpleNamespace(value=0.1))]
    curve = ((0.2, 1.0), (0.8, 2.0))
    planes = [SimpleNamespace(name=f"{i}", curve=curve, slope=1.0, constant=0.8, lags=lags) for i in range(12)]
    left, _ = noise_figure.draw(planes, "Twelve channels.").axes
    assert len(left.lines) == 2 * 12


# ---- what is shown of real captures


def test_display_scales_all_panels_alike() -> None:
    whole = np.linspace(0.1, 0.5, 64, dtype=np.float32).reshape(8, 8, 1)
    assert shown(whole, whole, "range").shape == (8, 8)
    assert (shown(whole, whole, "range").min(), shown(whole, whole, "range").max()) == (0, 1)
    np.testing.assert_allclose(shown(whole[:2], whole, "range"), (whole[:2, :, 0] - 0.1) / 0.4, atol=1e-6)
    np.testing.assert_array_equal(shown(whole, whole, "plain"), whole[..., 0])
    assert shown(whole, whole, "raw").shape == (4, 4)


def test_cells_average_a_mosaic_and_its_packed_channels_alike() -> None:
    mosaic = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    packed = np.concatenate([mosaic[i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=2)
    np.testing.assert_array_equal(cells(mosaic)[..., 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(cells(mosaic), cells(packed))


# ---- entries


@pytest.mark.parametrize(("test", "image"), [("set14", "lenna"), ("set12", "08"), ("folder:mine", "Lena_std")])
def test_lenna_is_refused(test: str, image: str) -> None:
    with pytest.raises(InputError, match="Lenna"):
        Entry(
            name="a", title="A", kind="crops", suite="synthetic", noise="gauss25",
            boxes={test: Box(image=image, top=0, left=0, side=8)},
        )  # fmt: skip


HEAD = '[[figures]]\nname = "a"\ntitle = "A"\nsuite = "synthetic"\nnoise = "gauss25"\n'
BOX = "boxes.kodak = { top = 0, left = 0, side = 8 }\n"


@pytest.mark.parametrize(("text", "said"), [
    (f'{HEAD}kind = "crops"\nnoice = "b"\n{BOX}', "Did you mean 'noise'"),
    (f'{HEAD}kind = "crops"\nboxes.kodak = {{ top = 0, left = 0, size = 8 }}\n', "Did you mean 'side'"),
    (f'{HEAD}kind = "steps"\n{BOX}', "kind steps needs"),
    (f'{HEAD}kind = "crops"\nboxes.kodak = {{ top = -1, left = 0, side = 8 }}\n', "from 0 on"),
    (f'{HEAD}kind = "crops"\ndisplay = "raw"\nboxes.kodak = {{ top = 1, left = 0, side = 8 }}\n', "even numbers"),
    ("figures = [", "not a TOML file"),
])  # fmt: skip
def test_wrong_entries_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"mine.toml: .*{said}"):
        figure_entries.decode(text.encode(), "mine.toml")


def test_our_entries_belong_to_their_suites() -> None:
    for one in figure_entries.load():
        assert one.suite in suites()
        suite = load_suite(one.suite)
        assert one.noise in {*suite.noises, *(noise for preset in suite.presets.values() for noise in preset.noises)}
        assert one.boxes.keys() <= catalogue.catalogue().keys()
    set_images = {set_image.name: set_image.pixels.shape for set_image in find("embedded_test").load(None, 3)}
    for box in [one.boxes["embedded_test"] for one in figure_entries.load() if "embedded_test" in one.boxes]:
        assert box.top + box.side <= set_images[box.image][0]
        assert box.left + box.side <= set_images[box.image][1]
