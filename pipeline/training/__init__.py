"""One training loop for all tasks, and its parts: what decides the weights besides the task.

May import `transformer`, and of this package only types of parameters and errors: nothing that
starts, watches, tracks or shows a training.
"""
