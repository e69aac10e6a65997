"""The report: what the stages left, judged against the reference's figures."""
