"""How a stage is started, watched and ended: progress, signals, checkpoints, records of times.

May import `tasks` and `training`; nothing here decides a weight.
"""
