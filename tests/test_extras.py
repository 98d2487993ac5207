import pytest

from resnet_tl.errors import RunError
from resnet_tl.extras import require


def test_packages_that_are_installed_are_fine() -> None:
    require("a test", "pytest", "torch", extra="dev")


def test_names_what_is_missing_and_how_to_add_it() -> None:
    with pytest.raises(RunError, match=r"^a report needs no_such, nor_this: pip install 'resnet-tl\[report\]'$"):
        require("a report", "pytest", "no_such", "nor_this", extra="report")
