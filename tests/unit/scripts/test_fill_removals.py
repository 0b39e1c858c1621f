from pathlib import Path

import pytest
from fill_removals import KEEP, REMOVALS, policy_of
from mask_subjects import file_of

from cleanplate.domain.policy import Action, Dilation

SAMPLES = Path(__file__).parents[3] / "samples"


def test_something_is_removed_from_every_sample() -> None:
    images = {path.name for path in SAMPLES.iterdir() if path.suffix != ".md"}

    assert images <= {removal.source for removal in REMOVALS}


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.name)
def test_a_removal_is_what_a_shipped_label_configuration_does(removal) -> None:
    config, label = removal.label
    policy = policy_of(config)

    assert policy.of(label).action is Action.REMOVE
    assert policy.of(label).dilation != Dilation()
    assert not removal.kept or policy.of(KEEP).action is Action.KEEP


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.name)
def test_the_picture_of_a_removal_is_there(removal) -> None:
    package, colon, name = removal.source.partition(":")

    assert (file_of(package, name) if colon else SAMPLES / removal.source).is_file()


def test_every_removal_has_files_of_its_own() -> None:
    names = [removal.name for removal in REMOVALS]

    assert len(set(names)) == len(names)
