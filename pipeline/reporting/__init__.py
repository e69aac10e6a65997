"""The report: compares the results with those of the reference."""
