"""Models that run on this machine, with llama.cpp, each in a process of its own.

In the program: `service` is the backend that the models service asks. It finds a file in `catalogue`, whose
header `gguf` can read, and hands requests to a `process`; `shelf` keeps those within the memory that models may
take. Requests and errors travel as `questions`, in `frames`, and what comes back is an `arrivals` for whoever
waits.

In the process: `worker` loads the file, in the `room` that there is, and answers. `text_engine` computes many
answers at once, as `schedule` and `groups` decide, which know nothing of llama.cpp; each answer is a `writing`,
or, where it may call `tools`, a `calling`. `asking` makes the prompt, with `chat` and the `vocabulary`,
`choosing` takes the next token, as `sampling` says, and `text` puts the tokens' bytes together. `vector_engine`
makes vectors. `llama` is the one file that knows the library.
"""
