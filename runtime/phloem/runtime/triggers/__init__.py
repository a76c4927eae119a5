"""What begins a run without a person: a change of a file, and a time.

`watching` tells when something that a workflow reads has changed. `times` tells when a schedule is next due,
`schedules` keeps schedules in the home, `history` what became of them, `launch` runs one, and `serve` all of them.
"""
