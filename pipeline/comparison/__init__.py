"""Compares experiments: whether a change helps, what it costs, and what differs.

Reads what `report` wrote at revisions of git, and DVC's cache for the curves of single seeds; it
leaves the workspace as it is, and computes no metric of a model. May import `reporting` for the
form of a report and of its targets, `results`, `deciding`, `tracking` for links to MLflow, and
`plots` for Vega.
"""
