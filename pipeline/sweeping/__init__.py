"""Many experiments at once: which ones, what they share, and who runs them where.

Every training and every experiment is a `dvc` command in a clean copy of the repository; DVC's
cache carries the results from one to the next. May import what describes and watches a training
(`params`, `overrides`, `running`), and no stage: a sweep decides no number.
"""
