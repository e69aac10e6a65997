"""The benchmark: prepare data, train one transformer three ways, evaluate, report."""

MODELS = ("bert", "gpt", "vit")
