"""The durable record of runs, in the folder `journal` of the home.

    journal.db     SQLite: a row a run, and its events and small values in pieces, appended as they come
    values/        values over 16 KB, each in a file named by its content hash
    owners/        a locked file for each process that runs something: who holds no lock is dead
    news           grows when a process leaves a word for another's run

`Journal` begins and finds runs, `RunLog` is what a run writes to, `KeptRun` what is read of one.
"""

from phloem.runtime.journal.journal import Journal
from phloem.runtime.journal.kept import KeptRun
from phloem.runtime.journal.log import RunLog
from phloem.runtime.journal.record import (
    Deadline,
    Effect,
    FinishedNode,
    Question,
    Recorded,
    RunRecord,
    RunStatus,
    Summary,
)

__all__ = [
    "Deadline",
    "Effect",
    "FinishedNode",
    "Journal",
    "KeptRun",
    "Question",
    "Recorded",
    "RunLog",
    "RunRecord",
    "RunStatus",
    "Summary",
]
