"""What a run got from outside, kept so that it can be given again without asking anybody.

`Answers` stands in the doors of a run's nodes: it keeps what comes from outside, or gives what was kept. `Recording`
is what was kept, in a file or in the record of a run; `Tape` is what one run replays and records.
"""

from phloem.runtime.recording.answers import Answers
from phloem.runtime.recording.file import FileKeeper, read_recording, write_recording
from phloem.runtime.recording.in_run import LogKeeper, recording_of
from phloem.runtime.recording.recording import Exchange, Given, Head, Keeper, Recording
from phloem.runtime.recording.tape import Tape

__all__ = [
    "Answers",
    "Exchange",
    "FileKeeper",
    "Given",
    "Head",
    "Keeper",
    "LogKeeper",
    "Recording",
    "Tape",
    "read_recording",
    "recording_of",
    "write_recording",
]
