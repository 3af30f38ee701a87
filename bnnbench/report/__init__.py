"""The report, made from results alone: tables, figures, claims and HTML pages."""
