"""Conversations that fit into what a model reads: the context builder behind llm.messages and llm.chat.

`turns` takes a conversation apart, and `passages` makes one kind of thing of documents, hits and texts and writes
them down with numbers. `drafts` are what could be in, each measured by the model that `reader` reaches; `fitting`
finds how much fits with few measurements, `summary` lets the model put old turns in short, and `building`
decides what stays.
"""
