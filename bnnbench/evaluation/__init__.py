"""Measuring a method on a data set, for the experiments of several papers and for methods of other packages.

A *study* takes a method by name with its options, a problem (data, net, likelihood, prior) and what to measure, and
returns an `Outcome`. `studies.images` classifies images, `studies.tables` predicts a column of a table. Splits and
nets, measures, reference draws and charts that more than one paper needs are here; papers never import each other.
"""
