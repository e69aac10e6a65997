"""The stages of the pipeline: read params, call, write. dvc.yaml runs them in order."""
