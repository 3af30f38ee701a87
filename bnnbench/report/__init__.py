"""Tables, figures, claims and the HTML page, from results alone."""
