"""What begins a run without a person: a change of a file, and a time.

`watching` tells when something that a workflow reads has changed. `times` tells when a schedule is next due,
`schedules` keeps schedules in the home, each in a `schedule_file`, `history` what became of them, `launch` runs one,
`cut_short` tells which runs are to go on, and `serve` looks after all of them.
"""
