"""``pypz new``: a project to begin with."""
