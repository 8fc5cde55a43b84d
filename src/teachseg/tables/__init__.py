"""The papers' tables in miniature: which cells, how each is run, and what the runs allow to say.

`specs` holds the tables as data, `runs` trains and tests their cells, `report` reads the records of
runs and makes numbers and sentences of them. No number is kept that has no record of its run.
"""
