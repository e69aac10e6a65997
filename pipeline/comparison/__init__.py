"""Compares experiments: whether a change helps, what it costs, and what differs.

Reads what `report` wrote at revisions of git, DVC's cache for the curves of single seeds, and
leaves the workspace as it is. May import `reporting` for the form of a report and of its targets,
`results`, `tracking` for links to MLflow, and `plots` for Vega; it computes no metric of a model.
"""
