"""How a stage is started, watched and ended: progress, signals, checkpoints, records of times.

May import `tasks`, `training` and the parameters (`params`, `deciding`); nothing here decides a
weight.
"""
