"""What an image's key depends on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kumoi.hosts.install import image


def test_every_recipe_has_a_key_of_its_own_that_stays_the_same() -> None:
    keys = [image.key(recipe) for recipe in image.RECIPES]
    assert len(set(keys)) == len(keys)
    assert keys == [image.key(recipe) for recipe in image.RECIPES]


def test_another_package_is_another_image_and_so_is_all_that_is_built_on_it() -> None:
    fatter = dataclasses.replace(image.DEBIAN, packages=(*image.DEBIAN.packages, "vim"))
    assert image.key(fatter) != image.key(image.DEBIAN)
    runner = dataclasses.replace(image.RUNNER, base=fatter)
    assert image.key(runner) != image.key(image.RUNNER)


def test_an_image_that_is_there_is_not_built_again(tmp_path: Path) -> None:
    there = image.file_of(image.DEBIAN, tmp_path)
    there.write_bytes(b"built")
    assert image.ensure(image.DEBIAN, tmp_path) == there
    assert there.read_bytes() == b"built"
