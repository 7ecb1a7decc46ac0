"""Which frames of a user's files show one scene, and which scenes are looked at where there are many."""

from collections.abc import Sequence

from ..datasets.own.collection import Collection
from ..datasets.own.own_file import OwnFile

Place = tuple[OwnFile, int]  # a file, and the number of a frame in it


def scenes_of(found: Collection, among: Sequence[OwnFile], repeats: bool) -> list[list[Place]]:
    """The frames of each scene: those of a folder, with `repeats` those of a file, and each other frame alone."""
    repeated = {id(own) for scene in found.scenes for own in scene}
    scenes: list[list[Place]] = [[(own, 0) for own in scene] for scene in found.scenes if scene[0] in among]
    for own in among:
        if id(own) not in repeated:
            frames = [(own, i) for i in range(own.count)]
            scenes += [frames] if repeats else [[one] for one in frames]
    return scenes


def spread(scenes: Sequence[list[Place]], most: int) -> list[list[Place]]:
    """At most `most` scenes, at equal distances from the first to the last."""
    if len(scenes) <= most:
        return list(scenes)
    return [scenes[round(i * (len(scenes) - 1) / (most - 1))] for i in range(most)]
