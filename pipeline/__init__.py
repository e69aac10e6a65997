"""The benchmark: prepare data, train one Transformer on several tasks, evaluate, report.

What decides the weights of a training is in `tasks` and `training`; what guards, tracks and shows
it is everywhere else. Imports go one way:

    verification -> stages -> views, reporting, tracking -> results, running -> tasks -> training
                 -> transformer

and beside them parameters, data, and modules for all, such as errors, paths and wording.
"""
