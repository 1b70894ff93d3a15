"""What was seen is plain data, and stays as it was."""

import msgspec
import pytest

from .test_checks import SOUND


@pytest.mark.parametrize("part", [SOUND, SOUND.driver, SOUND.docker, SOUND.github, SOUND.account, SOUND.image])
def test_it_is_frozen(part):
    with pytest.raises(AttributeError):
        setattr(part, msgspec.structs.fields(part)[0].name, "")
