"""Model files from the web, or from elsewhere on this machine, into the home: whole and checked, or not at all.

`install` has `pull`: `source` reads what the user wrote, `hub` finds the file in a repository of the Hugging
Face hub, `web` speaks HTTP, `part` is what has come so far, `transfer` brings the rest; then the whole
file, checked, gets its place. `adding` has `add`, for files that are here already. `folder` is the place,
and `origin` says where what is in it came from.
"""
