"""The stages of the pipeline, which dvc.yaml runs in order: each reads the parameters, calls, and
writes its outputs. May import what trains, shows, tracks and reports; only the commands and
`verification` import this one.
"""
