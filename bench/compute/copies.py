"""Test images that show what training images show, which no catalogue can know of a user's own folders."""

from collections.abc import Sequence

from ..datasets.errors import few
from ..datasets.images import SetImage
from ..datasets.sets.duplicates import near_duplicates
from ..datasets.sets.own_folder import short_name

LARGEST = 40_000_000  # pixels of all pairs of images that are compared: some ten seconds
MOST = 200  # images of a set


def copies(train: str, training: Sequence[SetImage], test: str, tests: Sequence[SetImage]) -> list[str]:
    """Which test images are copies of training images or share a region with one, and what was not searched."""
    digests = {image.digest for image in training}
    names = {image.name: None for image in tests if image.digest in digests}
    train, test, found = short_name(train), short_name(test), list[str]()
    if comparable(training, tests):
        names |= {overlap.second: None for overlap in near_duplicates([(train, training), (test, tests)])}
    else:
        found.append(
            f"{test} with {train}: too large to be searched for images that share a region; "
            "only exact copies were searched"
        )
    if names:
        found.append(
            f"{len(names)} of {len(tests)} test images of {test} show what training images of {train} show, "
            f"so their scores may be too good: {few(list(names))}"
        )
    return found


def comparable(training: Sequence[SetImage], tests: Sequence[SetImage]) -> bool:
    """Whether all pairs of these images can be compared in some seconds."""
    sizes = [[image.pixels[..., 0].size for image in some[: MOST + 1]] for some in (training, tests)]
    work = sum(sizes[0]) * len(tests) + sum(sizes[1]) * len(training)
    return max(len(training), len(tests)) <= MOST and work <= LARGEST
