"""How well the languages of an encoder line up: lines and their states, measures, intervals, cells of a run."""
