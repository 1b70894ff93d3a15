from pathlib import Path

import pytest

from backburn import catalog, renderers, stages


@pytest.mark.parametrize(
    ("listed", "package"), [(catalog.STAGES, stages), (catalog.RENDERERS, renderers)], ids=["stages", "renderers"]
)
def test_the_list_and_the_folder_are_the_same(listed, package):
    files = {path.stem for path in Path(package.__file__).parent.glob("[!_]*.py")}
    assert set(listed) == files
    assert all(module.__name__ == f"{package.__name__}.{name}" for name, module in listed.items())


def test_every_file_beside_a_report_is_a_renderer():
    assert {*catalog.FILES.values()} < {*catalog.RENDERERS.values()}
