import base64
from pathlib import Path

import pytest

from pipeline.comparison import experiments
from pipeline.comparison.revisions import resolve
from pipeline.comparison.samples import samples
from tests.pipeline.comparison import handmade

REPORT = """\
# A report

**The reference** is ...

| model | measure |
| --- | --- |
| GPT | loss |

## GPT

![GPT: curves](pictures/gpt.png)

| metric | value |
| --- | ---: |
| loss | 5.0 |

Seed 0: trained in this run.

Prompts from the text:

```text
## No title, but a sample
<script>alert(1)</script> --> the king
```

## ViT

![ViT: curves](pictures/vit.png)

| metric | value |
| --- | ---: |
| loss | 5.0 |

Seed 0: trained in this run.

![ViT: predictions](pictures/vit-predictions.png)

![missing](pictures/missing.png)

## Data

| model | data |
| --- | --- |
"""


@pytest.fixture
def found(repository):
    picture = Path("reports/pictures/vit-predictions.png")
    picture.parent.mkdir()
    picture.write_bytes(b"pixels")
    Path("reports/metrics.md").write_text(REPORT)
    handmade.write(repository, {"gpt": {"loss": [1.0]}, "vit": {"loss": [1.0]}})
    return samples(experiments.read(resolve("workspace")))


def test_a_sample_stands_with_its_model_and_is_escaped(found):
    assert list(found) == ["gpt", "vit"]
    assert "## No title, but a sample" in found["gpt"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; --&gt; the king" in found["gpt"]
    assert found["gpt"].startswith("<p>Prompts")


def test_curves_metrics_and_origins_are_left_out(found):
    for left_out in ("curves", "<table>", "Seed 0"):
        assert left_out not in found["gpt"] + found["vit"]


def test_pictures_are_inside(found):
    inside = f'src="data:image/png;base64,{base64.b64encode(b"pixels").decode()}"'
    assert f'<img {inside} alt="ViT: predictions"' in found["vit"]
    assert '<img src="" alt="missing"' in found["vit"]
    assert found["vit"].count("src=") == 2


def test_without_a_report_there_are_none(repository):
    assert samples(experiments.read(resolve("HEAD"))) == {}
