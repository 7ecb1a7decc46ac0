"""Image sets are checked image by image, and refused by the name of the image."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from support.sets import SMALL, noise_image, small_set

from bench.datasets.errors import InputError
from bench.datasets.formats.image_format import read
from bench.datasets.sets import catalogue, image_set
from bench.datasets.sets.digests import SetDigests
from bench.datasets.sets.find import find


@pytest.fixture
def known(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue with one set, whose references are the photographs and one JPEG; its data folder."""
    small_set(photos, monkeypatch)
    return photos.parent


def test_a_complete_set_loads_in_the_order_of_its_references(known: Path) -> None:
    assert [set_image.name for set_image in find(SMALL).load(known, 3)] == ["astronaut", "chelsea", "coffee", "noise"]


def test_a_missing_image_is_named(known: Path) -> None:
    (known / "photos" / "coffee.png").unlink()
    with pytest.raises(InputError, match="'small' is incomplete: coffee of 4"):
        find(SMALL).load(known, 3)


def test_an_extra_image_is_named(known: Path) -> None:
    Pillow.fromarray(noise_image(9, 9, 3)).save(known / "photos" / "stranger.png")
    with pytest.raises(InputError, match=r"do not belong to it: .*stranger\.png"):
        find(SMALL).load(known, 3)


def test_one_altered_pixel_is_noticed(known: Path) -> None:
    path = known / "photos" / "coffee.png"
    pixels = read(path).copy()
    pixels[-1, -1, -1] ^= 1
    Pillow.fromarray(pixels).save(path)
    with pytest.raises(InputError, match=r"coffee\.png: altered: other pixels"):
        find(SMALL).load(known, 3)


def test_a_resized_image_is_noticed_with_both_shapes(known: Path) -> None:
    path = known / "photos" / "coffee.png"
    Pillow.fromarray(read(path)[:-1]).save(path)
    with pytest.raises(InputError, match=r"coffee\.png: altered: shape \(71, 80, 3\), expected \(72, 80, 3\)"):
        find(SMALL).load(known, 3)


def test_equal_pixels_of_another_shape_are_noticed(known: Path) -> None:
    path = known / "photos" / "coffee.png"
    Pillow.fromarray(read(path).reshape(80, 72, 3)).save(path)
    with pytest.raises(InputError, match=r"shape \(80, 72, 3\)"):
        find(SMALL).load(known, 3)


@pytest.mark.parametrize("suffix", ["bmp", "tiff"])
def test_a_lossless_copy_in_another_format_is_accepted(known: Path, suffix: str) -> None:
    path = known / "photos" / "coffee.png"
    Pillow.fromarray(read(path)).save(path.with_suffix(f".{suffix}"))
    path.unlink()
    assert len(find(SMALL).load(known, 3)) == 4


def test_other_pixels_from_the_same_bytes_are_the_decoders_fault(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = image_set.read
    monkeypatch.setattr(image_set, "read", lambda path: plain(path) ^ np.uint8(path.suffix == ".jpg"))
    with pytest.raises(InputError, match=r"noise\.jpg: .*only this machine's JPEG decoder differs"):
        find(SMALL).load(known, 3)


def test_a_jpeg_saved_again_is_altered(known: Path) -> None:
    path = known / "photos" / "noise.jpg"
    Pillow.fromarray(read(path)).save(path, quality=60)
    with pytest.raises(InputError, match=r"noise\.jpg: altered"):
        find(SMALL).load(known, 3)


def test_two_files_of_one_stem_are_named(known: Path) -> None:
    path = known / "photos" / "coffee.png"
    path.with_suffix(".bmp").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"coffee\.png: the same image name as coffee\.bmp"):
        find(SMALL).load(known, 3)


def test_files_that_are_no_images_are_ignored(known: Path) -> None:
    for name in ("README.md", ".hidden.png", "Thumbs.db", "list.txt", "coffee.json"):
        (known / "photos" / name).write_text("x")
    assert len(find(SMALL).load(known, 3)) == 4


def test_parts_are_disjoint_complete_and_by_rule(known: Path) -> None:
    fit, held = ([set_image.name for set_image in find(name).load(known, 3)] for name in ("rest", "part"))
    assert (held, fit) == (["astronaut", "coffee"], ["chelsea", "noise"])


def test_an_extra_image_is_named_in_a_part_too(known: Path) -> None:
    Pillow.fromarray(noise_image(9, 9, 3)).save(known / "photos" / "stranger.png")
    with pytest.raises(InputError, match=r"stranger\.png"):
        find("rest").load(known, 3)


def test_a_set_chosen_by_its_sides_keeps_those_and_holds_none(known: Path) -> None:
    set_images = find("sized").load(known, 3)
    assert [set_image.name for set_image in set_images] == ["astronaut", "chelsea", "coffee"]
    assert not any(set_image.keep for set_image in set_images)


def test_a_set_chosen_by_its_sides_is_counted(known: Path) -> None:
    (known / "photos" / "coffee.png").unlink()
    with pytest.raises(InputError, match="'sized': 2 images"):
        find("sized").load(known, 3)


def test_a_set_chosen_by_its_sides_names_a_file_that_is_no_image(known: Path) -> None:
    (known / "photos" / "coffee.png").write_text("not an image")
    with pytest.raises(InputError, match=r"coffee\.png"):
        find("sized").load(known, 3)


@pytest.mark.parametrize("data", [True, False])
def test_a_set_that_is_not_there_says_how_to_get_it(known: Path, data: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    with pytest.raises(InputError, match=r"photos/.*get: 4 images from here"):
        find(SMALL).load(known / "photos" if data else None, 3)


def test_the_data_folder_may_come_from_the_environment(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(known))
    assert len(find(SMALL).load(None, 3)) == 4


def test_a_colour_set_does_not_serve_one_channel(known: Path) -> None:
    with pytest.raises(InputError, match="a colour set"):
        find(SMALL).load(known, 1)


def test_an_unknown_set_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean 'kodak'"):
        find("kodac").load(None, 3)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images"):
        find(f"folder:{tmp_path}").load(None, 3)


def test_a_folder_names_its_bad_file(photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad\.png: an empty file"):
        find(f"folder:{photos}").load(None, 3)


@pytest.mark.parametrize(("name", "count"), [("embedded_train", 7), ("embedded_test", 3)])
def test_embedded_sets_need_no_data_folder(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert len({set_image.digest for set_image in find(name).load(None, 3)}) == count


@pytest.mark.parametrize("name", list(catalogue.catalogue()))
def test_every_entry_has_as_many_references_as_images(name: str) -> None:
    """Captures have their own; none is known of SIDD, DND, sets with all 50 frames, and those chosen by sides."""
    known, found = catalogue.entry(name), len(catalogue.references(name))
    whole = known.count * (1 + known.frames) if known.layout == "views" else known.count
    unknown = known.layout in ("blocks", "dnd", "pack", "selected") or known.frames == 50
    assert found == (0 if unknown else whole)


def test_training_and_test_photographs_share_none() -> None:
    train, test = ({row.pixels for row in catalogue.references(f"embedded_{kind}")} for kind in ("train", "test"))
    assert not train & test


def test_a_sets_digest_needs_no_files_and_tells_sets_and_channels_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA", raising=False)
    asked = [(name, channels) for name in catalogue.catalogue() for channels in (1, 3)]
    assert len({find(name).digest(channels) for name, channels in asked}) == len(asked)


def test_a_folders_digest_is_its_pixels_wherever_it_lies(photos: Path, tmp_path: Path) -> None:
    before = find(f"folder:{photos}").digest(3)
    moved = photos.rename(tmp_path / "moved")
    assert find(f"folder:{moved}").digest(3) == before
    buffer = io.BytesIO()
    Pillow.fromarray(read(moved / "coffee.png") ^ 1).save(buffer, "png")
    (moved / "coffee.png").write_bytes(buffer.getvalue())
    assert find(f"folder:{moved}").digest(3) != before


def test_a_folder_that_is_gone_has_the_digest_that_records_knew(photos: Path) -> None:
    name = f"folder:{photos}"
    digests = SetDigests()
    before = digests(name, 3)
    assert digests.folders == {f"{name} 3": before}
    photos.rename(photos.with_name("elsewhere"))
    assert SetDigests(digests.folders)(name, 3) == before
    with pytest.raises(InputError, match="no such folder"):
        SetDigests()(name, 3)


def test_a_process_that_lives_long_sees_changed_files(photos: Path) -> None:
    name = f"folder:{photos}"
    before = SetDigests()(name, 3)
    path = photos / "coffee.png"
    Pillow.fromarray(read(path)[::-1]).save(path)
    assert SetDigests({f"{name} 3": before})(name, 3) != before
