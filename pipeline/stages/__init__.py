"""The stages of the pipeline, which dvc.yaml runs in order: each reads the parameters, calls, and
writes its outputs. May import every other package of the pipeline but `inference` and `cli`; only
the commands and `verification` import this one.
"""
