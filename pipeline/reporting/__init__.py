"""The report: compares the results with those of the reference, in tables and pictures.

May import `views` for what is special to a task, `results` and `running`; it reads what the stages
wrote, and computes no metric of a model itself.
"""
