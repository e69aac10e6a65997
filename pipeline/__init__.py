"""The benchmark: prepare data, train one Transformer as three models, evaluate, report."""

MODELS = ("bert", "gpt", "vit")
