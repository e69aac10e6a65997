"""The stages of the pipeline, which dvc.yaml runs in order."""
